"""An episode of Meta-World, and how it looks from a camera."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
from metaworld.policies import ENV_POLICY_MAP

from mask2iv.execution.metaworld.tasks import CROP, TASKS

Array = NDArray[np.float64]
_STATE = mujoco.mjtState.mjSTATE_INTEGRATION


class World:
    """A task, whose episodes begin with :meth:`begin`.

    Args:
        task: a name of :data:`~mask2iv.execution.metaworld.tasks.TASKS`.
    """

    def __init__(self, task: str) -> None:
        self.task = TASKS[task]
        self.env: Any = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-v3-goal-observable"](seed=0)
        self.model, self.data = self.env.model, self.env.data

    def begin(self, seed: int) -> None:
        """Begin an episode with the layout that a seed draws, the same that a new environment with this seed has."""
        before = np.random.get_state()
        np.random.seed(seed)
        self.env._freeze_rand_vec = False
        self.env.reset()
        self.env._freeze_rand_vec = True
        np.random.set_state(before)
        self.observation, _ = self.env.reset()
        self.steps, self.success = 0, False

    def expert(self) -> Any:
        """A new scripted policy of the task."""
        return ENV_POLICY_MAP[f"{self.task.name}-v3"]()

    def step(self, action: Array) -> None:
        """One action: displacement of the hand in units of a centimetre, gripper effort; each in [-1, 1]."""
        self.observation, _, _, _, info = self.env.step(np.clip(action, -1, 1).astype(np.float32))
        self.steps += 1
        self.success = self.success or bool(info["success"])

    @property
    def hand(self) -> Array:
        """Position of the hand, [3], in metres."""
        return np.array(self.observation[:3], dtype=np.float64)

    @property
    def opening(self) -> float:
        """How far the gripper is open, 0 to 1."""
        return float(self.observation[3])

    @property
    def fingers(self) -> Array:
        """The point between the finger tips, [3], in metres."""
        return np.array(self.env.tcp_center, dtype=np.float64)

    @property
    def body(self) -> int:
        """Number of the body that the object belongs to."""
        return int(self.model.geom_bodyid[self.task.parts[0]])

    @property
    def pose(self) -> Array:
        """Pose of that body: its position, then its rotation as a quaternion, [7]."""
        return np.concatenate([self.data.xpos[self.body], self.data.xquat[self.body]])

    def state(self) -> Array:
        """All that a picture of this moment needs."""
        values = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, values, _STATE)
        return values

    def show(self, state: Array) -> None:
        """Set the simulator to a moment, for pictures."""
        mujoco.mj_setState(self.model, self.data, state, _STATE)
        mujoco.mj_forward(self.model, self.data)


class Views:
    """Pictures of a world.

    The cameras hang upside down in Meta-World 3; pictures are turned by half a turn. (The pictures of AVDC, from
    version 2 and another renderer, are mirrored instead.)

    Args:
        world: whose pictures.
        height, width: in pixels.
    """

    def __init__(self, world: World, height: int, width: int) -> None:
        self.world, self.height, self.width = world, height, width
        model = world.model
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
            if model.body(root).name == "base":
                self._labels_of[geom] = 1
        self._labels_of[list(world.task.parts)] = 2

    def close(self) -> None:
        """Free the graphics contexts."""
        self._colour.close()
        self._exact.close()

    def picture(self, camera: str) -> NDArray[np.uint8]:
        """uint8 [H, W, 3]."""
        self._colour.update_scene(self.world.data, camera)
        return np.ascontiguousarray(self._colour.render()[::-1, ::-1])

    def labels(self, camera: str) -> NDArray[np.uint8]:
        """0 background, 1 robot, 2 object; uint8 [H, W]."""
        self._exact.enable_segmentation_rendering()
        self._exact.update_scene(self.world.data, camera)
        seen = self._exact.render()[::-1, ::-1]
        self._exact.disable_segmentation_rendering()
        geoms = np.where(seen[..., 1] == mujoco.mjtObj.mjOBJ_GEOM, seen[..., 0], -1)
        return self._labels_of[geoms]

    def depth(self, camera: str) -> NDArray[np.float32]:
        """Distance along the line of sight's axis in metres, float32 [H, W]."""
        self._exact.enable_depth_rendering()
        self._exact.update_scene(self.world.data, camera)
        seen = self._exact.render()[::-1, ::-1]
        self._exact.disable_depth_rendering()
        return np.ascontiguousarray(seen, dtype=np.float32)

    def camera(self, camera: str) -> dict[str, Any]:
        """The pinhole: position in metres; rotation, whose rows are the directions right, down and forward of the
        picture in the world; focal length and centre (x, y) in pixels, from the centre of the top left pixel."""
        number = self.world.model.camera(camera).id
        axes = self.world.data.cam_xmat[number].reshape(3, 3).T
        focal = self.height / 2 / np.tan(np.deg2rad(self.world.model.cam_fovy[number]) / 2)
        return {
            "position": self.world.data.cam_xpos[number].tolist(),
            "rotation": (np.diag([-1.0, 1.0, -1.0]) @ axes).tolist(),
            "focal": float(focal),
            "centre": [(self.width - 1) / 2, (self.height - 1) / 2],
        }
