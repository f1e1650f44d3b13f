"""Commands that make trajectories and videos."""
