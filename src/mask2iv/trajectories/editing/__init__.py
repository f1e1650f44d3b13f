"""Trajectories changed by hand: pure functions, and scripts of edits that replay to the same bytes."""
