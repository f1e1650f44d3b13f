"""Commands that train, import, export and carry models."""
