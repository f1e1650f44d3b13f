"""A motion plan: how a gripper makes an object move as its masks do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import Label, Trajectory, UInt8Array, is_actor
from mask2iv.execution.camera import Array, PinholeCamera
from mask2iv.execution.contact import Contact, find_contact
from mask2iv.execution.grasps import Grasp, Gripper, plan_grasps
from mask2iv.execution.lifting import Freedom, object_motion
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.poses import straight_down
from mask2iv.execution.support import settle

FREEDOM_OF: dict[str, Freedom] = {
    "pushing": "table",
    "pulling": "table",
    "rotating": "turn",
    "picking up": "lift",
    "putting down": "carry",
    "moving": "carry",
    "putting": "carry",
    "stacking": "carry",
    "lifting": "lift",
    "pouring": "tilt",
}
"""Verb of a caption -> what the object's motion may be."""
ONTO = ("stacking", "putting")
"""Verbs after which the object rests on, or in, another thing."""

ABOVE, BEHIND = 0.09, 0.035
"""From where a tool comes to a grasp, back along its approach, and to a push, back along the way; metres."""


@dataclass(frozen=True, eq=False)
class MotionPlan:
    """What a gripper does, in T steps of the trajectory's frames.

    Attributes:
        kind: "grasp" (the object moves with the gripper), "push" (it is pushed from behind), "swing" (a finger moves
            a lid) or "rest" (nothing is done).
        motion: the object's.
        contact: when and where it is handled; None for "rest".
        tool: float64 [T, 4, 4], the tool's pose in the world, whose origin lies between the jaws' tips, z along the
            approach, x across the jaws. Before `contact.touch` and after `contact.release` that of these frames.
        opening: float64 [T], distance between the jaws in metres; 0 for closed with force.
        width: of the object between the jaws, metres.
        approach: float64 [4, 4], the pose from which the tool comes, clear of the object.
        confidence: float64 [T] in [0, 1].
        advance: [3], unit direction in which the tool is to feel for the object from `approach`; 0: it need not.
    """

    kind: Literal["grasp", "push", "swing", "rest"]
    motion: ObjectMotion
    contact: Contact | None
    tool: Array
    opening: Array
    width: float
    approach: Array
    confidence: Array
    advance: Array = field(default_factory=lambda: np.zeros(3))


def plan_motion(
    trajectory: Trajectory,
    camera: PinholeCamera,
    depth: Array,
    verb: str = "",
    table: float = 0.0,
    gripper: Gripper | None = None,
    held: Array | None = None,
    leans: tuple[Array, ...] = (),
    video: UInt8Array | None = None,
) -> MotionPlan:
    """The plan of a rigid object's trajectory.

    Args:
        trajectory: T frames, true or predicted.
        camera: of the same size.
        depth: float64 [H, W], of the first frame, metres along the camera's z; see
            :func:`mask2iv.execution.camera.table_depth` where there is none.
        verb: the action's, where it is known: it says what the motion may be, see :data:`FREEDOM_OF`.
        table: its height, metres.
        gripper: its measures.
        held: float64 [4, 4], the tool's pose in the first frame, where the gripper holds the object already.
        leans: approaches other than straight down.
        video: uint8 [T, H, W, 3], the trajectory's frames, if the object's pixels are to be aligned, too.

    Raises:
        InputError: as :func:`~mask2iv.execution.lifting.object_motion`.
    """
    motion = object_motion(trajectory, camera, depth, FREEDOM_OF.get(verb), table, video)
    contact = find_contact(trajectory, camera, motion, verb, table)
    if contact is None:
        return _rest(motion)
    scene = scene_points(trajectory, camera, depth)
    if not contact.kept and motion.freedom == "carry":
        motion = settle(motion, camera, scene, table, onto=verb in ONTO)
    return plan_of_motion(motion, contact, camera, scene, verb, table, gripper, held, leans)


def plan_of_motion(
    motion: ObjectMotion,
    contact: Contact,
    camera: PinholeCamera,
    scene: Array,
    verb: str = "",
    table: float = 0.0,
    gripper: Gripper | None = None,
    held: Array | None = None,
    leans: tuple[Array, ...] = (),
) -> MotionPlan:
    """The plan of a known motion and contact; arguments as of :func:`plan_motion`."""
    gripper = gripper or Gripper()
    if held is not None:
        return _grasped(motion, contact, Grasp(held, 0.0, 1.0), gripper, opened=0.0)
    if pushes(motion, contact, verb):
        return _pushed(motion, contact, gripper, table)
    view = camera.pose[:3, 2] * [1, 1, 0]
    view = view / max(float(np.linalg.norm(view)), 1e-6)
    grasps = plan_grasps(motion.points, scene, contact.point, gripper, view, table, leans)
    if not grasps:
        return _pushed(motion, contact, gripper, table)
    return _grasped(motion, contact, grasps[0], gripper, opened=min(grasps[0].width + 0.02, gripper.opening))


