"""Networks that measure: where their weights are, and what they see."""
