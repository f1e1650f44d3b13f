"""For machines without a network: what to carry there, how it starts there, and how a run's state comes back."""
