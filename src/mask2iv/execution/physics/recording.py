"""What an arm did, control step by control step."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.execution.physics.arm import Arm
from mask2iv.sim.world.backend import require_mujoco
from mask2iv.sim.world.geometry import Array

mujoco = require_mujoco()


class Phase(IntEnum):
    """What the arm is about."""

    COME = 0
    """It comes to the object and takes it; a gripper that holds the object from the start tightens."""
    HANDLE = 1
    """The object is handled: the frames of the film from contact to release, at an even pace."""
    LEAVE = 2
    """It lets go and leaves, or goes on holding."""


@dataclass(frozen=True, eq=False)
class Recording:
    """An execution, in N control steps of 0.04 s.

    The first entry is the state before anything was done.

    Attributes:
        phase: uint8 [N], of :class:`Phase`.
        followed: int64 [N], how many poses of the tool were gone for.
        state: float64 [N, 7], measured: six joints in radians, and the distance between the jaws in metres.
        command: float64 [N, 7], what the actuators were told when the state was measured; an opening below 0 closes
            with force.
        tool: float64 [N, 4, 4], the tool's pose.
        missed: float64 [N], distance of the tool pose that was asked for from the nearest that the joints take, metres.
        speed: float64 [N, 6], largest joint velocities since the entry before, rad/s.
        load: float64 [N, 6], mean force of the joints' actuators since the entry before, as a share of their limit, in
            [0, 1].
        blow: float64 [N], largest force between the arm and what is fixed (table, clutter) since the entry before, N.
        touching: bool [N], whether the gripper touches the object.
        qpos: float64 [N, Q], MuJoCo's coordinates, from which pictures are made.
    """

    phase: NDArray[np.uint8]
    followed: NDArray[np.int64]
    state: Array
    command: Array
    tool: Array
    missed: Array
    speed: Array
    load: Array
    blow: Array
    touching: NDArray[np.bool_]
    qpos: Array

    @property
    def travel(self) -> Array:
        """How far the arm has come by each entry, float64 [N]: metres of the tool's way, a radian of its turn counting
        5 cm, and of the jaws'."""
        way = np.linalg.norm(np.diff(self.tool[:, :3, 3], axis=0), axis=1)
        turn = self.tool[:-1, :3, :3].transpose(0, 2, 1) @ self.tool[1:, :3, :3]
        cosine = (np.trace(turn, axis1=1, axis2=2) - 1) / 2
        jaws = np.abs(np.diff(self.state[:, -1]))
        return np.concatenate([[0.0], np.cumsum(way + 0.05 * np.arccos(np.clip(cosine, -1, 1)) + jaws)])


class Recorder:
    """Writes down what an arm does.

    Args:
        model, data: of the scene.
        arm: in it.
    """

    def __init__(self, model: Any, data: Any, arm: Arm) -> None:
        self._model, self._data, self._arm = model, data, arm
        self.phase = Phase.COME
        """Of the entries to come."""
        kinds = model.geom_contype
        moved = {int(model.body(name).id) for name in ("turret", "target")}
        roots = model.body_rootid[model.geom_bodyid]
        # Contacts of the arm with what does not move; a target's root is itself.
        self._arm_geoms = (roots == model.body("turret").id) & (kinds > 0)
        self._fixed_geoms = ~np.isin(roots, list(moved)) & (kinds > 0)
        self._rows: dict[str, list[Any]] = {name: [] for name in Recording.__dataclass_fields__}
        self._clear()

    def _clear(self) -> None:
        self._speed, self._load, self._blow, self._ticks = np.zeros(6), np.zeros(6), 0.0, 0

    def tick(self) -> None:
        """To be called after each step of the physics."""
        self._ticks += 1
        self._speed = np.maximum(self._speed, np.abs(self._arm.velocity))
        self._load += self._arm.load
        self._blow = max(self._blow, self._contact_force())

    def note(self, touching: bool) -> None:
        """Make an entry."""
        arm = self._arm
        entry = {
            "phase": int(self.phase),
            "followed": arm.followed,
            "state": arm.state,
            "command": arm.command,
            "tool": arm.tool,
            "missed": arm.gap,
            "speed": self._speed,
            "load": self._load / max(self._ticks, 1),
            "blow": self._blow,
            "touching": touching,
            "qpos": self._data.qpos.copy(),
        }
        for name, value in entry.items():
            self._rows[name].append(value)
        self._clear()

    def recording(self) -> Recording:
        """All entries so far."""
        rows = {name: np.array(values) for name, values in self._rows.items()}
        return Recording(**{**rows, "phase": rows["phase"].astype(np.uint8)})

    def _contact_force(self) -> float:
        pairs = self._data.contact.geom
        if not len(pairs):
            return 0.0
        a, b = pairs[:, 0], pairs[:, 1]
        arm, fixed = self._arm_geoms, self._fixed_geoms
        total, force = 0.0, np.zeros(6)
        for index in np.flatnonzero((arm[a] & fixed[b]) | (arm[b] & fixed[a])):
            mujoco.mj_contactForce(self._model, self._data, int(index), force)
            total += float(force[0])
        return total
