"""Training data computed once by frozen networks and cached: latents, plans, windows."""
