"""Making trajectories and videos of scenes: what every front door (flags, Python, jobs) calls.

``options`` say what is wanted, ``inputs`` reads and checks it, ``run`` loads a model and makes results of it,
``results`` writes them as whole folders, ``jobs`` does many scenes of a file.
"""
