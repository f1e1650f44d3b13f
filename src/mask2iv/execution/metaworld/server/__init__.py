"""What runs in Meta-World's own environment.

Of the package it imports :mod:`mask2iv.execution.metaworld.tasks` alone; of libraries Meta-World, MuJoCo and NumPy.
"""

import os

# MuJoCo reads it when it is imported: no display is needed. Set it to osmesa where EGL does not start.
os.environ.setdefault("MUJOCO_GL", "egl")
