"""Masks and mask trajectories: colours, measures, motion, files, and interaction plans."""
