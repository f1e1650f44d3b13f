"""The contents of a simulated scene and its rendering: objects, rooms, cameras, pictures."""
