"""One clip: its answers, and everything that is measured of them, as a row."""
