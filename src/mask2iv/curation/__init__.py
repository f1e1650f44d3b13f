"""From raw recordings to clip sets: sources, the choice of the object, quality gates, and runs of many processes."""
