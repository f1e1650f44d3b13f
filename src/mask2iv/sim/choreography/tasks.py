"""Actions: what is done to which object, along which path, and with which caption.

World directions match the picture: +x is right, +y away from the camera ("forward"), +z up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mask2iv.sim.world.assets.catalogue import Props
from mask2iv.sim.world.assets.parts import Grip, Joint, ObjectModel
from mask2iv.sim.world.geometry import UP, Array, Pose, min_jerk, rotation, vec, yaw

Rng = np.random.Generator
Path = Callable[[float], tuple[Pose, float]]

DIRECTIONS: dict[str, Array] = {
    "left": vec(-1, 0, 0),
    "right": vec(1, 0, 0),
    "forward": vec(0, 1, 0),
    "backward": vec(0, -1, 0),
}
SAID = {"left": "to the left", "right": "to the right", "forward": "forward", "backward": "backward"}
ACTOR_SAID = {"hand": "a hand", "hands": "two hands", "robot": "a robot arm"}
_GRASPED = (
    *("mug", "cup", "can", "bottle", "carton", "box", "kettle", "banana", "apple", "knife", "spatula", "toy car"),
    *("bucket", "scissors", "pliers", "lamp", "stapler", "chair"),
)
_PUSHED = (
    *("mug", "cup", "can", "bottle", "carton", "box", "bowl", "kettle", "toy car", "banana", "apple", "bowl"),
    *("bucket", "lamp", "stapler", "chair", "trash can"),
)
ROUND = ("cup", "can", "bottle", "apple", "bucket", "trash can")
"""Kinds whose rotation about the vertical is hardly visible."""
_TURNED = tuple(kind for kind in _GRASPED if kind not in ROUND)
_POURED = ("bottle", "kettle", "mug", "cup")
_DROPPED = ("apple", "can", "cup", "apple")
_STACKED = ("can", "cup", "mug", "bottle", "box", "apple", "stapler")
_JOINTED = ("laptop", "drawer", "lidded box", "safe", "trash can")


@dataclass(frozen=True, eq=False)
class Task:
    """One action to perform.

    Attributes:
        verb, caption, direction: its words; direction is "" if it has none.
        target: the handled object.
        path: progress in [0, 1] -> (pose of the target's base, joint value).
        mode: "hold" (grasped, moves with the tool), "push" (touched from behind) or "pivot" (a fingertip guides the
            edge of a rotating lid).
        grip: the grip for "hold".
        heading: horizontal direction in which a hand's fingers point or an arm reaches.
        side: "right" or "left": the hand, and the edge of the picture from which the actor enters.
        push: direction of the first push, world.
        held: whether the actor holds the target from the first frame.
        release: whether the actor releases the target at the end.
        receptacle: a second object that takes part, and its pose.
        whole: whether a jointed target is handled by its base, not its moving part.
        other: the left hand's task beside this one of the right hand, along the same path; None for one actor.
    """

    verb: str
    caption: str
    direction: str
    target: ObjectModel
    path: Path
    mode: str
    side: str
    heading: Array
    grip: Grip | None = None
    push: Array = field(default_factory=lambda: np.zeros(3))
    held: bool = False
    release: bool = True
    receptacle: tuple[ObjectModel, Pose] | None = None
    whole: bool = False
    other: Task | None = None

    @property
    def joint(self) -> Joint | None:
        """The joint that is moved, None if the target is handled as a whole."""
        return None if self.whole else self.target.joint


@dataclass(frozen=True, eq=False)
class Draw:
    """The choices common to all actions: random source, actor, side of the hand, and source of objects."""

    rng: Rng
    actor: str
    side: str
    props: Props

    def heading(self, spread: float = 0.25) -> Array:
        """A horizontal reaching direction, a unit vector [3]: away from the camera, slightly across."""
        across = 1 if self.side == "right" else -1
        angle = across * self.rng.uniform(0.05, 0.75) + self.rng.uniform(-spread, spread) * 0.5
        return yaw(angle) @ vec(0, 1, 0)


def article(noun: str) -> str:
    """The noun with "a" or "an"; plural nouns get no article."""
    if noun in ("scissors", "pliers"):
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def say(d: Draw, verb: str, target: ObjectModel, rest: str = "") -> str:
    """The caption."""
    return f"{ACTOR_SAID[d.actor]} {verb} {article(target.name)}{' ' + rest if rest else ''}"


def pick(d: Draw, kinds: tuple[str, ...]) -> ObjectModel:
    """An object of one of these kinds, among those the clip may use."""
    kinds = d.props.among(kinds)
    return d.props.make(kinds[d.rng.integers(len(kinds))], d.rng)


def _choose_grip(d: Draw, target: ObjectModel, level: bool = True) -> Grip:
    """A grip for the actor; side grips only if the object has one and `level` is set."""
    side, top = target.grip("side"), target.grip("top")
    if side is not None and level and (top is None or d.rng.random() < (0.75 if d.actor == "hand" else 0.35)):
        return side
    assert top is not None or side is not None
    return top or side  # type: ignore[return-value]


def _facing(d: Draw, target: ObjectModel, grip: Grip | None, heading: Array) -> Array:
    """Rotation of the target that suits the grip: a hand closes along its heading (top) or across it (side)."""
    free = yaw(d.rng.uniform(-np.pi, np.pi))
    if d.actor == "robot" or grip is None:
        return free
    across = 1 if d.side == "right" else -1
    base = float(np.arctan2(heading[1], heading[0]))
    if grip.style == "side":
        # Keep a handle clear of palm and fingers: it points to the thumb's side, towards the camera.
        if target.name == "mug":
            return yaw(base + np.pi + across * d.rng.uniform(-0.9, 0.2))
        if grip.axis is not None:
            return yaw(base + np.pi / 2 * d.rng.integers(2) * 2 + d.rng.uniform(-0.15, 0.15))
        return free
    if grip.axis is None:
        return free
    local = float(np.arctan2(grip.axis[1], grip.axis[0]))
    return yaw(base - local + np.pi * d.rng.integers(2) + d.rng.uniform(-0.4, 0.4))


def _spot(d: Draw, travel: Array) -> Array:
    """A start on the table such that start and end lie around the picture's centre."""
    return -travel / 2 * vec(1, 1, 0) + vec(d.rng.uniform(-0.06, 0.06), d.rng.uniform(-0.05, 0.06), 0)


def carry(start: Pose, travel: Array, lift: float) -> Path:
    """Up by `lift` metres, across by `travel` [3] metres, and down again."""

    def path(s: float) -> tuple[Pose, float]:
        up = min_jerk(s / 0.4) * (1 - min_jerk((s - 0.6) / 0.4))
        return start.shifted(travel * min_jerk((s - 0.1) / 0.8) + UP * lift * up), 0.0

    return path


def straight(start: Pose, travel: Array) -> Path:
    """Along a straight line by `travel` [3] metres."""
    return lambda s: (start.shifted(travel * min_jerk(s)), 0.0)


def _travel(d: Draw, direction: str) -> Array:
    length = d.rng.uniform(0.14, 0.21) if direction in ("left", "right") else d.rng.uniform(0.17, 0.24)
    return DIRECTIONS[direction] * length


def _picking_up(d: Draw) -> Task:
    target, heading = pick(d, _GRASPED), d.heading()
    grip = _choose_grip(d, target)
    travel = UP * d.rng.uniform(0.11, 0.16) + vec(d.rng.uniform(-0.04, 0.04), d.rng.uniform(-0.05, 0.02), 0)
    start = Pose(_spot(d, travel) - vec(0, 0.03, 0), _facing(d, target, grip, heading))
    caption = say(d, "picking up", target)
    path = straight(start, travel)
    return Task("picking up", caption, "", target, path, "hold", d.side, heading, grip, release=False)


def _putting_down(d: Draw) -> Task:
    target, heading = pick(d, _GRASPED), d.heading()
    grip = _choose_grip(d, target)
    travel = -UP * d.rng.uniform(0.11, 0.16) + vec(d.rng.uniform(-0.08, 0.08), d.rng.uniform(-0.04, 0.06), 0)
    start = Pose(_spot(d, travel) - UP * travel[2], _facing(d, target, grip, heading))
    caption = say(d, "putting down", target)
    path = straight(start, travel)
    return Task("putting down", caption, "", target, path, "hold", d.side, heading, grip, held=True)


def _pushing(d: Draw) -> Task:
    # A palm pushes away from its own side; fingertips push forward.
    ways = ["forward", "left" if d.side == "right" else "right"]
    if d.actor == "robot":
        ways = ["left", "right", "forward", "backward"]
    direction = ways[d.rng.choice(len(ways), p=(0.35, 0.65) if len(ways) == 2 else None)]
    target, travel = pick(d, _PUSHED), _travel(d, direction)
    start = Pose(_spot(d, travel), yaw(d.rng.uniform(-np.pi, np.pi)))
    caption = say(d, "pushing", target, SAID[direction])
    push = DIRECTIONS[direction]
    path = straight(start, travel)
    return Task("pushing", caption, direction, target, path, "push", d.side, d.heading(), push=push, whole=True)


def _pulling(d: Draw) -> Task:
    ways = ("backward", d.side) if d.actor == "hand" else ("left", "right", "backward", "forward")
    direction = ways[d.rng.integers(len(ways))]
    target, heading, travel = pick(d, _GRASPED), d.heading(), _travel(d, direction)
    grip = _choose_grip(d, target, level=d.actor == "hand")
    start = Pose(_spot(d, travel), _facing(d, target, grip, heading))
    caption = say(d, "pulling", target, SAID[direction])
    return Task("pulling", caption, direction, target, straight(start, travel), "hold", d.side, heading, grip)


def _moving(d: Draw) -> Task:
    direction = list(DIRECTIONS)[d.rng.integers(4)]
    target, heading, travel = pick(d, (*_GRASPED, "bowl")), d.heading(), _travel(d, direction)
    grip = _choose_grip(d, target)
    start = Pose(_spot(d, travel), _facing(d, target, grip, heading))
    path = carry(start, travel, d.rng.uniform(0.05, 0.09))
    caption = say(d, "moving", target, SAID[direction])
    return Task("moving", caption, direction, target, path, "hold", d.side, heading, grip)


def _rotating(d: Draw) -> Task:
    target = pick(d, _TURNED)
    grip = _choose_grip(d, target, level=False)
    sign = 1 if d.rng.random() < 0.5 else -1
    angle = sign * d.rng.uniform(1.1, 1.6)
    across = 1 if d.side == "right" else -1
    heading = yaw(-angle / 2 + 0.35 * across) @ vec(0, 1, 0) if d.actor == "hand" else d.heading()
    start = Pose(_spot(d, np.zeros(3)), _facing(d, target, grip, heading))
    pivot = start.at(grip.point) * vec(1, 1, 0)

    def path(s: float) -> tuple[Pose, float]:
        turn = yaw(angle * min_jerk(s))
        return Pose(pivot + turn @ (start.p - pivot), turn @ start.r), 0.0

    direction = "counterclockwise" if sign > 0 else "clockwise"
    caption = say(d, "rotating", target, direction)
    release = bool(d.rng.random() < 0.5)
    return Task("rotating", caption, direction, target, path, "hold", d.side, heading, grip, release=release)


def _swinging(d: Draw, verb: str) -> Task:
    target = pick(d, _JOINTED)
    joint = target.joint
    assert joint is not None
    # A door's hinge is at its left: the right hand reaches behind its edge, the left one shuts it.
    side = ("right" if verb == "opening" else "left") if joint.door else d.side
    turn = d.rng.uniform(-0.3, 0.3)
    heading = yaw(turn + d.rng.uniform(-0.25, 0.25)) @ vec(0, 1, 0)
    start = Pose(vec(d.rng.uniform(-0.07, 0.07), d.rng.uniform(-0.01, 0.07), 0), yaw(turn))
    first, last = (joint.closed, joint.opened) if verb == "opening" else (joint.opened, joint.closed)
    travel = (last - first) * (1.0 if joint.kind == "slide" else d.rng.uniform(0.92, 1.0))

    def path(s: float) -> tuple[Pose, float]:
        return start, first + travel * min_jerk(s)

    mode, grip = ("hold", target.grip("top")) if joint.kind == "slide" else ("pivot", None)
    push = np.zeros(3)
    if joint.kind == "slide" and verb == "closing":
        mode, push = "push", -(start.r @ joint.axis)
    release = verb == "closing" or d.rng.random() < 0.5
    caption = say(d, verb, target)
    return Task(verb, caption, "", target, path, mode, side, heading, grip, push, release=bool(release))


def _pouring(d: Draw) -> Task:
    target, bowl, heading = pick(d, _POURED), d.props.make("bowl", d.rng), d.heading()
    assert target.spout is not None
    spout = target.spout
    grip = _choose_grip(d, target, level=True)
    if grip.style == "top" and target.name != "kettle" and d.actor == "hand":
        grip = target.grip("side") or grip
    across = 1 if d.side == "right" else -1
    away = yaw(d.rng.uniform(-0.2, 0.2)) @ vec(-across, 0, 0)
    gap = bowl.radius + target.radius + d.rng.uniform(0.03, 0.07)
    start_p = -away * gap * 0.62 + vec(0, d.rng.uniform(-0.04, 0.0), 0)
    bowl_pose = Pose(start_p + away * gap + vec(0, d.rng.uniform(0.0, 0.03), 0), np.eye(3))
    start = Pose(start_p, yaw(float(np.arctan2(away[1], away[0]))))
    if target.name == "kettle":
        heading = yaw(across * d.rng.uniform(0.0, 0.3)) @ vec(0, 1, 0)
    tilt = {"kettle": d.rng.uniform(0.8, 1.0), "bottle": d.rng.uniform(1.8, 2.1)}.get(
        target.name, d.rng.uniform(1.55, 1.85)
    )
    axis = np.cross(UP, away)
    goal = bowl_pose.p + UP * (bowl.height + d.rng.uniform(0.045, 0.07)) - away * bowl.radius * 0.15
    origin = start.at(spout)
    via = (origin + goal) / 2 + UP * 0.13

    def path(s: float) -> tuple[Pose, float]:
        u = min_jerk(s / 0.75)
        r = rotation(axis, tilt * min_jerk((s - 0.25) / 0.7)) @ start.r
        tip = (1 - u) ** 2 * origin + 2 * u * (1 - u) * via + u**2 * goal
        return Pose(tip - r @ spout, r), 0.0

    caption = f"{ACTOR_SAID[d.actor]} pouring from {article(target.name)} into a bowl"
    return Task(
        "pouring", caption, "", target, path, "hold", d.side, heading, grip, release=False, receptacle=(bowl, bowl_pose)
    )


def _delivering(d: Draw, verb: str) -> Task:
    """Putting an object into a bowl, or stacking it on a box."""
    into = verb == "putting"
    target = pick(d, _DROPPED if into else _STACKED)
    other = d.props.make("bowl" if into else "wide box", d.rng)
    heading = d.heading()
    grip = _choose_grip(d, target)
    across = 1 if d.side == "right" else -1
    way = yaw(d.rng.uniform(-0.5, 0.5)) @ vec(-across, 0, 0)
    if d.rng.random() < 0.3:
        way = yaw(d.rng.uniform(-0.4, 0.4)) @ vec(0, 1, 0)
    travel = way * (other.radius + target.radius + d.rng.uniform(0.05, 0.09))
    start = Pose(_spot(d, travel), _facing(d, target, grip, heading))
    turned = yaw(d.rng.uniform(-0.3, 0.3))
    rest = Pose(start.p + travel, turned)
    rise = UP * (0.01 if into else other.height)
    path = carry(start, travel + rise, other.height + d.rng.uniform(0.04, 0.07))
    caption = say(d, verb, target, f"{'into' if into else 'on'} {article(other.name)}")
    return Task(verb, caption, "", target, path, "hold", d.side, heading, grip, receptacle=(other, rest))


ACTIONS: dict[str, Callable[[Draw], Task]] = {
    "picking up": _picking_up,
    "putting down": _putting_down,
    "pushing": _pushing,
    "pulling": _pulling,
    "moving": _moving,
    "rotating": _rotating,
    "opening": lambda d: _swinging(d, "opening"),
    "closing": lambda d: _swinging(d, "closing"),
    "pouring": _pouring,
    "putting": lambda d: _delivering(d, "putting"),
    "stacking": lambda d: _delivering(d, "stacking"),
}
"""Verb -> the function that draws such a task, for a hand or an arm."""
KINDS: dict[str, tuple[str, ...]] = {
    "picking up": _GRASPED,
    "putting down": _GRASPED,
    "pushing": _PUSHED,
    "pulling": _GRASPED,
    "moving": (*_GRASPED, "bowl"),
    "rotating": _TURNED,
    "opening": _JOINTED,
    "closing": _JOINTED,
    "pouring": _POURED,
    "putting": _DROPPED,
    "stacking": _STACKED,
}
"""Verb -> the kinds of objects it is done to."""
