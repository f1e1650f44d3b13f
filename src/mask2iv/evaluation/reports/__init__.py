"""Figures from rows, and their presentation."""
