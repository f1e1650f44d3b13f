"""Figures from rows, and how they are shown."""
