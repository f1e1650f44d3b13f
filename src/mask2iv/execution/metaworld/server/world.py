"""Episodes of Meta-World."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
from metaworld.policies import ENV_POLICY_MAP
from numpy.typing import NDArray

from mask2iv.execution.metaworld.tasks import TASKS

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
