"""The two actors: a human hand with forearm, and a WidowX-like arm with a parallel gripper.

An actor is a list of rigid parts. Its tool's pose and closure determine the pose of every part; there are no
dynamics.

Tool frames:
    hand   origin at the palm's centre, +x along the fingers, +z out of the back of the hand (the palm faces -z). The
           thumb is at +y on a right hand, at -y on a left one.
    robot  origin between the jaw tips, +z out of the gripper, x the direction along which the jaws open.
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mask2iv.sim.world.assets.parts import X_AXIS, Y_AXIS, Colour, Geom, ball, box, rod, shape
from mask2iv.sim.world.geometry import UP, Array, Pose, frame, frame_z, lathe, rotation, unit, vec

Rng = np.random.Generator
SKIN: tuple[Colour, ...] = (
    (0.96, 0.8, 0.69),
    (0.9, 0.7, 0.56),
    (0.8, 0.58, 0.43),
    (0.65, 0.44, 0.31),
    (0.46, 0.3, 0.21),
    (0.34, 0.22, 0.16),
)


class Unreachable(Exception):
    """The arm is too short for a tool pose."""


class Actor(Protocol):
    """What the grasp planner needs to know about an actor.

    Attributes:
        name: "hand" or "robot".
        parts: shapes of each rigid part.
        fingers: part indices of each finger that closes independently; a robot's two jaws are one.
        touching: indices of the parts that may touch objects.
        opened, closed: closure of each finger when fully open, and when fully closed without an object.
        tip: the point of the closed tool that pushes, in the tool frame.
    """

    name: str
    parts: list[tuple[Geom, ...]]
    fingers: list[list[int]]
    touching: list[int]
    opened: Array
    closed: Array
    tip: Array

    def poses(self, tool: Pose, closure: Array) -> list[Pose]:
        """World pose of every part.

        Args:
            tool: pose of the tool, world.
            closure: of each finger, between `opened` and `closed`, [fingers].

        Raises:
            Unreachable: the arm is too short.
        """
        ...


_KNUCKLES = ((0.044, 0.033, 0.08), (0.05, 0.011, 0.02), (0.047, -0.011, -0.03), (0.04, -0.031, -0.1))
_LENGTHS = (0.92, 1.0, 0.95, 0.76)
_SEGMENTS = ((0.044, 0.0095), (0.028, 0.0088), (0.021, 0.008))
_THUMB = ((0.042, 0.0125), (0.034, 0.0105), (0.026, 0.0095))
_THUMB_OPEN = (vec(0.62, 0.62, -0.48), vec(0.8, 0.35, -0.5), vec(0.9, 0.2, -0.4))
_THUMB_SHUT = (vec(0.62, 0.2, -0.76), vec(0.85, -0.2, -0.45), vec(0.8, -0.35, 0.1))


@dataclass
class Hand:
    """A hand whose forearm points to an elbow far outside the picture.

    Attributes:
        side: "right" or "left".
        elbow: world point the forearm points to.
        look: scale, skin, sleeve and cuff, see :meth:`build`.
    """

    side: str
    elbow: Array
    scale: float
    parts: list[tuple[Geom, ...]]
    look: tuple[float, Colour, Colour, float]
    name: str = "hand"

    def __post_init__(self) -> None:
        self.fingers = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]]
        self.touching = list(range(16))
        self.opened = np.array([0.0, 0.08, 0.05, 0.06, 0.1])
        self.closed = np.full(5, 1.0)
        self.tip = vec(0.118, 0.0, -0.042) * self.scale

    @classmethod
    def draw(cls, rng: Rng, side: str, elbow: Array) -> Hand:
        """A hand with random skin, sleeve and size; `elbow` is a world point [3]."""
        skin = SKIN[rng.integers(len(SKIN))]
        skin = tuple(float(np.clip(c + rng.uniform(-0.03, 0.03), 0, 1)) for c in skin)  # type: ignore[assignment]
        sleeve: Colour = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.65), rng.uniform(0.12, 0.9))
        return cls.build(side, elbow, float(rng.uniform(1.05, 1.18)), skin, sleeve, float(rng.uniform(0.03, 0.11)))

    @classmethod
    def build(cls, side: str, elbow: Array, scale: float, skin: Colour, sleeve: Colour, cuff: float) -> Hand:
        """A hand of a scale (1: small) and colours, whose sleeve begins `cuff` metres from the wrist."""
        m = 1.0 if side == "right" else -1.0
        palm = [
            rod(vec(-0.04, 0.6 * y * m, 0) * scale, vec(x - 0.003, y * m, 0) * scale, 0.0125 * scale, skin)
            for x, y, _ in _KNUCKLES
        ]
        palm.append(box(vec(0, 0, 0), (0.036 * scale, 0.026 * scale, 0.0105 * scale), skin))
        thenar = Pose(vec(-0.012, 0.028 * m, -0.009) * scale, rotation(vec(0, 0, 1), 0.6 * m))
        palm.append(Geom("ellipsoid", (0.034 * scale, 0.016 * scale, 0.014 * scale), thenar, skin))
        parts: list[tuple[Geom, ...]] = [tuple(palm)]
        darker: Colour = tuple(0.93 * c for c in skin)  # type: ignore[assignment]
        for length, radius in _THUMB:
            parts.append((rod(vec(0, 0, 0), X_AXIS * length * scale, radius * scale, darker),))
        for ratio in _LENGTHS:
            for i, (length, radius) in enumerate(_SEGMENTS):
                tone = darker if i == 2 else skin
                parts.append((rod(vec(0, 0, 0), X_AXIS * length * ratio * scale, radius * scale, tone),))
        arm = lathe([(0, -0.012), (0.02, -0.004), (0.022, 0.05), (0.029, 0.22), (0, 0.22)], 16)
        cloth = lathe([(0, cuff), (0.031, cuff), (0.035, 0.2), (0.042, 0.75), (0, 0.75)], 16)
        wrist = ball(vec(0, 0, 0), 0.0215 * scale, skin)
        parts.append((shape(arm, skin, finish="matte"), shape(cloth, sleeve, finish="matte"), wrist))
        look = (scale, skin, sleeve, cuff)
        return cls(side, elbow, scale, parts, look)

    def mirrored(self, elbow: Array) -> Hand:
        """The same person's other hand, whose forearm points to the world point `elbow` [3]."""
        return Hand.build("left" if self.side == "right" else "right", elbow, *self.look)

    def poses(self, tool: Pose, closure: Array) -> list[Pose]:
        m = 1.0 if self.side == "right" else -1.0
        result = [tool]
        mirror = vec(1, m, 1)
        joint = tool.at(vec(-0.026, 0.026 * m, -0.008) * self.scale)
        for (length, _), a, b in zip(_THUMB, _THUMB_OPEN, _THUMB_SHUT, strict=True):
            along = tool.r @ (unit(a + (b - a) * closure[0]) * mirror)
            result.append(Pose(joint, frame(along, tool.r[:, 2])))
            joint = joint + along * length * self.scale
        for finger, ((x, y, spread), ratio) in enumerate(zip(_KNUCKLES, _LENGTHS, strict=True)):
            c = float(closure[finger + 1])
            joint = tool.at(vec(x, y * m, -0.002) * self.scale)
            r = tool.r @ rotation(UP, spread * m * (1 - c))
            for (length, _), bend in zip(_SEGMENTS, (0.12 + 1.25 * c, 0.2 + 1.4 * c, 0.12 + 0.9 * c), strict=True):
                r = r @ rotation(Y_AXIS, bend)
                result.append(Pose(joint, r))
                joint = joint + r[:, 0] * length * ratio * self.scale
        wrist = tool.at(vec(-0.05, 0, 0) * self.scale)
        result.append(Pose(wrist, frame_z(self.elbow - wrist)))
        return result


