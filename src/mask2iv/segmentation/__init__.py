"""From a box, a point or a first frame's masks to masks."""
