"""Trajectories judged without a true answer, and measures of what the object does in one."""
