"""The action of a simulated scene: who does what to which object, and along which path."""