@dataclass
class Robot:
    """A two-link arm on a turret, with a wrist and a parallel gripper.

    Attributes:
        base: world point of its base.
        link: length of each of the two links, metres.
    """

    base: Array
    link: float
    parts: list[tuple[Geom, ...]]
    name: str = "robot"

    def __post_init__(self) -> None:
        self.fingers = [[5, 6]]
        self.touching = [4, 5, 6]
        self.opened = np.array([0.055])
        self.closed = np.array([0.0])
        self.tip = vec(0, 0, 0.0)

    @classmethod
    def draw(cls, rng: Rng, base: Array) -> Robot:
        """An arm with random colours and link length; `base` is a world point [3]."""
        shell: Colour = ((0.1, 0.1, 0.11), (0.16, 0.17, 0.2), (0.82, 0.83, 0.85), (0.75, 0.35, 0.1))[
            rng.choice(4, p=(0.45, 0.2, 0.2, 0.15))
        ]
        trim: Colour = ((0.3, 0.31, 0.34), (0.55, 0.56, 0.6), (0.2, 0.35, 0.7))[rng.integers(3)]
        dark: Colour = (0.08, 0.08, 0.09)
        link = float(rng.uniform(0.36, 0.42))
        pillar = rod(vec(0, 0, -0.2), vec(0, 0, 0.1), 0.055, dark, "cylinder", touch=False)
        turret = rod(vec(0, 0, 0.06), vec(0, 0, 0.14), 0.046, shell, "cylinder")
        # Link frames: x along the link, y along the joint axes.
        side = vec(0, 0.036, 0)
        upper = (
            box(X_AXIS * link / 2, (link / 2, 0.023, 0.026), shell),
            rod(-side, side, 0.036, trim, "cylinder"),
        )
        fore = (
            box(X_AXIS * link / 2, (link / 2, 0.019, 0.021), shell),
            rod(-side, side, 0.032, trim, "cylinder"),
            rod(X_AXIS * link - side * 0.8, X_AXIS * link + side * 0.8, 0.026, trim, "cylinder"),
        )
        wrist = (
            rod(vec(0, 0, -0.15), vec(0, 0, -0.105), 0.02, shell, "cylinder"),
            rod(vec(0, 0, -0.115), vec(0, 0, -0.085), 0.027, trim, "cylinder"),
            box(vec(0, 0, -0.075), (0.06, 0.018, 0.012), dark),
        )
        jaw = (
            box(vec(0.007, 0, -0.03), (0.007, 0.011, 0.036), dark),
            box(vec(0.0035, 0, -0.012), (0.0035, 0.012, 0.018), trim),
        )
        return cls(base, link, [(pillar, turret), upper, fore, (ball(vec(0, 0, 0), 0.024, trim),), wrist, jaw, jaw])

    def poses(self, tool: Pose, closure: Array) -> list[Pose]:
        shoulder = self.base + UP * 0.14
        wrist = tool.at((0, 0, -0.15))
        reach = wrist - shoulder
        distance = float(np.linalg.norm(reach))
        if not 0.12 < distance < 1.99 * self.link:
            raise Unreachable
        level = unit(reach * vec(1, 1, 0))
        normal = np.cross(UP, level)
        upward = unit(np.cross(reach, normal))
        upward = upward if upward[2] > 0 else -upward
        bend = float(np.sqrt(self.link**2 - distance**2 / 4))
        elbow = (shoulder + wrist) / 2 + upward * bend
        gap = X_AXIS * float(closure[0])
        half_turn = np.diag([-1.0, -1.0, 1.0])
        return [
            Pose(self.base, frame(level, UP)),
            Pose(shoulder, frame(elbow - shoulder, upward)),
            Pose(elbow, frame(wrist - elbow, upward)),
            Pose(wrist, tool.r),
            tool,
            Pose(tool.at(gap), tool.r),
            Pose(tool.at(-gap), tool.r @ half_turn),
        ]
