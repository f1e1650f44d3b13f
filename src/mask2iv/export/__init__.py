"""Clips in the layouts of other programs: LeRobot, tar shards, frames, masks."""
