"""The simulator's scenes with dynamics: objects of mass and friction, and an arm that moves them by contact."""
