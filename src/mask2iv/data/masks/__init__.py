"""Masks that come with a video, in the forms of several tools; of all only the frames needed are read."""

from mask2iv.data.masks.beside import MasksBeside, find_masks, masks_beside, name_of
from mask2iv.data.masks.frames import MaskFrames, Numbers, read_masks

__all__ = ["MaskFrames", "MasksBeside", "Numbers", "find_masks", "masks_beside", "name_of", "read_masks"]
