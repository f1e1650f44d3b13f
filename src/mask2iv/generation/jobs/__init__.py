"""Many scenes from a file: read, worked on by a crew, continued."""
