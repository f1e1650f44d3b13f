"""Commands that make, check and convert clip sets."""
