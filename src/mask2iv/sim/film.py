"""Pictures and labels of animated frames, and checks that they show the action."""

from __future__ import annotations

import numpy as np

from mask2iv.contract import BoolArray, Label, UInt8Array, is_actor
from mask2iv.sim.choreography.grasp import Implausible, Scene
from mask2iv.sim.choreography.motion import Frame
from mask2iv.sim.choreography.tasks import DIRECTIONS, Task
from mask2iv.sim.world.geometry import Array, unit, vec
from mask2iv.sim.world.render import Renderer

Rng = np.random.Generator


def film(
    scenes: list[Scene],
    played: list[list[Frame]],
    renderer: Renderer,
    shutter: float = 0.0,
    judge: bool = True,
    pictures: bool = True,
) -> tuple[UInt8Array, UInt8Array]:
    """Render all frames, starting with the first and the last because most draws are rejected there.

    Args:
        scenes, played: each actor's scene, and its frames.
        shutter: exposure of each picture, as a share of the time between two frames; labels are those of the middle of
            the exposure.
        judge: whether the pictures must show the action.
        pictures: whether to render the video; without it the video stays black, in a fifth of the time.

    Returns:
        Video uint8 [T, H, W, 3] and labels uint8 [T, H, W].

    Raises:
        Implausible: the pictures do not show the action.
    """
    stage, task = scenes[0].stage, scenes[0].task
    renderer.load(stage.model)
    labels_of = _labels_of(scenes)
    count = len(played[0])
    video = np.zeros((count, renderer.height, renderer.width, 3), dtype=np.uint8)
    labels = np.empty(video.shape[:3], dtype=np.uint8)
    for k in (0, count - 1, *range(1, count - 1)):
        _show(scenes, played, float(k))
        if pictures:
            video[k] = renderer.picture(stage.data)
        labels[k] = labels_of[renderer.ids(stage.data)]
        if judge and k in (0, count - 1):
            _check_object_seen(labels[k] == Label.OBJECT, renderer.target_area(stage.data))
        if judge and k == count - 1:
            _check_motion(task, labels[0] == Label.OBJECT, labels[k] == Label.OBJECT)
        if shutter > 0 and pictures:
            video[k] = _expose(scenes, played, renderer, k, shutter, video[k])
    if judge:
        _check_sizes(labels, two=len(scenes) > 1)
    return video, labels


def _labels_of(scenes: list[Scene]) -> UInt8Array:
    """The label of each geom id; the last entry is for no geom."""
    stage = scenes[0].stage
    labels_of = np.zeros(stage.model.ngeom + 1, dtype=np.uint8)
    for group in ("base", "mover"):
        labels_of[stage.all_ids(group)] = Label.OBJECT
    for scene, label in zip(scenes, (Label.ACTOR, Label.SECOND_ACTOR), strict=False):
        for i in range(len(scene.actor.parts)):
            labels_of[stage.all_ids(f"{scene.group}{i}")] = label
    return labels_of


def _show(scenes: list[Scene], played: list[list[Frame]], time: float) -> None:
    """Pose everything for a time, measured in frames."""
    low = min(int(time), len(played[0]) - 2)
    for scene, frames in zip(scenes, played, strict=True):
        state = frames[round(time)] if time == round(time) else frames[low].towards(frames[low + 1], time - low)
        state.show(scene)
    scenes[0].stage.update_lights()


def _expose(
    scenes: list[Scene], played: list[list[Frame]], renderer: Renderer, k: int, shutter: float, sharp: UInt8Array
) -> UInt8Array:
    """The mean of pictures spread over the exposure, with `sharp` in the middle; more for faster motion."""
    stage, last = scenes[0].stage, len(played[0]) - 1
    ends = [min(max(k + sign * shutter / 2, 0.0), float(last)) for sign in (-1, 1)]
    seen = []
    for time in ends:
        _show(scenes, played, time)
        seen.append(renderer.project(stage.data))
    travel = float(np.linalg.norm(seen[1] - seen[0], axis=1).max())
    extra = 0 if travel < 1.5 else 2 if travel < 7.0 else 4
    if not extra:
        return sharp
    total = sharp.astype(np.float32)
    for share in [(i + 0.5) / extra for i in range(extra)]:
        _show(scenes, played, ends[0] + (ends[1] - ends[0]) * share)
        total += renderer.picture(stage.data)
    blurred: UInt8Array = np.round(total / (extra + 1)).astype(np.uint8)
    return blurred


def add_noise(video: UInt8Array, strength: float, rng: Rng) -> UInt8Array:
    """Add sensor noise, less in dark and more in bright areas (shot noise).

    Args:
        video: uint8 [T, H, W, 3].
        strength: standard deviation at mid-grey, in 8-bit levels.
        rng: draws it.
    """
    light = video.astype(np.float32)
    spread = strength * np.sqrt((light + 16.0) / (128.0 + 16.0))
    noisy = light + spread * rng.standard_normal(video.shape, dtype=np.float32)
    return np.clip(np.round(noisy), 0, 255).astype(np.uint8)


def _check_sizes(labels: UInt8Array, two: bool) -> None:
    actor = is_actor(labels).sum(axis=(1, 2)).max()
    if actor < 0.01 * labels[0].size:
        raise Implausible("actor not visible")
    if actor > (0.4 if two else 0.28) * labels[0].size:
        raise Implausible("actor too large")
    if two and (labels == Label.SECOND_ACTOR).sum(axis=(1, 2)).max() < 0.005 * labels[0].size:
        raise Implausible("actor not visible")
    if (labels == Label.OBJECT).sum(axis=(1, 2)).min() < 0.001 * labels[0].size:
        raise Implausible("object hidden")


def _check_object_seen(seen: BoolArray, whole: int) -> None:
    area = int(seen.sum())
    if area < 0.35 * whole or area < 0.004 * seen.size:
        raise Implausible("object hidden")
    if area > 0.2 * seen.size:
        raise Implausible("object too large")
    rim = int(seen[0].sum() + seen[-1].sum() + seen[:, 0].sum() + seen[:, -1].sum())
    if rim > 0.1 * np.sqrt(area):
        raise Implausible("object off frame")


def _check_motion(task: Task, first: BoolArray, last: BoolArray) -> None:
    moved = centroid(last) - centroid(first)
    diagonal = float(np.hypot(*first.shape))
    if task.direction in DIRECTIONS:
        # Depth is foreshortened; "forward" is up in the picture.
        along = unit(DIRECTIONS[task.direction] * vec(1, -1, 0))[:2]
        if moved @ along < (0.1 if along[0] else 0.06) * diagonal or abs(moved @ along) < 0.75 * np.linalg.norm(moved):
            raise Implausible("motion not visible")
    overlap = float((first & last).sum()) / max(int((first | last).sum()), 1)
    if overlap > 0.8:
        raise Implausible("motion not visible")


def centroid(mask: BoolArray) -> Array:
    """Mean (x, y) of the pixels of a mask [H, W], y downward: [2]."""
    y, x = np.nonzero(mask)
    return vec(float(x.mean()), float(y.mean()))
