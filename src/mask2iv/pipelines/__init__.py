"""The pipeline that chains both stages, its model folders, and how it is made faster or smaller."""
