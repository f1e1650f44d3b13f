"""Estimates of what a run needs, before there are data or weights."""
