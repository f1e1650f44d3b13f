"""Pure measures of trajectories and videos, and the trivial answers that a model must beat."""
