"""What networks learn from, computed once by frozen ones and kept: latents, plans, windows."""
