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

LIFTED = 0.04
"""A part that rises higher than this, metres, is carried."""
_ABOVE = 0.15
_BEHIND = 0.08
"""How far behind the part a push begins, metres."""
_WRIST = 0.075
"""How far below the part the finger tips are when the wrist pushes it, metres."""
_LOWEST, _HIGHEST = 0.006, 0.42
"""Of the finger tips, metres."""
_CHORD = 0.1
"""The direction of a push is that to the first place so far away, metres, or else to the farthest."""


def kind_of(path: Array) -> Kind:
    """How a path [T, 3] of a part, metres, is brought about."""
    shift = path - path[0]
    far = shift[np.argmax(np.linalg.norm(shift, axis=1))]
    if shift[:, 2].max() > LIFTED:
        return "grasp"
    if -far[2] > np.linalg.norm(far[:2]):
        return "press"
    return "push"


def program_of(path: Array, kind: Kind, fingers: Array) -> Program:
    """The waypoints that make a part go along a path.

    Args:
        path: [T, 3], of the part, in metres.
        kind: how.
        fingers: [3], where the finger tips are now.
    """
    if kind == "grasp":
        return _grasp(path, fingers)
    return _push(path, kind, fingers)


def _grasp(path: Array, fingers: Array) -> Program:
    start = path[0]
    offset = np.zeros(3)
    waypoints = _over(start + [0, 0, _ABOVE], fingers, effort=-1.0)
    waypoints.append(_waypoint(start, -1.0, near=0.01))
    # Time to close; the point is reached, so only the steps end it.
    waypoints.append(_waypoint(start, 1.0, near=0.0, steps=15, still=15))
    waypoints += [_waypoint(point + offset, 1.0, near=0.03) for point in path[1:-1]]
    waypoints.append(_waypoint(path[-1] + offset, 1.0, near=0.005, still=10))
    return waypoints


def _push(path: Array, kind: Kind, fingers: Array) -> Program:
    shift = path - path[0]
    away = np.linalg.norm(shift, axis=1)
    chord = shift[np.argmax(away > _CHORD)] if (away > _CHORD).any() else shift[np.argmax(away)]
    if kind == "press":
        waypoints = _over(path[0] + [0, 0, _ABOVE], fingers, effort=1.0)
        waypoints.append(_waypoint(path[0] + [0, 0, 0.05], 1.0, near=0.03))
        waypoints += [_waypoint(point, 1.0, near=0.03) for point in path[1:-1]]
        waypoints.append(_waypoint(path[-1] - [0, 0, 0.03], 1.0, near=0.005, steps=60, still=12))
        return waypoints
    level = chord * [1, 1, 0]
    way = level / max(float(np.linalg.norm(level)), 1e-6)
    start = path[0] - way * _BEHIND
    drop = np.array([0, 0, _WRIST])
    waypoints = _over(start + [0, 0, _ABOVE], fingers, effort=1.0)
    waypoints.append(_waypoint(start - drop, 1.0, near=0.02))
    waypoints += [_waypoint(point - drop, 1.0, near=0.05) for point in path[1:-1]]
    waypoints.append(_waypoint(path[-1] - drop, 1.0, near=0.005, steps=60, still=12))
    return waypoints


def _over(point: Array, fingers: Array, effort: float) -> Program:
    """Up, and over to a point: what lies in between is not touched."""
    height = max(float(point[2]), float(fingers[2]))
    level = float(np.linalg.norm(point[:2] - fingers[:2]))
    up = [] if level < 0.02 else [_waypoint(np.array([*fingers[:2], height]), effort, near=0.03)]
    return [*up, _waypoint(np.array([*point[:2], height]), effort, near=0.015)]


def _waypoint(point: Array, effort: float, near: float, steps: int = 80, still: int = 8) -> dict[str, Any]:
    place = np.array([*point[:2], np.clip(point[2], _LOWEST, _HIGHEST)])
    return {"to": place.round(4).tolist(), "effort": effort, "near": near, "steps": steps, "still": still}
