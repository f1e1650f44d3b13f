"""The paper's systems and ablations, and its tables, from training to the finished table."""
