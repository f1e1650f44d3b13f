"""The objects of a scene: categories, the parts they are built from, and pools of instances."""
