"""What a run takes, before there are data or weights."""
