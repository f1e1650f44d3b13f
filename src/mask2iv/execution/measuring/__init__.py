"""How often executed trajectories do their action: the benchmark of simulated scenes, its plans and its shares."""
