"""From mask trajectories to robot motion, and whether it works in physics."""
