"""Segmentation from a box or a point, and tracking from the first frame's masks."""
