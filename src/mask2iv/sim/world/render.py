"""Pictures and exact masks of a scene, without a display."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.sim.world.backend import create_gl_context, require_mujoco
from mask2iv.sim.world.compiled import TARGET_GROUP
from mask2iv.sim.world.geometry import Array, vec

mujoco = require_mujoco()


class Renderer:
    """Holds one OpenGL context for many scenes of one picture size.

    Creating the context is slow and done once per process; :meth:`load` loads the resources of a scene (meshes,
    textures).

    Raises:
        InputError: no headless OpenGL.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._gl = create_gl_context(width, height)
        self._context: Any = None
        self._rect = mujoco.MjrRect(0, 0, width, height)
        self._option = mujoco.MjvOption()
        self._alone = mujoco.MjvOption()
        self._alone.geomgroup[:] = 0
        self._alone.geomgroup[TARGET_GROUP] = 1
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = 0

    def load(self, model: Any) -> None:
        """Load a compiled model. Its offscreen buffer must be at least height x width; its camera 0 is used."""
        self._gl.make_current()
        if self._context is not None:
            self._context.free()
        self._model = model
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def picture(self, data: Any) -> UInt8Array:
        """Render the state in data, uint8 [H, W, 3]."""
        self._update(data, self._option)
        return self._draw()

    def depth(self, data: Any) -> Array:
        """The depth of each pixel, metres along the line of view, float64 [H, W]."""
        self._update(data, self._option)
        buffer = np.empty((self.height, self.width), dtype=np.float32)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(None, buffer, self._rect, self._context)
        near, far = (self._model.stat.extent * end for end in (self._model.vis.map.znear, self._model.vis.map.zfar))
        return near / (1 - buffer[::-1].astype(np.float64) * (1 - near / far))

    def ids(self, data: Any) -> NDArray[np.int32]:
        """The id of the geom visible at each pixel, int32 [H, W], -1 where there is none."""
        self._update(data, self._option)
        codes = self._draw_codes()
        numbers = codes[..., 0] + (codes[..., 1] << 8) + (codes[..., 2] << 16)
        lookup = np.full(self._scene.ngeom + 1, -1, dtype=np.int32)
        for geom in self._scene.geoms[: self._scene.ngeom]:
            if geom.segid >= 0 and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                lookup[geom.segid + 1] = geom.objid
        return lookup[numbers]

    def project(self, data: Any) -> Array:
        """Pixels (x, y), relative to the picture's centre and clipped to it, of all moving shapes' centres, [N, 2]."""
        moving = self._model.body_mocapid[self._model.geom_bodyid] >= 0
        local = (data.geom_xpos[moving] - data.cam_xpos[0]) @ data.cam_xmat[0].reshape(3, 3)
        scale = np.maximum(-local[:, 2], 0.05) * np.tan(np.radians(self._model.cam_fovy[0]) / 2) / (self.height / 2)
        limit = vec(self.width, self.height) / 2
        pixels: Array = np.clip(local[:, :2] / scale[:, None] * vec(1, -1), -limit, limit)
        return pixels

    def target_area(self, data: Any) -> int:
        """Number of pixels the target would cover without occlusion."""
        self._update(data, self._alone)
        return int((self._draw_codes().max(axis=-1) > 0).sum())

    def _update(self, data: Any, option: Any) -> None:
        everything = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, data, option, None, self._camera, everything, self._scene)

    def _draw_codes(self) -> NDArray[np.int32]:
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = True
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = True
        codes = self._draw().astype(np.int32)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = False
        return codes

    def _draw(self) -> UInt8Array:
        buffer = np.empty((self.height, self.width, 3), dtype=np.uint8)
        mujoco.mjr_render(self._rect, self._scene, self._context)
        mujoco.mjr_readPixels(buffer, None, self._rect, self._context)
        return np.ascontiguousarray(buffer[::-1])

    def close(self) -> None:
        """Free the OpenGL objects."""
        if self._context is not None:
            self._context.free()
            self._context = None
        self._gl.free()