def scene_points(trajectory: Trajectory, camera: PinholeCamera, depth: Array) -> Array:
    """The world points [N, 3] of all that is neither object nor actor in the first frame."""
    first = trajectory.labels[0]
    known = (first != Label.OBJECT) & ~is_actor(first) & np.isfinite(depth) & (depth > 0) & (depth < 3)
    return camera.points(depth)[known]


def pushes(motion: ObjectMotion, contact: Contact, verb: str) -> bool:
    """Whether the object is pushed from behind: said so, or not lifted and touched at its trailing end."""
    if verb:
        return verb == "pushing"
    if motion.freedom not in ("table", "turn") or contact.confidence == 0:
        return False
    way = motion.path(motion.centre)[contact.release] - motion.centre
    length = float(np.linalg.norm(way))
    if length < 0.03:
        return False
    along = (motion.points - motion.centre) @ way / length
    return float((contact.point - motion.centre) @ way / length) < 0.5 * float(np.quantile(along, 0.05))


def _rest(motion: ObjectMotion) -> MotionPlan:
    count = len(motion.transforms)
    still = np.repeat(np.eye(4)[None], count, axis=0)
    return MotionPlan("rest", motion, None, still, np.zeros(count), 0.0, np.eye(4), motion.confidence)


def _grasped(motion: ObjectMotion, contact: Contact, grasp: Grasp, gripper: Gripper, opened: float) -> MotionPlan:
    start = motion.transforms[contact.touch]
    frames = np.clip(np.arange(len(motion.transforms)), contact.touch, contact.release)
    # The grasp was planned on the surface of the first frame.
    tool = motion.transforms[frames] @ grasp.tool
    opening = _opening(len(frames), contact, opened or gripper.opening / 2, 0.0)
    approach = start @ grasp.tool
    approach[:3, 3] -= approach[:3, 2] * ABOVE
    return MotionPlan(
        "grasp", motion, contact, tool, opening, grasp.width, approach, _sure(motion, contact, grasp.score)
    )


def _pushed(motion: ObjectMotion, contact: Contact, gripper: Gripper, table: float) -> MotionPlan:
    """Two jaws side by side behind the object, so that it does not turn away."""
    path = motion.path(motion.centre)
    way = (path[contact.release] - path[contact.touch]) * [1, 1, 0]
    length = float(np.linalg.norm(way))
    way = way / length if length > 1e-6 else np.array([1.0, 0, 0])
    across = np.cross([0.0, 0.0, 1.0], way)
    local = (motion.points - motion.centre) @ np.stack([way, across], axis=1)
    low, high = np.quantile(local[:, 1], [0.03, 0.97])
    opening = float(np.clip(0.75 * (high - low) - gripper.thickness, 0.0, gripper.opening))
    mid = (low + high) / 2
    tall = float(motion.points[:, 2].max()) - table
    height = table + min(0.035, max(gripper.beyond + 0.004, tall * 0.45))
    # How far back the object reaches where the jaws meet it.
    meets = np.abs(np.abs(local[:, 1] - mid) - (opening + gripper.thickness) / 2) < gripper.thickness
    back = float(np.quantile(local[meets, 0] if meets.sum() > 3 else local[:, 0], 0.03)) - gripper.width / 2
    tool = np.repeat(np.eye(4)[None], len(path), axis=0)
    tool[:, :3, :3] = straight_down(across)
    frames = np.clip(np.arange(len(path)), contact.touch, contact.release)
    tool[:, :3, 3] = path[frames] + way * back + across * mid
    tool[:, 2, 3] = height
    approach = tool[contact.touch].copy()
    approach[:3, 3] -= way * BEHIND
    opening_of = np.full(len(path), opening)
    return MotionPlan("push", motion, contact, tool, opening_of, high - low, approach, _sure(motion, contact, 1.0))


def _opening(count: int, contact: Contact, opened: float, closed: float) -> NDArray[np.float64]:
    frames = np.arange(count)
    apart = (frames < contact.touch) | ((frames > contact.release) & (not contact.kept))
    return np.where(apart, opened, closed)


def _sure(motion: ObjectMotion, contact: Contact, grasp: float) -> Array:
    return np.clip(motion.confidence, 0, 1) * (0.5 + 0.5 * contact.confidence) * grasp
