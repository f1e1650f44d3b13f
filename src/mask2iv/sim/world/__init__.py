"""What is in a simulated scene and how it is seen: objects, rooms, cameras, pictures."""
