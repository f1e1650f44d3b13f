"""The training loop of all networks: steps, optimisers, checkpoints, processes."""
