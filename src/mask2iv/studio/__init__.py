"""The studio: the whole method by hand, in a browser."""
