"""Networks that predict trajectories and render videos, one folder each."""
