"""The conditions of planner and painter, computed in the same way for training and generation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mask2iv.backbones.planning.painter import KnownMaps
from mask2iv.backbones.planning.planner import PICTURE, PlannerConditions
from mask2iv.contract import BoolArray, Label, UInt8Array, is_actor
from mask2iv.errors import within
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.alignment import Transform, similarity, warp_mask
from mask2iv.trajectories.distances import distance_map
from mask2iv.trajectories.editing.parts import centre
from mask2iv.trajectories.plan import OBJECT_NUMBERS, plan_of

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SceneFacts:
    """All conditions that one scene has for a planner; float32.

    Attributes:
        picture: [6, 40, 64], RGB in [-1, 1] and planes of object, actor, target in [0, 1].
        start: [3], the object's centroid (x, y) and the square root of its area, in units of the picture's height.
        target: [4], the object's last pose: shift, log_scale, angle; zero without a target.
        actors: [18], numbers of the first frame's actors; zero without actors.
        has_target, has_actor: whether these are given.
    """

    picture: Floats
    start: Floats
    target: Floats
    actors: Floats
    has_target: bool
    has_actor: bool


def given_motion(scene: Scene, count: int) -> NDArray[np.float64] | None:
    """The object's numbers of a plan of `count` frames where a scene has its path, [T, OBJECT_NUMBERS]; else None.

    Raises:
        InputError: frames that are not there.
    """
    if scene.object_path is None:
        return None
    begin = centre(scene.object_mask)
    assert begin is not None, "a scene has an object"
    with within("object_path"):
        numbers = scene.object_path.numbers(begin, count)
    numbers[:, :2] /= scene.size[0] - 1
    return numbers


def scene_facts(
    image: UInt8Array,
    labels: UInt8Array,
    target: BoolArray | None,
    motion: NDArray[np.float64] | None = None,
) -> SceneFacts:
    """The facts of a scene. Two actors count as one, since users give one mask for both.

    Args:
        image: first frame, uint8 [H, W, 3].
        labels: of the first frame, uint8 [H, W], with an object.
        target: the object's mask at the end, bool [H, W]; None or empty: not given.
        motion: the object's numbers, [T, OBJECT_NUMBERS], where they are known: their end is the target.

    Raises:
        InputError: no object.
    """
    unit = labels.shape[0] - 1
    item, actor = labels == Label.OBJECT, is_actor(labels)
    plan = plan_of(np.where(actor, np.uint8(Label.ACTOR), labels)[None])
    aim = np.zeros_like(item) if target is None else target
    pose = np.zeros(OBJECT_NUMBERS)
    if motion is not None:
        pose = motion[-1]
        centroid = np.array(plan.start) * unit
        aim = warp_mask(item, similarity(centroid, unit * pose[:2], float(pose[2]), float(pose[3])))
    elif aim.any():
        pose = target_pose(labels, aim)
    planes = [_small(plane.astype(np.float32)) for plane in (item, actor, aim)]
    colours = _small(image.astype(np.float32) / 127.5 - 1.0).transpose(2, 0, 1)
    return SceneFacts(
        picture=np.concatenate([colours, np.stack(planes)]).astype(np.float32),
        start=np.array([*plan.start, np.sqrt(item.sum()) / unit], dtype=np.float32),
        target=pose.astype(np.float32),
        actors=plan.to_array()[0, OBJECT_NUMBERS:].astype(np.float32),
        has_target=bool(aim.any()),
        has_actor=bool(actor.any()),
    )


def target_pose(labels: UInt8Array, target: BoolArray) -> NDArray[np.float64]:
    """The object's pose at its target, [4]: shift, log_scale and angle, see ``InteractionPlan``.

    Args:
        labels: of the first frame, uint8 [H, W].
        target: bool [H, W], not empty.

    Raises:
        InputError: no object.
    """
    last = target.astype(np.uint8) * np.uint8(Label.OBJECT)
    return plan_of(np.stack([labels, last])).to_array()[1, :OBJECT_NUMBERS]


def join_facts(facts: list[SceneFacts], text: torch.Tensor) -> PlannerConditions:
    """The conditions of B scenes and their text tokens [B, L, D], on the text's device and in its precision."""

    def stacked(name: str) -> torch.Tensor:
        return torch.from_numpy(np.stack([getattr(one, name) for one in facts])).to(text)

    flags = {
        name: torch.tensor([getattr(one, name) for one in facts], device=text.device)
        for name in ("has_target", "has_actor")
    }
    return PlannerConditions(
        picture=stacked("picture"),
        start=stacked("start"),
        has_target=flags["has_target"],
        target=stacked("target"),
        has_actor=flags["has_actor"],
        actors=stacked("actors"),
        text=text,
    )


def without(conditions: PlannerConditions, text: torch.Tensor, target: bool = False) -> PlannerConditions:
    """Fewer of the conditions of B scenes.

    Args:
        conditions: all of them.
        text: tokens in place of the given ones, [B, L, D].
        target: whether the target is left out.
    """
    if not target:
        return replace(conditions, text=text)
    picture = conditions.picture.clone()
    picture[:, 5] = 0
    return replace(conditions, text=text, picture=picture, has_target=torch.zeros_like(conditions.has_target))


def known_maps(labels: UInt8Array, transforms: Transform) -> tuple[Floats, Floats, Floats]:
    """The arrays of ``KnownMaps`` of one clip: [T, 1, h, w], [1, h, w], [1, h, w].

    Args:
        labels: of the first frame, uint8 [H, W].
        transforms: the object's motions, [T, 2, 3] in pixels.
    """
    item, actor = labels == Label.OBJECT, is_actor(labels)
    moved = np.stack([distance_map(warp_mask(item, transform))[None] for transform in transforms])
    return moved, distance_map(item)[None], distance_map(actor)[None]


def join_maps(parts: list[tuple[Floats, Floats, Floats]], like: torch.Tensor) -> KnownMaps:
    """The maps of B clips, on the device and in the precision of `like`."""
    return KnownMaps(*(torch.from_numpy(np.stack(values)).to(like) for values in zip(*parts, strict=True)))


def _small(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(values, (PICTURE[1], PICTURE[0]), interpolation=cv2.INTER_AREA), dtype=np.float32)
