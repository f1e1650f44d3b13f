"""Checkpoints of the original DynamiCrafter / Mask2IV code: into a model folder, and back."""
