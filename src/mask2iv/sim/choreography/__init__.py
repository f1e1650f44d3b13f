"""What happens in a simulated scene: who does what to which object, along which path."""
