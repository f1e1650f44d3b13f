"""What runs in Meta-World's own environment.

It imports nothing of the package but :mod:`mask2iv.execution.metaworld.tasks`, and of other libraries Meta-World, MuJoCo and NumPy.
"""
