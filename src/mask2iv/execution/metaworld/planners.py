"""Planners to compare: by a model, by the truth or parts of it, and trivial ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.execution.camera import Array
from mask2iv.execution.metaworld.aims import Way, handled_point, path_of, way_of
from mask2iv.execution.metaworld.films import FPS
from mask2iv.execution.metaworld.policy import Kind
from mask2iv.execution.metaworld.trials import Observation, Plan, Planner

if TYPE_CHECKING:
    from mask2iv.pipelines.pipeline import Mask2IVPipeline

KIND_OF: Mapping[Way, Kind] = {"level": "push", "down": "press", "carried": "grasp"}
"""How a part that moves in a way is handled."""
Keep = Callable[[Observation, Trajectory], None]
_STRAIGHT = 0.15


def by_model(
    pipe: Mask2IVPipeline, seed: int = 0, keep: Keep | None = None, batch_size: int = 8, **options: Any
) -> Planner:
    """Plans along trajectories that stage 1 predicts from the caption.

    Args:
        pipe: the model.
        seed: of the predictions; each plan of an episode has its own noise.
        keep: is told each prediction.
        batch_size: predictions that are made together.
        options: of :meth:`Mask2IVPipeline.trajectory`.
    """

    def plan(observations: Sequence[Observation]) -> list[Plan | None]:
        if not observations:
            return []
        trajectories = pipe.trajectory(
            [one.picture for one in observations],
            [one.labels == Label.OBJECT for one in observations],
            [one.trial.task.caption for one in observations],
            actor_mask=[one.labels == Label.ACTOR for one in observations],
            seed=[seed + 1000 * one.round + one.trial.seed for one in observations],
            batch_size=batch_size,
            progress=False,
            **options,
        )
        pairs = list(zip(observations, trajectories, strict=True))
        if keep is not None:
            for pair in pairs:
                keep(*pair)
        return [along_masks(*pair) for pair in pairs]

    return plan


def along_masks(observation: Observation, trajectory: Trajectory) -> Plan:
    """The plan that a trajectory means."""
    way = way_of(observation.trial.task.caption)
    return path_of(trajectory, observation.seen, way), KIND_OF[way]


def by_true_masks(films: Mapping[str, UInt8Array]) -> Planner:
    """Plans along the masks of the expert's film of the same layout.

    Args:
        films: labels uint8 [T, H, W] by the trial's name; trials without a film have no plan.
    """

    def plan(observations: Sequence[Observation]) -> list[Plan | None]:
        return [
            along_masks(one, Trajectory(films[one.trial.name], FPS)) if one.trial.name in films else None
            for one in observations
        ]

    return plan


def by_truth(poses: Mapping[str, Array]) -> Planner:
    """Plans along the true motion of the part in the expert's episode with the same layout.

    Args:
        poses: position and quaternion of its body, [T, 7], by the trial's name; those without have no plan.
    """

    def plan(observations: Sequence[Observation]) -> list[Plan | None]:
        found: list[Plan | None] = []
        for one in observations:
            pose = poses.get(one.trial.name)
            if pose is None:
                found.append(None)
                continue
            _, point, _ = handled_point(one.labels == Label.OBJECT, one.seen)
            turns = np.stack([_turn(row[3:]) for row in pose])
            path = turns @ (turns[0].T @ (point - pose[0, :3])) + pose[:, :3]
            found.append((path, KIND_OF[way_of(one.trial.task.caption)]))
        return found

    return plan


def straight(observations: Sequence[Observation]) -> list[Plan | None]:
    """Plans that handle the part and move it straight: 15 cm down where the caption says down, up where it is put
    somewhere, and else away from the robot."""
    found: list[Plan | None] = []
    for one in observations:
        way = way_of(one.trial.task.caption)
        _, point, _ = handled_point(one.labels == Label.OBJECT, one.seen)
        direction = {"level": [0, 1, 0], "down": [0, 0, -1], "carried": [0, 1, 1]}[way]
        shift = np.linspace(0, _STRAIGHT, 16)[:, None] * np.array(direction)
        found.append((point + shift, KIND_OF[way]))
    return found


def _turn(quaternion: Array) -> Array:
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
