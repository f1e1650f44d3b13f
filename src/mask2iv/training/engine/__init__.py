"""The training loop, whatever the network: steps, optimisers, checkpoints, processes."""
