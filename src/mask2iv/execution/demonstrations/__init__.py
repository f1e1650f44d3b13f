"""Executions as demonstrations for policies: states and actions at the frames of a film, held to an arm's limits."""
