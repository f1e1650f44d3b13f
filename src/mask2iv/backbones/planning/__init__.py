"""Stage 1 in two levels: a planner draws where object and actor go, a painter turns that into masks."""
