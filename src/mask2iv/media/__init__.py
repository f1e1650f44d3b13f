"""Images and videos: reading, writing, resizing."""
