"""Clips on disk, and clips as batches."""
