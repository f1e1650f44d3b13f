"""Mask2IV: interaction-centric video generation through mask trajectories.

Give one image, a mask of the object to be handled, and an instruction or a mask of where the object shall end. Stage 1
predicts a mask trajectory of actor and object; stage 2 renders the video from image and trajectory.
"""

__version__ = "0.1.0"
