"""Networks that measure: their weights and their features."""
