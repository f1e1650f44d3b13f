"""One clip from (configuration, seed, index), or many clips from a crew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mask2iv.contract import BoolArray, Clip, Label, Trajectory
from mask2iv.errors import InputError
from mask2iv.scaling.interfaces import Crew, Failure, in_order
from mask2iv.sim.choreography.actions import ACTIONS_OF, ACTOR_MIXES, possible_verbs
from mask2iv.sim.choreography.actors import Actor, Hand, Robot, Unreachable
from mask2iv.sim.choreography.grasp import Implausible, Scene, plan_grasp
from mask2iv.sim.choreography.motion import Frame, animate, check, check_apart, draw_timing
from mask2iv.sim.choreography.tasks import Draw, Task
from mask2iv.sim.config import SimConfig
from mask2iv.sim.film import add_noise, film
from mask2iv.sim.world.assets.parts import ObjectModel
from mask2iv.sim.world.assets.pools import SPLITS
from mask2iv.sim.world.clutter import add_clutter, add_occluder
from mask2iv.sim.world.compiled import StageBuilder
from mask2iv.sim.world.domains import DOMAINS, scene_of
from mask2iv.sim.world.geometry import UP, Array, Pose, to_quaternion, vec, yaw
from mask2iv.sim.world.render import Renderer
from mask2iv.sim.world.room import Camera, build_room, draw_camera

Rng = np.random.Generator
_ATTEMPTS_PER_VERB = 40
_ATTEMPTS = 400


def simulate_clip(
    config: SimConfig,
    seed: int,
    index: int,
    renderer: Renderer | None = None,
    draw: int | None = None,
    pictures: bool = True,
) -> tuple[Clip, dict[str, int]]:
    """Make clip `index` of the endless series `seed`; the same arguments give the same bytes.

    Args:
        config: the configuration.
        seed, index: non-negative.
        renderer: a renderer of the configuration's size to reuse; None creates and frees one.
        draw: use this draw, known to be plausible (see a clip's metadata), without judging its pictures; so differences
            between OpenGL drivers cannot select another draw.
        pictures: whether to render the video; without it the video is black, in a third of the time, with the same
            labels.

    Returns:
        The clip, and how many draws were rejected before it, by reason.

    Raises:
        InputError: a negative seed or index, a renderer of another size, no headless OpenGL, or a given draw that is
            not plausible.
        RuntimeError: no plausible draw in 400 attempts.
    """
    if seed < 0 or index < 0:
        raise InputError("seed and index", f"must not be negative, found {seed} and {index}")
    if renderer is not None and (renderer.height, renderer.width) != (config.height, config.width):
        raise InputError(
            "renderer",
            f"must have the configuration's size {config.height}x{config.width}, found "
            f"{renderer.height}x{renderer.width}",
        )
    own = Renderer(config.height, config.width) if renderer is None else None
    try:
        return _first_plausible(config, seed, index, renderer or own, draw, pictures)  # type: ignore[arg-type]
    finally:
        if own is not None:
            own.close()


def _first_plausible(
    config: SimConfig, seed: int, index: int, renderer: Renderer, draw: int | None, pictures: bool
) -> tuple[Clip, dict[str, int]]:
    rejected: Counter[str] = Counter()
    for attempt in range(_ATTEMPTS) if draw is None else (draw,):
        # The verb is kept for many attempts; otherwise hard actions would become rare.
        actor, verb = _choose(config, np.random.default_rng([seed, index, attempt // _ATTEMPTS_PER_VERB, 0]))
        rng = np.random.default_rng([seed, index, attempt, 1, *f"{verb} {actor}".encode()])
        try:
            clip = _Attempt(config, seed, index, attempt, Draw(rng, actor, _side(rng, actor), config.props), verb)
            return clip.make(renderer, judge=draw is None, pictures=pictures), dict(rejected)
        except Implausible as reason:
            rejected[str(reason)] += 1
        except Unreachable:
            rejected["out of reach"] += 1
    if draw is not None:
        raise InputError(
            "draw",
            f"draw {draw} of seed {seed}, index {index} is not plausible here ({', '.join(rejected)})",
            "install the versions of numpy and mujoco in constraints.txt",
        )
    raise RuntimeError(f"no plausible clip for seed {seed}, index {index}: {dict(rejected)}")


def _choose(config: SimConfig, chooser: Rng) -> tuple[str, str]:
    """(actor, verb) of a clip. The verb is drawn before the actor; for two hands it is drawn again."""
    actors = ACTOR_MIXES[config.actor]
    verbs = possible_verbs(actors[0], config.verbs, config.objects)
    verb = verbs[chooser.integers(len(verbs))]
    actor = actors[0] if len(actors) == 1 else actors[chooser.integers(len(actors))]
    if actor == "hands":
        verbs = possible_verbs(actor, config.verbs, config.objects)
        verb = verbs[chooser.integers(len(verbs))]
    return actor, verb


def _side(rng: Rng, actor: str) -> str:
    return "right" if rng.random() < (0.65 if actor == "hand" else 0.5) else "left"


@dataclass(frozen=True, eq=False)
class Arrangement:
    """A drawn scene before target and actors are on the stage.

    Attributes:
        builder: holds table, room and clutter.
        task: the right or only actor's.
        actors: one, or two hands.
        camera: of the pictures.
        room: choices, for the metadata.
        placed: other objects on the table.
        occluder: whether the last of them stands in the line of sight.
    """

    builder: StageBuilder
    task: Task
    actors: list[Actor]
    camera: Camera
    room: dict[str, str]
    placed: list[ObjectModel]
    occluder: bool


@dataclass(frozen=True, eq=False)
class Performance:
    """An animated scene: each actor's scene and frames, and whether it touches the target, bool [actors, T]."""

    set_up: Arrangement
    scenes: list[Scene]
    played: list[list[Frame]]
    touch: BoolArray


def replay(
    config: SimConfig, seed: int, index: int, draw: int, builder: StageBuilder | None = None
) -> tuple[Performance, Arrangement]:
    """Animate a recorded draw again, and set its scene up a second time, for another use than pictures.

    Args:
        config, seed, index, draw: of the clip, see its metadata.
        builder: of the second scene, which lacks target and actors; None: as for pictures.

    Raises:
        InputError: the draw is not plausible here.
    """
    actor, verb = _choose(config, np.random.default_rng([seed, index, draw // _ATTEMPTS_PER_VERB, 0]))

    def attempt() -> _Attempt:
        rng = np.random.default_rng([seed, index, draw, 1, *f"{verb} {actor}".encode()])
        return _Attempt(config, seed, index, draw, Draw(rng, actor, _side(rng, actor), config.props), verb)

    try:
        first, second = attempt(), attempt()
        return first.perform(first.arrange(StageBuilder())), second.arrange(builder or StageBuilder())
    except (Implausible, Unreachable) as reason:
        raise InputError(
            "draw", f"draw {draw} of seed {seed}, index {index} is not plausible here ({reason})"
        ) from reason


class _Attempt:
    """One draw of a clip."""

    def __init__(self, config: SimConfig, seed: int, index: int, number: int, draw: Draw, verb: str) -> None:
        self.config, self.seed, self.index, self.number = config, seed, index, number
        self.actor, self.verb, self.rng = draw.actor, verb, draw.rng
        self.props = draw.props
        self.task = ACTIONS_OF[draw.actor][verb](draw)
        # Effects of the picture have their own random source, so that they do not change the action.
        self.effects = np.random.default_rng([seed, index, number, 2])

    def make(self, renderer: Renderer, judge: bool, pictures: bool) -> Clip:
        """Build, animate and render it.

        Raises:
            Implausible, Unreachable: the draw is rejected.
        """
        config, task = self.config, self.task
        set_up = self.arrange(StageBuilder())
        camera, placed = set_up.camera, set_up.placed
        performance = self.perform(set_up)
        scenes, played, touch = performance.scenes, performance.played, performance.touch
        shutter = float(self.effects.uniform(0.3, 0.6)) if self.effects.random() < config.blur else 0.0
        video, labels = film(scenes, played, renderer, shutter, judge, pictures)
        noise = float(self.effects.uniform(1.5, 5.0)) if self.effects.random() < config.noise else 0.0
        if noise and pictures:
            video = add_noise(video, noise, self.effects)
        metadata = {
            **self._about_task(),
            "actor_visible_at_start": bool((labels[0] == Label.ACTOR).sum() >= 0.002 * labels[0].size),
            "object_pose": [_pose_list(f.base) for f in played[0]],
            "object_joint": [float(f.joint) for f in played[0]] if task.target.joint is not None else [],
            "camera": {
                "position": _floats(camera.position),
                "quaternion": _floats(to_quaternion(camera.r)),
                "fovy": camera.fovy,
            },
            "room": set_up.room,
            "distractors": [model.name for model in placed],
            "distractor_instances": [model.instance for model in placed],
            "occluder": set_up.occluder,
            "shutter": round(shutter, 3),
            "sensor_noise": round(noise, 3),
        }
        return Clip(
            clip_id=f"sim-{self.seed}-{self.index:06d}",
            video=video,
            trajectory=Trajectory(labels, config.fps),
            caption=task.caption,
            verb=self.verb,
            object_name=task.target.name,
            actor=self.actor,
            contact=np.logical_or.reduce(touch),
            metadata=metadata,
        )

    def arrange(self, builder: StageBuilder) -> Arrangement:
        """Draw camera, actors, room and clutter, and add all but target and actors to a stage.

        Raises:
            Implausible: the draw is rejected.
        """
        config, rng, task = self.config, self.rng, self.task
        camera = draw_camera(rng, 1.1 if task.other is not None else 1.0)
        _check_in_view(task, camera, config.width / config.height)
        actors = [_draw_actor(rng, task, self.actor)]
        if task.other is not None:
            actors.append(_beside(_draw_actor(rng, task.other, self.actor), actors[0]))
        room = self._build_room(builder, camera, actors)
        fewest = 1 if config.distractors <= 4 else 2
        placed = add_clutter(builder, rng, task, actors, self.props, config.distractors, fewest)
        occluder = bool(self.effects.random() < config.occlusion)
        if occluder:
            placed.append(add_occluder(builder, self.effects, task, camera, self.props))
        return Arrangement(builder, task, actors, camera, room, placed, occluder)

    def perform(self, set_up: Arrangement) -> Performance:
        """Compile an arrangement and animate it.

        Raises:
            Implausible, Unreachable: the draw is rejected.
        """
        config, rng, task = self.config, self.rng, self.task
        scenes = _compile(set_up.builder, [task] if task.other is None else [task, task.other], set_up.actors)
        grasps = [plan_grasp(scene, rng) for scene in scenes]
        timing = draw_timing(task, config.num_frames, rng)
        played = [animate(s, g, timing, config.num_frames, rng) for s, g in zip(scenes, grasps, strict=True)]
        touch = np.array([check(scene, frames) for scene, frames in zip(scenes, played, strict=True)])
        check_apart(scenes, played)
        return Performance(set_up, scenes, played, touch)

    def _about_task(self) -> dict[str, Any]:
        """Metadata of what was drawn before the scene was built."""
        task = self.task
        return {
            "seed": self.seed,
            "index": self.index,
            "draw": self.number,
            "direction": task.direction,
            "side": {"hand": task.side, "hands": "both"}.get(self.actor, ""),
            "object_instance": task.target.instance,
            "receptacle": task.receptacle[0].name if task.receptacle else "",
            "receptacle_instance": task.receptacle[0].instance if task.receptacle else "",
        }

    def _build_room(self, builder: StageBuilder, camera: Camera, actors: list[Actor]) -> dict[str, str]:
        config, scene, rng = self.config, "", self.rng
        if config.split:
            numbers = SPLITS[config.split].scenes
            number = numbers[int(self.rng.integers(len(numbers)))]
            name, rng = scene_of(number, config.domains)
            scene = f"{name}-{number:04d}"
        else:
            name = config.domains[int(self.effects.integers(len(config.domains)))]
        clear = [actor.base for actor in actors if isinstance(actor, Robot)]
        room = build_room(builder, rng, camera, config.height, config.width, DOMAINS[name], clear)
        return room | {"domain": name, "scene": scene}


def _compile(builder: StageBuilder, tasks: list[Task], actors: list[Actor]) -> list[Scene]:
    """Each actor's scene, all on one stage."""
    task = tasks[0]
    if task.receptacle is not None:
        builder.add_static("receptacle", task.receptacle[0].base, task.receptacle[1])
    target_parts = [builder.add_moving("base", task.target.base)]
    if task.target.mover:
        target_parts.append(builder.add_moving("mover", task.target.mover))
    groups = ("actor", "second")
    parts = [
        [builder.add_moving(f"{group}{i}", part) for i, part in enumerate(actor.parts)]
        for group, actor in zip(groups, actors, strict=False)
    ]
    stage = builder.compile()
    return [
        Scene(stage, actor, one, numbers, target_parts, group)
        for actor, one, numbers, group in zip(actors, tasks, parts, groups, strict=False)
    ]


def _beside(hand: Actor, first: Actor) -> Actor:
    """A person's other hand at the place of `hand`: `first` mirrored, with the same skin, sleeve and size."""
    assert isinstance(hand, Hand)
    assert isinstance(first, Hand)
    return first.mirrored(hand.elbow)


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
    if name != "robot":
        bend = yaw(across * rng.uniform(0.05, 0.45)) @ task.heading
        return Hand.draw(rng, task.side, middle - bend * rng.uniform(0.75, 0.85) + UP * rng.uniform(0.16, 0.3))
    far = rng.random() < 0.3 and task.joint is None
    if far:
        return Robot.draw(rng, vec(across * rng.uniform(0.08, 0.3), rng.uniform(0.38, 0.43), 0))
    return Robot.draw(rng, vec(across * rng.uniform(0.5, 0.64), rng.uniform(-0.05, 0.2), 0))


_Job = tuple[int, int | None]
"""Index and, where it is known, draw of a clip."""
_Made = tuple[Clip, dict[str, int]]


def _begin(config: SimConfig, seed: int) -> Callable[[_Job], _Made]:
    """A worker of :func:`simulate_clips`, with its own renderer."""
    renderer = Renderer(config.height, config.width)
    return lambda job: simulate_clip(config, seed, job[0], renderer, job[1])


def simulate_clips(
    config: SimConfig, seed: int, indices: Iterable[int], crew: Crew | None = None, draws: Sequence[int] = ()
) -> Iterator[tuple[Clip, dict[str, int]]]:
    """Yield :func:`simulate_clip` for each index, in order.

    Args:
        config, seed, indices: see :func:`simulate_clip`.
        crew: who makes the clips; None: this process. The same clips, to the byte.
        draws: known draws of index 0, 1, ...; those of later indices are searched for.

    Raises:
        InputError: a clip cannot be made, or the workers that it was given to died; names its index.
        RuntimeError: a defect that a worker met.
    """
    jobs = ((i, draws[i] if i < len(draws) else None) for i in indices)
    if crew is None:
        renderer = Renderer(config.height, config.width)
        try:
            for index, draw in jobs:
                yield simulate_clip(config, seed, index, renderer, draw)
        finally:
            renderer.close()
        return
    # Closed, so that no worker goes on when the consumer stops early.
    with closing(in_order(crew, partial(_begin, config, seed), jobs)) as results:
        for (index, _), made in results:
            if not isinstance(made, Failure):
                yield made
            elif made.details:
                raise RuntimeError(f"clip {index}: {made.problem}\n{made.details}")
            else:
                remedy = "" if made.expected else "what is done is kept; the same command goes on from there"
                raise InputError(f"clip {index}", made.problem, remedy)
