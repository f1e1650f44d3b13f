"""Prompts: everyday words read in a model's vocabulary, and what its text encoder sees of them."""
