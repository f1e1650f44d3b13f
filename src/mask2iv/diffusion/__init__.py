"""Diffusion: noise schedule, sampling, guidance and losses. The network is always passed in as a callable."""
