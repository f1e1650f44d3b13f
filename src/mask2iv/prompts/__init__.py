"""Prompts: everyday words translated into a model's vocabulary, and what its text encoder sees of them."""
