"""Masks and mask trajectories: their colours, measures, motion and files, and interactions as plans."""
