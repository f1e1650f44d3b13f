"""How an object moves in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mask2iv.execution.camera import Array


@dataclass(frozen=True, eq=False)
class ObjectMotion:
    """How an object moves.

    Attributes:
        points: float64 [N, 3], its surface in the first frame, world metres.
        transforms: float64 [T, 4, 4], world motion since the first frame.
        overlap: float64 [T] in [0, 1], IoU of the moved surface and the mask, where it is known.
        visible: float64 [T] in [0, 1], the mask's area over that of the moved surface.
        freedom: what the motion was allowed to be.
    """

    points: Array
    transforms: Array
    overlap: Array
    visible: Array
    freedom: str

    @property
    def confidence(self) -> Array:
        """float64 [T] in [0, 1]: how well the mask bears a frame's motion out."""
        return self.overlap * np.minimum(self.visible, 1.0)

    @property
    def centre(self) -> Array:
        """Mean of the surface, [3]."""
        return self.points.mean(axis=0)

    def path(self, point: Array) -> Array:
        """Where a point [3] of the object is in each frame, [T, 3]."""
        return self.transforms[:, :3, :3] @ point + self.transforms[:, :3, 3]

    @property
    def travel(self) -> Array:
        """How far each frame is from the first, metres [T]; a turn counts with the surface's radius."""
        spread = float(np.linalg.norm(self.points - self.centre, axis=1).mean())
        shift = np.linalg.norm(self.path(self.centre) - self.centre, axis=1)
        cosine = (np.trace(self.transforms[:, :3, :3], axis1=1, axis2=2) - 1) / 2
        return shift + spread * np.arccos(np.clip(cosine, -1, 1))
