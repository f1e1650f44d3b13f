"""The building blocks of objects: coloured primitives and meshes, parts, and joints."""

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
        touch: whether it takes part in contact tests (a mesh by its convex hull).
        visible: whether it is rendered.
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
    """A box by its centre [3], half extents and rotation [3, 3] (None: none), in metres."""
    return Geom("box", half, Pose(centre, np.eye(3) if r is None else r), colour, **kw)


def rod(a: Array, b: Array, radius: float, colour: Colour, kind: str = "capsule", **kw: Any) -> Geom:
    """A capsule or cylinder from a [3] to b [3], in metres."""
    length = float(np.linalg.norm(b - a))
    pose = Pose((a + b) / 2, frame_z(b - a))
    return Geom(kind, (radius, length / 2), pose, colour, **kw)


def ball(centre: Array, radius: float, colour: Colour, **kw: Any) -> Geom:
    """A sphere by its centre [3] and radius, in metres."""
    return Geom("sphere", (radius,), Pose(centre, np.eye(3)), colour, **kw)


def shape(mesh: Mesh, colour: Colour, **kw: Any) -> Geom:
    """A mesh in the frame of its part."""
    return Geom("mesh", (), IDENTITY, colour, mesh=mesh, **kw)


@dataclass(frozen=True, eq=False)
class Grip:
    """A place to hold an object.

    Attributes:
        style: "side" (approached horizontally), "top" (approached from above) or "palm" (pressed by one of two hands).
        point: local metres [3]. On a jointed object in the frame of the moving part; for "palm" in that of the base.
        axis: local direction along which jaws close, or None for any horizontal direction; for "palm" the outward
            normal of the touched face.
        half_width: half the thickness along that direction, metres.
    """

    style: str
    point: Array
    axis: Array | None
    half_width: float


@dataclass(frozen=True, eq=False)
class Joint:
    """How the moving part moves relative to the base: sliding along, or rotating about, an axis.

    Attributes:
        kind: "slide" (value in metres) or "turn" (value in radians).
        axis: unit vector in the base frame.
        origin: a point of the axis in the base frame; the origin of the moving part's frame.
        closed, opened: joint values.
        handle: the point to pull for opening, in the moving part's frame.
        pull, press: offsets from the handle to the fingertip that opens, and that closes, a rotating part; its frame.
        along: largest shift of the fingertip to either side, in the same frame.
        door: whether the part rotates about the vertical, so that an upright hand moves it.
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
        joint: given if and only if the mover is not empty.
        radius: of the footprint, metres.
        height: metres.
        grips: where it can be held.
        spout: local point from which it pours, towards local +x; None when it cannot pour.
        turns: whether a rotation about the vertical is visible.
        instance: its name in the pool, "" when newly generated.
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
        """The grips of a left and a right hand, or none."""
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
    """`count` points [3] on a circular arc between two angles (radians), in a plane given by two unit vectors [3]."""
    u, v = plane
    return [centre + radius * (np.cos(a) * u + np.sin(a) * v) for a in np.linspace(start, stop, count)]


def chain(points: list[Array], radius: float, colour: Colour, **kw: Any) -> list[Geom]:
    """Capsules between consecutive points [3]."""
    return [rod(a, b, radius, colour, **kw) for a, b in pairwise(points)]


X_AXIS, Y_AXIS, Z_AXIS = vec(1, 0, 0), vec(0, 1, 0), vec(0, 0, 1)
