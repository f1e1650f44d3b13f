"""Where a parallel gripper can take an object, from the surface that a depth map shows.

Candidates are sampled on the surface: tool frames that approach from above, or leaning, at several angles about the
approach and at several depths. Of those whose column between the jaws fits the gripper and whose jaws are free, the one
nearest to the wished point and to the object's middle is taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mask2iv.execution.camera import Array

_STEEPEST = 0.6
"""Largest slant of the surfaces that the jaws meet, see :func:`_slant`."""
_SLANTED, _LEANING, _UNEVEN = 2.0, 1.5, 2.0
"""Costs: of slanted surfaces, of a level approach, and of jaws one above the other, where the lower one would have to
come below the object."""


@dataclass(frozen=True)
class Gripper:
    """A parallel gripper; metres. The tool's origin lies between the jaws' tips, z along the approach, x across.

    Attributes:
        opening: largest distance between the jaws.
        width, thickness: of a jaw, along y and x.
        length: from the palm to the tool's origin.
        beyond: how far the jaws reach beyond the tool's origin.
    """

    opening: float = 0.11
    width: float = 0.024
    thickness: float = 0.014
    length: float = 0.06
    beyond: float = 0.006


@dataclass(frozen=True, eq=False)
class Grasp:
    """A way to take an object.

    Attributes:
        tool: float64 [4, 4], the tool's pose at which the jaws close, world.
        width: distance between the surfaces that the jaws meet.
        score: in (0, 1], how good it is.
    """

    tool: Array
    width: float
    score: float

    @property
    def approach(self) -> Array:
        return self.tool[:3, 2]


def plan_grasps(
    points: Array,
    scene: Array,
    wished: Array,
    gripper: Gripper,
    view: Array,
    table: float = 0.0,
    leans: tuple[Array, ...] = (),
    centres: int = 28,
) -> list[Grasp]:
    """The feasible grasps, best first.

    Args:
        points: [N, 3], the object's surface.
        scene: [M, 3], all other surface that is near; the table itself need not be in it.
        wished: [3], where it should be taken.
        view: [3], the camera's horizontal direction of view: what faces away from it is not in `points`.
        table: height below which the jaws must not go.
        leans: unit approaches [3] other than straight down, to be tried too.
        centres: how many points of the surface to try.
    """
    middle = points.mean(axis=0)
    # The jaws meet nothing that is farther away; a point in each cell is enough to collide with.
    close = scene[(np.linalg.norm(scene - middle, axis=1) < 0.2) & (scene[:, 2] > table + 0.004)]
    close = close[np.unique(np.round(close / 0.008).astype(int), axis=0, return_index=True)[1]]
    points = points[:: -(-len(points) // 1500)]
    order = np.random.default_rng(0).permutation(len(points))[:centres]
    tried = np.concatenate([points[order], wished[None], middle[None]])
    found = []
    for approach in (np.array([0.0, 0.0, -1.0]), *leans):
        side = np.cross([0.0, 0.0, 1.0], approach) if abs(approach[2]) < 0.999 else np.array([1.0, 0.0, 0.0])
        side = side / np.linalg.norm(side)
        for angle in np.arange(10) * np.pi / 10:
            across = side * np.cos(angle) + np.cross(approach, side) * np.sin(angle)
            turn = np.stack([across, np.cross(approach, across), approach], axis=1)
            for centre in tried:
                found += _at(points, close, centre, turn, gripper, table, wished, middle, view)
    return sorted(found, key=lambda grasp: -grasp.score)


def _at(
    points: Array,
    scene: Array,
    centre: Array,
    turn: Array,
    gripper: Gripper,
    table: float,
    wished: Array,
    middle: Array,
    view: Array,
) -> list[Grasp]:
    local = (points - centre) @ turn
    column = local[np.abs(local[:, 1]) < gripper.width / 2]
    if len(column) < 4:
        return []
    top = float(np.quantile(column[:, 2], 0.03))
    # The lowest the tool may go: jaws beyond its origin must stay above the table.
    fall = -turn[2, 2]
    floor = (centre[2] - table - 0.002) / fall - gripper.beyond if fall > 0.2 else np.inf
    result = []
    around = np.concatenate([local, (scene - centre) @ turn])
    around = around[np.abs(around[:, 1]) < gripper.width / 2]
    for deep in (0.012, 0.022, 0.034, 0.048):
        tip = min(top + deep, floor)
        if tip - top < 0.003:
            continue
        inside = column[column[:, 2] < tip + 0.004]
        if len(inside) < 3:
            continue
        low, high = inside[:, 0].min(), inside[:, 0].max()
        width, mid = float(high - low), float(high + low) / 2
        if width > gripper.opening - 0.014:
            continue
        slant = _slant(inside, gripper.width)
        if slant > _STEEPEST:
            continue
        outside = np.abs(around[:, 0] - mid) - width / 2
        jaws = (
            (outside > 0.004)
            & (outside < 0.006 + gripper.thickness)
            & (around[:, 2] < tip + gripper.beyond)
            & (around[:, 2] > tip - gripper.length)
        )
        if jaws.sum() > 1:
            continue
        tool = np.eye(4)
        tool[:3, :3] = turn
        tool[:3, 3] = centre + turn @ np.array([mid, 0, tip])
        off = (
            float(np.linalg.norm(tool[:3, 3] - wished)) / 0.08
            + float(np.linalg.norm((tool[:3, 3] - middle)[:2])) / 0.06
        )
        hidden = abs(float(turn[:, 0] @ view))
        cost = off + 1.5 * width / gripper.opening + 0.5 * hidden - min(tip - top, 0.035) / 0.025
        cost += _LEANING * (1 + turn[2, 2]) + _SLANTED * slant + _UNEVEN * abs(turn[2, 0])
        result.append(Grasp(tool, width, float(1 / (1 + np.exp(0.7 * (cost - 1.5))))))
    return result


def _slant(inside: Array, width: float) -> float:
    """How steeply the two surfaces that the jaws meet run together: the tangent of half the wedge's angle.

    Near the rim of a round thing a column is wide at one edge of the jaws and narrow, or empty, at the other: closing,
    they would squeeze it out sideways. Sides that run parallel, however skewed, turn in.

    Args:
        inside: [N, 3], what is between the jaws, in the tool's axes.
        width: of the jaws, of which the outer thirds are compared.
    """
    third = width / 6
    ends = [_extent(inside[inside[:, 1] < -third]), _extent(inside[inside[:, 1] > third])]
    return abs(ends[1] - ends[0]) / (8 * third)


def _extent(points: Array) -> float:
    """How wide points are across the jaws; 0 for none."""
    return float(np.ptp(points[:, 0])) if len(points) else 0.0
