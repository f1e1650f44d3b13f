"""What a policy sees: the camera's picture, laid flat on the table around the object.

The camera differs from scene to scene. Its pose is known, as that of a calibrated robot cell is, so the picture is
projected onto the table's plane: a pixel of the view is a place on the table, and the robot's coordinates are the
view's, in all scenes. What stands above the table leans away from the camera.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.execution.camera import Array, PinholeCamera

PIXELS = 64
SIDE = 0.52
"""Of a view, metres; the object's first place is in its middle, which leaves room for what is pushed by 24 cm."""
_FINER = 2


class TableView:
    """The table around an object, as a camera sees it. World +x is to the right in it, +y up.

    Args:
        camera: of the pictures.
        object_mask: bool [H, W], of the first picture.
        depth: float64 [H, W], of the first picture, metres.

    Raises:
        InputError: no pixel of the object has a depth.
    """

    def __init__(self, camera: PinholeCamera, object_mask: BoolArray, depth: Array) -> None:
        known = object_mask & np.isfinite(depth) & (depth > 0)
        if not known.any():
            raise InputError("object_mask", "no pixel of the object has a depth")
        points = camera.points(depth)[known]
        self.origin = np.array([*np.median(points[:, :2], axis=0), 0.0])
        """The object's place on the table, world, [3]."""
        self.height = float(np.quantile(points[:, 2], 0.95))
        """Of the object, metres."""
        count = PIXELS * _FINER
        along = ((np.arange(count) + 0.5) / count - 0.5) * SIDE
        x, y = np.meshgrid(along, -along)
        pixels, _ = camera.project(np.stack([x, y, np.zeros_like(x)], axis=-1) + self.origin)
        height, width = camera.size
        scale = np.array([2 / width, 2 / height])
        self._grid = torch.from_numpy(((pixels + 0.5) * scale - 1).astype(np.float32))[None]
        self.mask: NDArray[np.uint8] = self._laid(object_mask[..., None].astype(np.uint8) * 255)[..., 0]
        """The object's mask in the first picture, uint8 [P, P], 0 to 255."""

    def __call__(self, picture: UInt8Array) -> UInt8Array:
        """A picture [H, W, 3] laid on the table, uint8 [P, P, 3]; black where the camera does not look."""
        return self._laid(picture)

    def _laid(self, picture: UInt8Array) -> UInt8Array:
        tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
        fine = F.grid_sample(tensor, self._grid, align_corners=False)
        view = F.avg_pool2d(fine, _FINER)[0].permute(1, 2, 0).round()
        laid: UInt8Array = view.to(torch.uint8).numpy()
        return laid
