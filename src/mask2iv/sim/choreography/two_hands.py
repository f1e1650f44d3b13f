"""Actions of two hands: both carry or push an object, or one holds it while the other moves its lid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mask2iv.sim.choreography.tasks import ACTIONS, DIRECTIONS, ROUND, SAID, Draw, Path, Task, carry, say, straight
from mask2iv.sim.world.assets.parts import Grip, ObjectModel
from mask2iv.sim.world.geometry import UP, Array, Pose, min_jerk, vec, yaw

_CARRIED = ("box", "box", "bucket", "trash can", "safe", "chair", "lidded box", "drawer")
_TURNED = tuple(kind for kind in _CARRIED if kind not in ROUND)
_LIDDED = ("laptop", "lidded box", "trash can", "drawer")


def _target(d: Draw, kinds: tuple[str, ...] = _CARRIED) -> ObjectModel:
    """An object wide enough for two hands."""
    kinds = d.props.among(kinds)
    kind = kinds[d.rng.integers(len(kinds))]
    return d.props.make("large box" if kind == "box" else kind, d.rng)


def _task(d: Draw, verb: str, direction: str, target: ObjectModel, path: Path, mode: str, **kw: Any) -> Task:
    """One task for a right and a left hand, on either side of the target."""
    left, right = target.palms
    caption = say(d, verb, target, SAID.get(direction, direction))
    hands = []
    for side, sign, grip in (("right", 1, right), ("left", -1, left)):
        heading = yaw(sign * d.rng.uniform(0.15, 0.4)) @ vec(0, 1, 0)
        hands.append(Task(verb, caption, direction, target, path, mode, side, heading, grip, whole=True, **kw))
    return replace(hands[0], other=hands[1])


def _start(d: Draw, travel: Array) -> Pose:
    spot = -travel / 2 * vec(1, 1, 0) + vec(d.rng.uniform(-0.04, 0.04), d.rng.uniform(-0.02, 0.08), 0)
    return Pose(spot, yaw(d.rng.uniform(-0.3, 0.3)))


def _lifting(d: Draw) -> Task:
    target = _target(d)
    travel = UP * d.rng.uniform(0.1, 0.14) + vec(d.rng.uniform(-0.03, 0.03), d.rng.uniform(-0.04, 0.02), 0)
    path = straight(_start(d, travel), travel)
    return _task(d, "lifting", "", target, path, "hold", release=False)


def _putting_down(d: Draw) -> Task:
    target = _target(d)
    travel = -UP * d.rng.uniform(0.1, 0.14) + vec(d.rng.uniform(-0.05, 0.05), d.rng.uniform(-0.03, 0.05), 0)
    path = straight(_start(d, travel).shifted(-UP * travel[2]), travel)
    return _task(d, "putting down", "", target, path, "hold", held=True)


def _pushing(d: Draw) -> Task:
    target = _target(d)
    travel = DIRECTIONS["forward"] * d.rng.uniform(0.15, 0.21)
    path = straight(_start(d, travel), travel)
    return _task(d, "pushing", "forward", target, path, "push", push=DIRECTIONS["forward"])


def _moving(d: Draw) -> Task:
    target = _target(d)
    direction = list(DIRECTIONS)[d.rng.integers(4)]
    travel = DIRECTIONS[direction] * d.rng.uniform(0.14, 0.2)
    path = carry(_start(d, travel), travel, d.rng.uniform(0.04, 0.08))
    return _task(d, "moving", direction, target, path, "hold")


def _rotating(d: Draw) -> Task:
    target = _target(d, _TURNED)
    sign = 1 if d.rng.random() < 0.5 else -1
    angle = sign * d.rng.uniform(0.7, 1.0)
    start = _start(d, np.zeros(3))
    start = Pose(start.p, yaw(-angle / 2 + d.rng.uniform(-0.1, 0.1)))

    def path(s: float) -> tuple[Pose, float]:
        return Pose(start.p, yaw(angle * min_jerk(s)) @ start.r), 0.0

    direction = "counterclockwise" if sign > 0 else "clockwise"
    return _task(d, "rotating", direction, target, path, "hold")


def _swinging(d: Draw, verb: str) -> Task:
    """One hand holds the base, the other moves the lid or the drawer."""
    props = replace(d.props, kinds=d.props.among(_LIDDED))
    side = "right" if d.rng.random() < 0.6 else "left"
    worker = ACTIONS[verb](replace(d, side=side, props=props))
    sign = -1 if side == "right" else 1
    target = worker.target
    grip = _steady(target, sign)
    heading = yaw(sign * d.rng.uniform(0.2, 0.5)) @ vec(0, 1, 0)
    holder = replace(
        worker, mode="hold", side="left" if side == "right" else "right", heading=heading, grip=grip, whole=True
    )
    first, second = (worker, holder) if side == "right" else (holder, worker)
    return replace(first, other=second)


def _steady(target: ObjectModel, sign: int) -> Grip:
    """Where the other hand rests against a target that is being opened."""
    if target.palms:
        return target.palms[0 if sign < 0 else 1]
    return Grip("palm", vec(sign * target.radius / 1.1, 0, 0.03), vec(sign, 0, 0), target.radius)


TWO_HANDED: dict[str, Callable[[Draw], Task]] = {
    "lifting": _lifting,
    "putting down": _putting_down,
    "pushing": _pushing,
    "moving": _moving,
    "rotating": _rotating,
    "opening": lambda d: _swinging(d, "opening"),
    "closing": lambda d: _swinging(d, "closing"),
}
"""Verb -> the function that draws such a task for two hands."""
TWO_HANDED_KINDS: dict[str, tuple[str, ...]] = {
    verb: {"opening": _LIDDED, "closing": _LIDDED, "rotating": _TURNED}.get(verb, _CARRIED) for verb in TWO_HANDED
}
"""Verb -> the kinds of objects that two hands do it to."""
