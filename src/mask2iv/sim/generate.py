"""One clip from (configuration, seed, index); many clips from several processes."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from mask2iv.contract import BoolArray, Clip, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.sim.actors import Actor, Hand, Robot, Unreachable
from mask2iv.sim.geometry import UP, Array, Pose, to_quaternion, unit, vec, yaw
from mask2iv.sim.grasp import Implausible, Scene, plan_grasp
from mask2iv.sim.motion import Frame, animate, check
from mask2iv.sim.objects import CATALOGUE
from mask2iv.sim.render import Renderer
from mask2iv.sim.room import Camera, build_room, draw_camera
from mask2iv.sim.stage import StageBuilder
from mask2iv.sim.tasks import ACTIONS, DIRECTIONS, Draw, Task

Rng = np.random.Generator
ACTORS = ("hand", "robot")
_ATTEMPTS_PER_VERB = 40
_ATTEMPTS = 400
_CLUTTER = ("mug", "cup", "can", "bottle", "carton", "box", "bowl", "banana", "apple", "toy car", "kettle")


@dataclass(frozen=True)
class SimConfig:
    """What clips are made.

    Attributes:
        height, width: picture size in pixels, 32 to 1024.
        num_frames: frames per clip, at least 8.
        fps: frames per second, > 0; only noted in the clip, the motion fills num_frames.
        actor: "hand", "robot" or "both" (half of each).
        verbs: actions to draw from, see ``ACTIONS``; empty means all.

    Raises:
        InputError: a value outside those named.
    """

    height: int = 160
    width: int = 256
    num_frames: int = 16
    fps: float = 8.0
    actor: str = "both"
    verbs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            if not 32 <= getattr(self, name) <= 1024:
                raise InputError(f"SimConfig.{name} must be 32 to 1024 pixels, found {getattr(self, name)}")
        if self.num_frames < 8:
            raise InputError(f"SimConfig.num_frames must be at least 8 to show an action, found {self.num_frames}")
        if not self.fps > 0:
            raise InputError(f"SimConfig.fps must be positive, found {self.fps}")
        if self.actor not in (*ACTORS, "both"):
            raise InputError(f"SimConfig.actor must be hand, robot or both, found {self.actor!r}")
        for verb in self.verbs:
            if verb not in ACTIONS:
                raise InputError(f"SimConfig.verbs holds {verb!r}; known actions are {', '.join(ACTIONS)}")


def simulate_clip(
    config: SimConfig, seed: int, index: int, renderer: Renderer | None = None
) -> tuple[Clip, dict[str, int]]:
    """Make clip `index` of the endless series `seed`; the same arguments give the same bytes.

    Args:
        config: what to make.
        seed, index: non-negative.
        renderer: reused when given (its size must be the configuration's); otherwise made and freed here.

    Returns:
        The clip, and how often a draw was thrown away for which reason before it.

    Raises:
        InputError: negative seed or index, a renderer of another size, or no headless OpenGL.
        RuntimeError: no plausible draw in 400 attempts.
    """
    if seed < 0 or index < 0:
        raise InputError(f"seed and index must not be negative, found {seed} and {index}")
    if renderer is not None and (renderer.height, renderer.width) != (config.height, config.width):
        raise InputError(
            f"renderer is {renderer.height} x {renderer.width} but SimConfig asks for {config.height} x {config.width}"
        )
    own = Renderer(config.height, config.width) if renderer is None else None
    try:
        return _first_plausible(config, seed, index, renderer or own)  # type: ignore[arg-type]
    finally:
        if own is not None:
            own.close()


def _first_plausible(config: SimConfig, seed: int, index: int, renderer: Renderer) -> tuple[Clip, dict[str, int]]:
    rejected: Counter[str] = Counter()
    verbs = config.verbs or tuple(ACTIONS)
    for attempt in range(_ATTEMPTS):
        # The verb is kept over many attempts: otherwise hard actions would become rare.
        chooser = np.random.default_rng([seed, index, attempt // _ATTEMPTS_PER_VERB, 0])
        verb = verbs[chooser.integers(len(verbs))]
        actor = config.actor if config.actor != "both" else ACTORS[chooser.integers(2)]
        rng = np.random.default_rng([seed, index, attempt, 1, *f"{verb} {actor}".encode()])
        try:
            return _attempt(config, seed, index, verb, actor, rng, renderer), dict(rejected)
        except Implausible as reason:
            rejected[str(reason)] += 1
        except Unreachable:
            rejected["out of reach"] += 1
    raise RuntimeError(f"no plausible clip for seed {seed}, index {index}: {dict(rejected)}")


def _attempt(
    config: SimConfig, seed: int, index: int, verb: str, actor_name: str, rng: Rng, renderer: Renderer
) -> Clip:
    side = "right" if rng.random() < (0.65 if actor_name == "hand" else 0.5) else "left"
    task = ACTIONS[verb](Draw(rng, actor_name, side))
    camera = draw_camera(rng)
    _check_in_view(task, camera, config.width / config.height)
    actor = _draw_actor(rng, task, actor_name)
    builder = StageBuilder()
    room = build_room(builder, rng, camera, config.height, config.width)
    clutter = _add_clutter(builder, rng, task, actor)
    if task.receptacle is not None:
        builder.add_static("receptacle", task.receptacle[0].base, task.receptacle[1])
    target_parts = [builder.add_moving("base", task.target.base)]
    if task.target.mover:
        target_parts.append(builder.add_moving("mover", task.target.mover))
    actor_parts = [builder.add_moving(f"actor{i}", part) for i, part in enumerate(actor.parts)]
    scene = Scene(builder.compile(), actor, task, actor_parts, target_parts)
    frames = animate(scene, plan_grasp(scene, rng), config.num_frames, rng)
    contact = check(scene, frames)
    video, labels = _film(scene, frames, renderer)
    visible = bool((labels[0] == Label.ACTOR).sum() >= 0.002 * labels[0].size)
    metadata: dict[str, Any] = {
        "seed": seed,
        "index": index,
        "direction": task.direction,
        "side": side if actor_name == "hand" else "",
        "actor_visible_at_start": visible,
        "object_pose": [_pose_list(f.base) for f in frames],
        "object_joint": [float(f.joint) for f in frames] if task.target.joint is not None else [],
        "camera": {
            "position": _floats(camera.position),
            "quaternion": _floats(to_quaternion(camera.r)),
            "fovy": camera.fovy,
        },
        "room": room,
        "distractors": clutter,
        "receptacle": task.receptacle[0].name if task.receptacle else "",
    }
    return Clip(
        clip_id=f"sim-{seed}-{index:06d}",
        video=video,
        trajectory=Trajectory(labels, config.fps),
        caption=task.caption,
        verb=verb,
        object_name=task.target.name,
        actor=actor_name,
        contact=contact,
        metadata=metadata,
    )


def _floats(values: Array) -> list[float]:
    return [round(float(v), 6) for v in values]


def _pose_list(pose: Pose) -> list[float]:
    return _floats(np.concatenate([pose.p, to_quaternion(pose.r)]))


def _check_in_view(task: Task, camera: Camera, aspect: float) -> None:
    for s in (0.0, 1.0):
        base, _ = task.path(s)
        x, y = camera.project(base.at((0, 0, task.target.height / 2)), aspect)
        if abs(x) > 0.8 or abs(y) > 0.8:
            raise Implausible("object off frame")


def _draw_actor(rng: Rng, task: Task, name: str) -> Actor:
    across = 1.0 if task.side == "right" else -1.0
    middle = (task.path(0.0)[0].p + task.path(1.0)[0].p) / 2 * vec(1, 1, 0)
    if name == "hand":
        bend = yaw(across * rng.uniform(0.05, 0.45)) @ task.heading
        return Hand.draw(rng, task.side, middle - bend * rng.uniform(0.75, 0.85) + UP * rng.uniform(0.16, 0.3))
    far = rng.random() < 0.3 and task.target.joint is None
    if far:
        return Robot.draw(rng, vec(across * rng.uniform(0.08, 0.3), rng.uniform(0.38, 0.43), 0))
    return Robot.draw(rng, vec(across * rng.uniform(0.5, 0.64), rng.uniform(-0.05, 0.2), 0))


def _add_clutter(builder: StageBuilder, rng: Rng, task: Task, actor: Actor) -> list[str]:
    """1 to 4 other objects, clear of where target and actor move; returns their names."""
    path = [task.path(s)[0].p for s in (0.0, 0.5, 1.0)]
    source = actor.elbow if isinstance(actor, Hand) else actor.base  # type: ignore[attr-defined]
    lane = [p * (1 - t) + source * t for p in path for t in np.linspace(0, 1, 8)]
    taken = [(p, task.target.radius + 0.05) for p in path] + [(p, 0.075) for p in lane]
    if task.target.joint is not None:
        taken.append((path[0] + task.path(0.0)[0].r @ vec(0, -0.16, 0), 0.12))
    if task.receptacle is not None:
        taken.append((task.receptacle[1].p, task.receptacle[0].radius + 0.03))
    names = []
    for _ in range(int(rng.integers(1, 5))):
        model = CATALOGUE[_CLUTTER[rng.integers(len(_CLUTTER))]](rng)
        for _ in range(12):
            spot = vec(rng.uniform(-0.38, 0.38), rng.uniform(-0.2, 0.34), 0)
            if all(np.linalg.norm((spot - p)[:2]) > r + model.radius for p, r in taken):
                builder.add_static("clutter", model.base, Pose(spot, yaw(rng.uniform(-np.pi, np.pi))))
                taken.append((spot, model.radius + 0.02))
                names.append(model.name)
                break
    return names


def _film(scene: Scene, frames: list[Frame], renderer: Renderer) -> tuple[Any, Any]:
    """Render all frames; the first and last come first because most rejections show there.

    Raises:
        Implausible: what is seen does not show the action.
    """
    stage = scene.stage
    renderer.load(stage.model)
    labels_of = np.zeros(stage.model.ngeom + 1, dtype=np.uint8)
    for group in ("base", "mover"):
        labels_of[stage.all_ids(group)] = Label.OBJECT
    for i in range(len(scene.actor.parts)):
        labels_of[stage.all_ids(f"actor{i}")] = Label.ACTOR
    count = len(frames)
    video = np.empty((count, renderer.height, renderer.width, 3), dtype=np.uint8)
    labels = np.empty(video.shape[:3], dtype=np.uint8)
    for k in (0, count - 1, *range(1, count - 1)):
        frames[k].show(scene)
        stage.update_lights()
        video[k], ids = renderer.frame(stage.data)
        labels[k] = labels_of[ids]
        if k in (0, count - 1):
            _check_object_seen(labels[k] == Label.OBJECT, renderer.target_area(stage.data))
        if k == count - 1:
            _check_motion(scene.task, labels[0] == Label.OBJECT, labels[k] == Label.OBJECT)
    if (labels == Label.ACTOR).sum(axis=(1, 2)).max() < 0.01 * labels[0].size:
        raise Implausible("actor not visible")
    if (labels == Label.ACTOR).sum(axis=(1, 2)).max() > 0.28 * labels[0].size:
        raise Implausible("actor too large")
    if (labels == Label.OBJECT).sum(axis=(1, 2)).min() < 0.001 * labels[0].size:
        raise Implausible("object hidden")
    return video, labels


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
        # Depth is foreshortened: "forward" is up in the picture.
        along = unit(DIRECTIONS[task.direction] * vec(1, -1, 0))[:2]
        if moved @ along < (0.1 if along[0] else 0.06) * diagonal or abs(moved @ along) < 0.75 * np.linalg.norm(moved):
            raise Implausible("motion not visible")
    overlap = float((first & last).sum()) / max(int((first | last).sum()), 1)
    if overlap > 0.8:
        raise Implausible("motion not visible")


def centroid(mask: BoolArray) -> Array:
    """Mean (x, y) of a mask's pixels, y downward."""
    y, x = np.nonzero(mask)
    return vec(float(x.mean()), float(y.mean()))


_worker_renderer: Renderer | None = None


def _simulate_in_worker(config: SimConfig, seed: int, index: int) -> tuple[Clip, dict[str, int]]:
    global _worker_renderer
    if _worker_renderer is None:
        _worker_renderer = Renderer(config.height, config.width)
    return simulate_clip(config, seed, index, _worker_renderer)


def simulate_clips(
    config: SimConfig, seed: int, indices: Iterable[int], workers: int
) -> Iterator[tuple[Clip, dict[str, int]]]:
    """Yield :func:`simulate_clip` for each index, in order, from `workers` processes.

    Raises:
        InputError: workers < 1.
    """
    if workers < 1:
        raise InputError(f"workers must be at least 1, found {workers}")
    if workers == 1:
        renderer = Renderer(config.height, config.width)
        try:
            for index in indices:
                yield simulate_clip(config, seed, index, renderer)
        finally:
            renderer.close()
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: list[Future[tuple[Clip, dict[str, int]]]] = []
        # A short queue: finished clips do not pile up in memory when the consumer is slow.
        for index in indices:
            waiting.append(pool.submit(_simulate_in_worker, config, seed, index))
            if len(waiting) > 3 * workers:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()
