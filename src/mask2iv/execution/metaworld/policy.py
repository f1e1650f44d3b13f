"""From the path of an object's part to waypoints of Meta-World's gripper.

The gripper always points down and does not turn: a position and an effort are all there is. As in AVDC, what is lifted
is taken and carried, and what is not is pushed from behind, with the wrist rather than the fingers where it is pushed
along the table; unlike there, what moves downwards is pushed from above.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mask2iv.execution.camera import Array

Kind = Literal["grasp", "push", "press"]
Program = list[dict[str, Any]]

_UP = np.array([0, 0, 0.15])
"""From a part to where the gripper comes down from, metres."""
_BEHIND = 0.08
"""How far behind the part a push begins, metres."""
_WRIST = 0.075
"""How far below the part the finger tips are when the wrist pushes it, metres."""
_BEYOND = 0.03
"""How far beyond its end a push goes: what is pushed to a stop needs force, metres."""
_LOWEST, _HIGHEST = 0.006, 0.42
"""Of the finger tips, metres."""
_CHORD = 0.1
"""The direction of a push is that to the first place so far away, metres, or else to the farthest."""


def program_of(path: Array, kind: Kind, fingers: Array, held: bool = False) -> Program:
    """The waypoints that make a part go along a path.

    Args:
        path: [T, 3], of the part, in metres.
        kind: how.
        fingers: [3], where the finger tips are now.
        held: whether they hold the part; then they go on from where they are.
    """
    if kind == "grasp":
        return _carry(path + (fingers - path[0])) if held else _grasp(path, fingers)
    return _press(path, fingers) if kind == "press" else _push(path, fingers)


def _grasp(path: Array, fingers: Array) -> Program:
    start = path[0]
    waypoints = _over(start + _UP, fingers, effort=-1.0)
    waypoints.append(_waypoint(start, -1.0, near=0.01))
    # Time to close; the place is reached, so only the steps end it.
    waypoints.append(_waypoint(start, 1.0, near=0.0, steps=15, still=15))
    return waypoints + _carry(path)


def _carry(path: Array) -> Program:
    last = _waypoint(path[-1], 1.0, near=0.005, still=10)
    return [*(_waypoint(point, 1.0, near=0.03) for point in path[1:-1]), last]


def _press(path: Array, fingers: Array) -> Program:
    waypoints = _over(path[0] + _UP, fingers, effort=1.0)
    waypoints.append(_waypoint(path[0] + [0, 0, 0.05], 1.0, near=0.03))
    waypoints += [_waypoint(point, 1.0, near=0.03) for point in path[1:-1]]
    return [*waypoints, _waypoint(path[-1] - [0, 0, _BEYOND], 1.0, near=0.005, steps=60, still=12)]


def _push(path: Array, fingers: Array) -> Program:
    shift = path - path[0]
    away = np.linalg.norm(shift, axis=1)
    chord = shift[np.argmax(away > _CHORD)] if (away > _CHORD).any() else shift[np.argmax(away)]
    first, last = _level(chord), _level(path[-1] - path[-4])
    start = path[0] - first * _BEHIND
    drop = np.array([0, 0, _WRIST])
    waypoints = _over(start + _UP, fingers, effort=1.0)
    waypoints.append(_waypoint(start - drop, 1.0, near=0.02))
    waypoints += [_waypoint(point - drop, 1.0, near=0.05) for point in path[1:-1]]
    return [*waypoints, _waypoint(path[-1] + last * _BEYOND - drop, 1.0, near=0.005, steps=60, still=12)]


def _level(way: Array) -> Array:
    """The direction along the table, [3]; away from the robot where there is none."""
    level = way * [1, 1, 0]
    length = float(np.linalg.norm(level))
    return level / length if length > 1e-3 else np.array([0.0, 1.0, 0.0])


def _over(point: Array, fingers: Array, effort: float) -> Program:
    """Up, and over to a point: what lies in between is not touched."""
    height = max(float(point[2]), float(fingers[2]))
    level = float(np.linalg.norm(point[:2] - fingers[:2]))
    up = [] if level < 0.02 else [_waypoint(np.array([*fingers[:2], height]), effort, near=0.03)]
    return [*up, _waypoint(np.array([*point[:2], height]), effort, near=0.015)]


def _waypoint(point: Array, effort: float, near: float, steps: int = 80, still: int = 8) -> dict[str, Any]:
    place = np.array([*point[:2], np.clip(point[2], _LOWEST, _HIGHEST)])
    return {"to": place.round(4).tolist(), "effort": effort, "near": near, "steps": steps, "still": still}
