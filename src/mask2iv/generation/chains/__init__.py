"""Several interactions, each from the last frame of the one before, as one video."""
