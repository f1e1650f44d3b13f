"""Boxes from words or motion, masks from a box or a point, and tracks through a video."""
