"""Commands that time and measure."""
