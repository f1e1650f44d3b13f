"""Pure measures of trajectories and videos, and the trivial baselines that a model must beat."""
