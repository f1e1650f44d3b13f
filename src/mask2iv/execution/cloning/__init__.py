"""Behaviour cloning: small policies learned from demonstrations, and how often they do the task in physics."""
