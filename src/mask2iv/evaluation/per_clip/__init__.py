"""One clip: its outputs, and everything that is measured of them, as a row."""
