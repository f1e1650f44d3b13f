"""Where a released object comes to rest: on the table, or on what stands there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.motion import ObjectMotion

STANDS = 0.035
"""An object whose lowest seen point is less above the table stands on it, metres."""
_REACH = 0.12
"""How far along the line of sight a place of rest is looked for, metres."""
_HIGHEST = 0.16
_ASIDE = (-0.02, -0.01, 0.0, 0.01, 0.02)
"""How far aside a place of rest on a thing is looked for, metres."""
_BARE = 0.06
"""What it costs that nothing of the thing is below the object, in metres of the way to another place."""
_CELL = 0.008


def lowest(points: Array, table: float) -> float:
    """Height of an object's foot: the table where its lowest seen point is near, since round ones hide their foot."""
    seen = float(np.quantile(points[:, 2], 0.02))
    return table if seen < table + STANDS else seen


def settle(
    motion: ObjectMotion, camera: PinholeCamera, scene: Array, table: float = 0.0, onto: bool = False
) -> ObjectMotion:
    """A motion whose last frame rests on a surface of the scene.

    A mask hardly shows how far along the line of sight an object is, but one that is let go does not hover: its end is
    moved along the line of sight to where its lowest point meets the surface below it. The frames before are moved in
    proportion to their way.

    Args:
        motion: of an object that is released at the end.
        camera: that sees it.
        scene: [N, 3], surface of all else.
        table: height of the table.
        onto: whether it is known to rest on a thing, not on the table, as what is stacked does. It may then be moved
            sideways, too, to where the thing is below all of it.
    """
    last = motion.transforms[-1]
    moved = motion.points @ last[:3, :3].T + last[:3, 3]
    middle = moved.mean(axis=0)
    foot = lowest(motion.points, table) + float(motion.path(motion.centre)[-1, 2] - motion.centre[2])
    radius = float(np.median(np.linalg.norm(moved[:, :2] - middle[:2], axis=1)))
    sight = middle - camera.position
    sight = sight / np.linalg.norm(sight)
    things = scene[(scene[:, 2] > table + 0.012) & (scene[:, 2] < table + _HIGHEST)]
    away = sight * [1, 1, 0] / max(float(np.linalg.norm(sight[:2])), 1e-6)
    side = np.cross([0.0, 0.0, 1.0], away)
    best, least = np.zeros(3), np.inf
    for across in _ASIDE if onto else (0.0,):
        for along in np.linspace(-_REACH, _REACH, 97):
            shift = sight * along + side * across
            level, covered = _surface(things, middle + shift, radius, table)
            if onto and not covered:
                continue
            # Of places where it would rest, the nearest; a centimetre of gap costs as much as two of the way.
            cost = (
                abs(foot + shift[2] - level) * 2 + abs(along) + abs(across) + (_BARE * (1 - covered) if onto else 0.0)
            )
            if cost < least:
                best, least = shift, cost
    share = np.linalg.norm(motion.path(motion.centre) - motion.centre, axis=1)
    share = share / max(float(share[-1]), 1e-6)
    transforms = motion.transforms.copy()
    transforms[:, :3, 3] += np.clip(share, 0, 1)[:, None] * best
    return replace(motion, transforms=transforms)


def _surface(things: Array, spot: Array, radius: float, table: float) -> tuple[float, float]:
    """Height of what is under a spot, and how much of the footprint it covers, in [0, 1]: 0 for the table."""
    if not len(things):
        return table, 0.0
    reach = max(radius * 0.7, 0.015)
    under = things[np.linalg.norm(things[:, :2] - spot[:2], axis=1) < reach]
    if len(under) < 12:
        return table, 0.0
    level = float(np.quantile(under[:, 2], 0.8))
    cells = np.unique(np.round(under[under[:, 2] > level - 0.012, :2] / _CELL).astype(int), axis=0)
    return level, min(len(cells) * _CELL**2 / (np.pi * reach**2), 1.0)
