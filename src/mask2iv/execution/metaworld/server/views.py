"""How an episode looks from a camera."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from mask2iv.execution.metaworld.tasks import CROP

ROBOT = "base"
"""The body that the robot's are part of."""


class Views:
    """Pictures, masks and depth of a simulator.

    The cameras hang upside down in Meta-World 3; pictures are turned by half a turn. (The pictures of AVDC, from
    version 2 and another renderer, are mirrored instead.)

    Args:
        model, data: the simulator's.
        parts: numbers of the object's geoms.
        height, width: in pixels.
    """

    def __init__(self, model: Any, data: Any, parts: Sequence[int], height: int, width: int) -> None:
        self.model, self.data, self.height, self.width = model, data, height, width
        for number in range(model.ncam):
            half = np.tan(np.deg2rad(model.cam_fovy[number]) / 2) * CROP
            model.cam_fovy[number] = np.rad2deg(2 * np.arctan(half))
        # At this size of pictures finer shadows look the same, and take two thirds of the time.
        model.vis.quality.shadowsize = 1024
        self._colour = mujoco.Renderer(model, height, width)
        # Smoothed edges would mix the numbers of geoms.
        model.vis.quality.offsamples = 0
        self._exact = mujoco.Renderer(model, height, width)
        self._labels_of = np.zeros(model.ngeom + 1, dtype=np.uint8)
        for geom in range(model.ngeom):
            root = model.body_rootid[model.geom_bodyid[geom]]
            if model.body(root).name == ROBOT:
                self._labels_of[geom] = 1
        self._labels_of[list(parts)] = 2

    def close(self) -> None:
        """Free the graphics contexts."""
        self._colour.close()
        self._exact.close()

    def picture(self, camera: str) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        self._colour.update_scene(self.data, camera)
        return np.ascontiguousarray(self._colour.render()[::-1, ::-1])

    def labels(self, camera: str) -> NDArray[np.uint8]:
        """0 background, 1 robot, 2 object; uint8 [H, W]."""
        self._exact.enable_segmentation_rendering()
        self._exact.update_scene(self.data, camera)
        seen = self._exact.render()[::-1, ::-1]
        self._exact.disable_segmentation_rendering()
        geoms = np.where(seen[..., 1] == mujoco.mjtObj.mjOBJ_GEOM, seen[..., 0], -1)
        return self._labels_of[geoms]

    def depth(self, camera: str) -> NDArray[np.float32]:
        """Distance along the line of sight's axis in metres, float32 [H, W]."""
        self._exact.enable_depth_rendering()
        self._exact.update_scene(self.data, camera)
        seen = self._exact.render()[::-1, ::-1]
        self._exact.disable_depth_rendering()
        return np.ascontiguousarray(seen, dtype=np.float32)

    def camera(self, camera: str) -> dict[str, Any]:
        """The pinhole: position in metres; rotation, whose rows are the directions right, down and forward of the
        picture in the world; focal length and centre (x, y) in pixels, from the centre of the top left pixel."""
        number = self.model.camera(camera).id
        axes = self.data.cam_xmat[number].reshape(3, 3).T
        focal = self.height / 2 / np.tan(np.deg2rad(self.model.cam_fovy[number]) / 2)
        return {
            "position": self.data.cam_xpos[number].tolist(),
            "rotation": (np.diag([-1.0, 1.0, -1.0]) @ axes).tolist(),
            "focal": float(focal),
            "centre": [(self.width - 1) / 2, (self.height - 1) / 2],
        }
