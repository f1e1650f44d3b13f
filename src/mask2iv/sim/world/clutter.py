"""Distractors on the table: clear of the action, or as occluders."""

from __future__ import annotations

import numpy as np

from mask2iv.sim.choreography.actors import Actor, Hand
from mask2iv.sim.choreography.tasks import Task
from mask2iv.sim.world.assets.catalogue import Props
from mask2iv.sim.world.assets.parts import ObjectModel
from mask2iv.sim.world.compiled import StageBuilder
from mask2iv.sim.world.geometry import Array, Pose, unit, vec, yaw
from mask2iv.sim.world.room import Camera

Rng = np.random.Generator
_CLUTTER = (
    *("mug", "cup", "can", "bottle", "carton", "box", "bowl", "banana", "apple", "toy car", "kettle"),
    *("bucket", "lamp", "stapler", "chair", "scissors", "pliers", "trash can"),
)
_TALL = ("bottle", "carton", "kettle", "can", "lamp", "chair", "bucket", "trash can", "cup")


def add_clutter(
    builder: StageBuilder, rng: Rng, task: Task, actors: list[Actor], props: Props, most: int, fewest: int = 1
) -> list[ObjectModel]:
    """Place `fewest` to `most` distractors, as far as there is room clear of the paths of target and actors."""
    path = [task.path(s)[0].p for s in (0.0, 0.5, 1.0)]
    sources = [actor.elbow if isinstance(actor, Hand) else actor.base for actor in actors]  # type: ignore[attr-defined]
    lane = [p * (1 - t) + source * t for source in sources for p in path for t in np.linspace(0, 1, 8)]
    taken = [(p, task.target.radius + 0.05) for p in path] + [(p, 0.075) for p in lane]
    if task.joint is not None:
        taken.append((path[0] + task.path(0.0)[0].r @ vec(0, -0.16, 0), 0.12))
    if task.receptacle is not None:
        taken.append((task.receptacle[1].p, task.receptacle[0].radius + 0.03))
    kinds = props.among(_CLUTTER) or _CLUTTER
    placed = []
    for _ in range(int(rng.integers(fewest, most + 1))):
        model = props.make(kinds[rng.integers(len(kinds))], rng)
        for _ in range(12):
            spot = vec(rng.uniform(-0.38, 0.38), rng.uniform(-0.2, 0.34), 0)
            if all(np.linalg.norm((spot - p)[:2]) > r + model.radius for p, r in taken):
                _stand(builder, model, Pose(spot, yaw(rng.uniform(-np.pi, np.pi))))
                taken.append((spot, model.radius + 0.02))
                placed.append(model)
                break
    return placed


def add_occluder(builder: StageBuilder, rng: Rng, task: Task, camera: Camera, props: Props) -> ObjectModel:
    """Place a tall object between the camera and a point of the target's path."""
    kinds = props.among(_TALL) or _TALL
    model = props.make(kinds[rng.integers(len(kinds))], rng)
    behind = task.path(rng.uniform(0.0, 1.0))[0].p * vec(1, 1, 0)
    sight: Array = unit((camera.position - behind) * vec(1, 1, 0))
    aside = vec(-sight[1], sight[0], 0) * task.target.radius * rng.uniform(-0.9, 0.9)
    spot = behind + sight * (task.target.radius + model.radius + rng.uniform(0.01, 0.05)) + aside
    _stand(builder, model, Pose(spot, yaw(rng.uniform(-np.pi, np.pi))))
    return model


def _stand(builder: StageBuilder, model: ObjectModel, pose: Pose) -> None:
    builder.add_static("clutter", model.base, pose)
    if model.joint is not None:
        builder.add_static("clutter", model.mover, pose @ model.joint.pose(model.joint.closed))
