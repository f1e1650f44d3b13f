"""What things are made of: coloured primitives and meshes, parts, and jointed objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from mask2iv.sim.world.geometry import IDENTITY, Array, Mesh, Pose, frame_z, rotation, vec

Colour = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Geom:
    """One coloured shape of a part.

    Attributes:
        kind: "box", "cylinder", "capsule", "sphere", "ellipsoid" or "mesh".
        size: half extents; (radius, half length) for cylinder and capsule; (radius,) for sphere; () for mesh.
        pose: in the frame of its part; cylinders and capsules lie along z.
        colour: RGB in [0, 1].
        finish: "matte", "plastic" or "metal", or the name of a textured material of the room.
        touch: takes part in contact tests (a mesh does so with its convex hull).
        visible: is drawn.
    """

    kind: str
    size: tuple[float, ...]
    pose: Pose
    colour: Colour
    finish: str = "plastic"
    mesh: Mesh | None = None
    touch: bool = True
    visible: bool = True


def box(centre: Array, half: tuple[float, float, float], colour: Colour, r: Array | None = None, **kw: Any) -> Geom:
    return Geom("box", half, Pose(centre, np.eye(3) if r is None else r), colour, **kw)


def rod(a: Array, b: Array, radius: float, colour: Colour, kind: str = "capsule", **kw: Any) -> Geom:
    """A capsule or cylinder from a to b."""
    length = float(np.linalg.norm(b - a))
    pose = Pose((a + b) / 2, frame_z(b - a))
    return Geom(kind, (radius, length / 2), pose, colour, **kw)


def ball(centre: Array, radius: float, colour: Colour, **kw: Any) -> Geom:
    return Geom("sphere", (radius,), Pose(centre, np.eye(3)), colour, **kw)


def shape(mesh: Mesh, colour: Colour, **kw: Any) -> Geom:
    return Geom("mesh", (), IDENTITY, colour, mesh=mesh, **kw)


@dataclass(frozen=True, eq=False)
class Grip:
    """A place to hold an object.

    Attributes:
        style: "side" (approached level), "top" (approached from above) or "palm" (one of two hands pressing).
        point: local metres [3]. In the frame of the moving part of a jointed object, "palm" in that of the base.
        axis: local direction along which jaws close, or None when any level direction will do; "palm": the direction
            that the touched face looks to.
        half_width: half the thickness along that direction, metres.
    """

    style: str
    point: Array
    axis: Array | None
    half_width: float


@dataclass(frozen=True, eq=False)
class Joint:
    """How the moving part moves against the base: a slide along, or a turn about, an axis.

    Attributes:
        kind: "slide" (value in metres) or "turn" (value in radians).
        axis: in the base frame, unit.
        origin: a point of the axis, base frame; the moving part's frame sits there.
        closed, opened: joint values.
        handle: the point that is pulled to open, in the moving part's frame.
        pull, press: from the handle to the fingertip that opens, and that closes, a turning part; its frame.
        along: how far the fingertip may lie to either side of those, its frame.
        door: whether the part turns about the vertical, so that an upright hand leads it.
    """

    kind: str
    axis: Array
    origin: Array
    closed: float
    opened: float
    handle: Array
    pull: Array = field(default_factory=lambda: vec(0, -0.004, -0.006))
    press: Array = field(default_factory=lambda: vec(0, 0.008, 0.012))
    along: Array = field(default_factory=lambda: vec(0.02, 0, 0))
    door: bool = False

    def pose(self, value: float) -> Pose:
        """Pose of the moving part in the base frame."""
        if self.kind == "slide":
            return Pose(self.origin + self.axis * value, np.eye(3))
        return Pose(self.origin, rotation(self.axis, value))


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """An object standing at its frame's origin, z up.

    Attributes:
        name: category word(s).
        base: shapes of the base part.
        mover: shapes of the moving part, empty for a rigid object.
        joint: present exactly when mover is.
        radius: of the footprint, metres.
        height: metres.
        grips: where it can be held.
        spout: local point where it pours from, towards local +x; None when it cannot pour.
        turns: whether a turn about the vertical can be seen.
        instance: which one of its category it is, "" when drawn afresh.
    """

    name: str
    base: tuple[Geom, ...]
    radius: float
    height: float
    grips: tuple[Grip, ...] = ()
    mover: tuple[Geom, ...] = ()
    joint: Joint | None = None
    spout: Array | None = None
    turns: bool = False
    instance: str = ""

    @property
    def palms(self) -> tuple[Grip, ...]:
        """The grips of a left and a right hand together, or none."""
        return tuple(g for g in self.grips if g.style == "palm")

    def grip(self, style: str) -> Grip | None:
        """The grip of a style, or None."""
        return next((g for g in self.grips if g.style == style), None)


def palms(half_width: float, height: float) -> tuple[Grip, Grip]:
    """Where a left and a right hand press on the faces at -x and +x."""
    return tuple(  # type: ignore[return-value]
        Grip("palm", vec(sign * half_width, 0, height), vec(sign, 0, 0), half_width) for sign in (-1, 1)
    )


def arc(centre: Array, radius: float, start: float, stop: float, count: int, plane: tuple[Array, Array]) -> list[Array]:
    """Points on a circular arc (radians) in a plane given by two unit vectors."""
    u, v = plane
    return [centre + radius * (np.cos(a) * u + np.sin(a) * v) for a in np.linspace(start, stop, count)]


def chain(points: list[Array], radius: float, colour: Colour, **kw: Any) -> list[Geom]:
    """Capsules along points."""
    return [rod(a, b, radius, colour, **kw) for a, b in pairwise(points)]


X_AXIS, Y_AXIS, Z_AXIS = vec(1, 0, 0), vec(0, 1, 0), vec(0, 0, 1)
