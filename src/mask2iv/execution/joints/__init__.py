"""Moving parts: lids, doors and drawers."""
