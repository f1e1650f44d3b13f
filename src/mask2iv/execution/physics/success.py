"""Whether an attempt did the action: the criteria of docs/execution.md, on the true state of the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mask2iv.execution.physics.trial import CONTROL, Outcome
from mask2iv.sim.choreography.tasks import DIRECTIONS, Task
from mask2iv.sim.world.geometry import Array

LIFTED = 0.05
FARTHEST = 0.05
"""Distance from the true end within which a target is reached, metres."""
_REST, _LAST = 0.003, 6
_UPRIGHT = np.cos(np.radians(30))
_ROUND = ("apple",)
_STAYS = 0.08
_OPENED, _CLOSED, _NEAR_JOINT = 0.6, 0.25, 0.2
_POURED = 0.7
_FALL = 0.3
"""What comes down faster is dropped, m/s."""


@dataclass(frozen=True)
class Verdict:
    """What an attempt achieved.

    Attributes:
        done: the action as its caption names it.
        at_target: the same, and the object ends where it truly does.
        distance: of the object's middle from its true end, metres.
    """

    done: bool
    at_target: bool
    distance: float


@dataclass(frozen=True, eq=False)
class _Facts:
    """What the criteria speak of."""

    start: Array
    end: Array
    true_end: Array
    free: bool
    still: bool
    upright: bool
    fall: float
    """Largest speed downwards of the middle, m/s."""

    @property
    def rests(self) -> bool:
        return self.free and self.still and self.upright


def judge(task: Task, outcome: Outcome) -> Verdict:
    """The verdict on an attempt at a task."""
    middle = np.array([0, 0, task.target.height / 2])
    places = outcome.poses[:, :3, :3] @ middle + outcome.poses[:, :3, 3]
    first, last = task.path(0.0), task.path(1.0)
    tail = places[-_LAST:]
    facts = _Facts(
        start=first[0].at(middle),
        end=places[-1],
        true_end=last[0].at(middle),
        free=not outcome.touching[-1],
        still=bool(np.linalg.norm(tail - tail[-1], axis=1).max() < _REST),
        fall=float(np.max(-np.diff(places[:, 2]) / CONTROL, initial=0.0)),
        upright=task.target.name in _ROUND or bool(outcome.poses[-1, 2, 2] > _UPRIGHT),
    )
    distance = float(np.linalg.norm(facts.end - facts.true_end))
    done, near = _CRITERIA[task.verb](task, outcome, facts)
    return Verdict(bool(done), bool(done and near), distance)


def _picked_up(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    return bool(facts.end[2] - facts.start[2] > LIFTED) and not facts.free, _near(facts)


def _put_down(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    level = abs(facts.end[2] - facts.true_end[2]) < 0.02
    return facts.rests and level and facts.fall < _FALL, _near(facts)


def _displaced(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    way, moved = DIRECTIONS[task.direction], (facts.end - facts.start) * [1, 1, 0]
    along = float(moved @ way)
    return facts.rests and along > 0.08 and along > 0.7 * float(np.linalg.norm(moved)), _near(facts)


def _rotated(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    sign = 1 if task.direction == "counterclockwise" else -1
    first = task.path(0.0)[0].r
    turned = _yaw(outcome.poses[-1, :3, :3] @ first.T)
    true = _yaw(task.path(1.0)[0].r @ first.T)
    away = min(np.linalg.norm((facts.end - place)[:2]) for place in (facts.start, facts.true_end))
    done = facts.upright and np.radians(45) < sign * turned < np.radians(135) and away < _STAYS
    return bool(done), _near(facts) and abs(turned - true) < np.radians(20)


def _swung(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    joint = task.target.joint
    assert joint is not None
    scope = joint.opened - joint.closed
    share = (outcome.joints[-1] - joint.closed) / scope
    true = (task.path(1.0)[1] - joint.closed) / scope
    moved = outcome.poses[-1, :3, 3] - task.path(0.0)[0].p
    done = float(np.linalg.norm(moved)) < _STAYS and facts.upright
    reached = share > _OPENED if task.verb == "opening" else share < _CLOSED
    return bool(done and reached), abs(share - true) < _NEAR_JOINT


def _poured(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    assert task.receptacle is not None
    assert task.target.spout is not None
    bowl, place = task.receptacle
    spouts = outcome.poses[:, :3, :3] @ task.target.spout + outcome.poses[:, :3, 3]
    tilts = np.arccos(np.clip(outcome.poses[:, 2, 2], -1, 1))
    last = task.path(1.0)[0]
    wanted = _POURED * float(np.arccos(np.clip(last.r[2, 2], -1, 1)))
    above = spouts[:, 2] - place.p[2] - bowl.height
    over = (np.linalg.norm((spouts - place.p)[:, :2], axis=1) < bowl.radius) & (above > -0.01) & (above < 0.15)
    done = bool((over & (tilts > wanted) & outcome.touching).any())
    return done, float(np.linalg.norm(spouts[-1] - last.at(task.target.spout))) < FARTHEST


def _put_in(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    assert task.receptacle is not None
    bowl, place = task.receptacle
    inside = float(np.linalg.norm((facts.end - place.p)[:2])) < bowl.radius
    low = facts.end[2] - task.target.height / 2 < place.p[2] + bowl.height
    return facts.free and facts.still and inside and bool(low), True


def _stacked(task: Task, outcome: Outcome, facts: _Facts) -> tuple[bool, bool]:
    aside = float(np.linalg.norm((facts.end - facts.true_end)[:2]))
    return facts.rests and abs(facts.end[2] - facts.true_end[2]) < 0.02 and aside < 0.06, _near(facts)


_CRITERIA = {
    "picking up": _picked_up,
    "putting down": _put_down,
    "pushing": _displaced,
    "pulling": _displaced,
    "moving": _displaced,
    "rotating": _rotated,
    "opening": _swung,
    "closing": _swung,
    "pouring": _poured,
    "putting": _put_in,
    "stacking": _stacked,
}


def _near(facts: _Facts) -> bool:
    return float(np.linalg.norm(facts.end - facts.true_end)) < FARTHEST


def _yaw(turn: Array) -> float:
    return float(np.arctan2(turn[1, 0] - turn[0, 1], turn[0, 0] + turn[1, 1]))
