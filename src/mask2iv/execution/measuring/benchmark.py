"""Task success on sim-robot: trajectories of several origins, executed in the same scenes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mask2iv.contract import BoolArray, Clip, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.baselines import object_slides, object_stays
from mask2iv.execution.camera import Array, PinholeCamera, table_depth
from mask2iv.execution.contact import Contact
from mask2iv.execution.grasps import Gripper
from mask2iv.execution.joints.doors import plan_joint
from mask2iv.execution.lifting import surface
from mask2iv.execution.measuring.journal import Journal
from mask2iv.execution.measuring.origins import NETWORK, PLANS
from mask2iv.execution.measuring.shares import percent, wilson
from mask2iv.execution.motion import ObjectMotion
from mask2iv.execution.physics.success import Verdict, judge
from mask2iv.execution.physics.trial import Outcome, Trial, matrix
from mask2iv.execution.plan import MotionPlan, plan_motion, plan_of_motion, scene_points
from mask2iv.files import disk_faults, write_json
from mask2iv.media.videos import write_video
from mask2iv.sim.benchmark import BENCHMARKS, read_record
from mask2iv.sim.config import SimConfig
from mask2iv.sim.generate import simulate_clip
from mask2iv.sim.world.render import Renderer


class Predict(Protocol):
    """A model's predictions, see :class:`mask2iv.execution.measuring.predictions.Predictor`."""

    def __call__(self, name: str, clip: Clip, seed: int) -> Trajectory: ...

    def video(self, trajectory: Trajectory, clip: Clip, seed: int) -> UInt8Array: ...


@dataclass(frozen=True)
class Attempt:
    """One executed plan; the line of a journal.

    Attributes:
        clip_id, verb, object_name: of the scene.
        kind: of the plan, "" where it failed.
        done, at_target, distance: see :class:`~mask2iv.execution.physics.success.Verdict`.
        confidence: mean of the plan's.
        missed: see :class:`~mask2iv.execution.physics.trial.Outcome`.
        problem: why there is no plan, "" if there is one.
        seconds: of planning and of physics.
    """

    clip_id: str
    verb: str
    object_name: str
    kind: str
    done: bool
    at_target: bool
    distance: float
    confidence: float
    missed: float
    problem: str = ""
    seconds: list[float] = field(default_factory=list)


class SceneOfClip:
    """A clip of sim-robot with what a robot knows besides: camera and depth.

    Args:
        config: of the split.
        series: its seed.
        index: of the clip.
        draw: of the clip; None: it is searched for.
        renderer: of the configuration's size.
        pictures: whether the clip has its video, and not the first picture alone, in a third of the time.
    """

    def __init__(
        self,
        config: SimConfig,
        series: int,
        index: int,
        draw: int | None,
        renderer: Renderer,
        pictures: bool = True,
    ) -> None:
        clip, _ = simulate_clip(config, series, index, renderer, draw, pictures)
        self._arguments = (config, series, index, int(clip.metadata["draw"]))
        self.renderer = renderer
        self.clip = BENCHMARKS["sim-robot"].named(clip, config.split)
        about = clip.metadata["camera"]
        size = (config.height, config.width)
        self.camera = PinholeCamera.from_mujoco(about["position"], about["quaternion"], about["fovy"], size)
        trial = Trial(*self._arguments)
        scene = trial.performance.scenes[0]
        renderer.load(scene.stage.model)
        trial.frames[0].show(scene)
        scene.stage.update_lights()
        if not pictures:
            video = np.zeros_like(self.clip.video)
            video[0] = renderer.picture(scene.stage.data)
            self.clip = replace(self.clip, video=video)
        self.depth = renderer.depth(scene.stage.data)
        self.task = trial.set_up.task
        self._fresh: Trial | None = trial

    def trial(self) -> Trial:
        """The scene with dynamics, at its start."""
        trial, self._fresh = self._fresh or Trial(*self._arguments), None
        return trial

    def plan(
        self, name: str, trajectory: Trajectory, trial: Trial, leans: bool = True, video: UInt8Array | None = None
    ) -> MotionPlan:
        """The plan of a trajectory, or of the truth, see :data:`~mask2iv.execution.measuring.origins.PLANS`.

        Args:
            name: where the trajectory comes from.
            trajectory: of the clip's size.
            trial: of the scene, at its start.
            leans: whether the gripper may come leaning, too, and not from straight above alone.
            video: the trajectory's frames, uint8 [T, H, W, 3], if the object's pixels are to be aligned, too.

        Raises:
            InputError: the trajectory has none.
        """
        held = trial.arm.tool if self.task.held else None
        if name == "oracle-motion":
            return self._true_motion(trial, held, leans)
        depth = table_depth(self.camera, trajectory.object[0]) if name == "oracle-table" else self.depth
        verb = self.clip.verb
        if verb in ("opening", "closing"):
            moved = plan_joint(trajectory, self.camera, depth, verb == "opening")
            if moved is not None:
                return moved
        sides = self._leans(trial, leans)
        return plan_motion(trajectory, self.camera, depth, verb, held=held, leans=sides, video=video)

    def _leans(self, trial: Trial, wanted: bool) -> tuple[Array, ...]:
        """Approaches that lean towards the arm, for objects that cannot be taken from straight above."""
        if not wanted:
            return ()
        way = (self.task.path(0.0)[0].p - trial.robot.base) * [1, 1, 0]
        way = way / np.linalg.norm(way)
        return tuple(np.cos(a) * way - np.sin(a) * np.array([0, 0, 1.0]) for a in (0.9,))

    def _true_motion(self, trial: Trial, held: Array | None, leans: bool) -> MotionPlan:
        frames, first = trial.frames, self.clip.trajectory
        points = surface(self.camera, first.object[0], self.depth)
        poses = np.stack([matrix(frame.base) for frame in frames])
        transforms = poses @ np.linalg.inv(poses[0])
        sure = np.ones(len(frames))
        motion = ObjectMotion(points, transforms, sure, sure, "carry")
        moving = np.flatnonzero(motion.travel > 1e-4)
        if not len(moving):
            raise InputError("clip", "its object moves by a joint alone")
        release = (
            len(frames) - 1 if not self.task.release else int(np.argmax(motion.travel > 0.999 * motion.travel[-1]))
        )
        touch = max(int(moving[0]) - 1, 0)
        contact = Contact(touch, release, self.task.held, not self.task.release, motion.centre, 1.0)
        scene = scene_points(first, self.camera, self.depth)
        return plan_of_motion(
            motion, contact, self.camera, scene, self.clip.verb, 0.0, Gripper(), held, self._leans(trial, leans)
        )


def attempt(
    scene: SceneOfClip, name: str, trajectory: Trajectory, film: bool = False, frames: UInt8Array | None = None
) -> tuple[Attempt, UInt8Array | None]:
    """Execute one trajectory (or the truth that a plan's name stands for) and judge it; also the film.

    `frames` are the trajectory's, uint8 [T, H, W, 3], if the object's pixels are to be aligned, too.
    """
    trial, clip = scene.trial(), scene.clip
    started, problem, kind, sure = time.perf_counter(), "", "", 0.0
    plan: MotionPlan | None = None
    if name != "oracle-tool":
        try:
            plan = scene.plan(name, trajectory, trial, video=frames)
            kind, sure = plan.kind, float(plan.confidence.mean())
        except InputError as error:
            problem = str(error)
    else:
        kind, sure = "animation", 1.0
    planned = time.perf_counter()
    renderer = scene.renderer if film else None
    if problem:
        outcome: Outcome = trial.rest(renderer)
    else:
        outcome = trial.replay(renderer) if plan is None else trial.run(plan, renderer, clip.fps)
    verdict: Verdict = judge(scene.task, outcome)
    seconds = [round(planned - started, 2), round(time.perf_counter() - planned, 2)]
    row = Attempt(
        clip.clip_id,
        clip.verb,
        clip.object_name,
        kind,
        verdict.done,
        verdict.at_target,
        round(verdict.distance, 4),
        round(sure, 3),
        round(outcome.missed, 4),
        problem,
        seconds,
    )
    return row, outcome.video


def trivial(name: str, clip: Clip) -> Trajectory:
    """The trajectory of a plan that needs no model."""
    if name == "slide":
        return object_slides(clip)
    return object_stays(clip) if name == "rest" else clip.trajectory


def execute(
    out: Path,
    split: str,
    clips: Sequence[int],
    plans: Sequence[str],
    predict: Predict | None,
    seed: int,
    films: int,
    on_row: Callable[[str, Attempt], None],
) -> None:
    """Execute plans in the scenes of a split, and write a journal of each: ``OUT/PLAN.jsonl``.

    Attempts that are in a journal already are not made again. Several processes may share a folder, each with its own
    clips or plans.

    Args:
        out: folder of the journals.
        split: of sim-robot.
        clips: indices of its clips.
        plans: see :data:`~mask2iv.execution.measuring.origins.PLANS`.
        predict: a model's trajectories, for plans of :data:`~mask2iv.execution.measuring.origins.NETWORK`.
        seed: of the model's draws.
        films: of how many of the first clips films are written, generated masks beside the execution.
        on_row: told of every attempt.

    Raises:
        InputError: no such split, or clip.
    """
    benchmark = BENCHMARKS["sim-robot"]
    record, config = read_record(benchmark, split), benchmark.config(split)
    if max(clips) >= len(record):
        raise InputError("clips", f"{split} has {len(record)} clips on record, found {max(clips) + 1}")
    journals = {name: Journal(out / f"{name}.jsonl") for name in plans}
    renderer = Renderer(config.height, config.width)
    try:
        for index in clips:
            clip_id = f"{benchmark.name}-{split}-{index:06d}"
            # Read each time: another process may be at work in the same folder.
            missing = [name for name, one in journals.items() if clip_id not in {row["clip_id"] for row in one.rows()}]
            if not missing:
                continue
            scene = SceneOfClip(config, benchmark.series(split), index, record[index].draw, renderer)
            for name in missing:
                trajectory = trivial(name, scene.clip)
                if name in NETWORK:
                    assert predict is not None
                    trajectory = predict(name, scene.clip, seed)
                frames = _frames(name, trajectory, scene.clip, predict, seed)
                row, video = attempt(scene, name, trajectory, index < films, frames)
                journals[name].add(asdict(row))
                if video is not None:
                    film = beside(scene.clip, trajectory, video)
                    with disk_faults(out):
                        write_video(out / "films" / f"{clip_id}-{name}.mp4", film, 8.0)
                on_row(name, row)
    finally:
        renderer.close()


def _frames(name: str, trajectory: Trajectory, clip: Clip, predict: Predict | None, seed: int) -> UInt8Array | None:
    """The video whose pixels a plan aligns, too; None for most."""
    if name == "text-video":
        assert predict is not None
        return predict.video(trajectory, clip, seed)
    return clip.video if name == "oracle-video" else None


def beside(clip: Clip, trajectory: Trajectory, video: UInt8Array) -> UInt8Array:
    """Masks over the first picture, left, and the execution, right, at one length: uint8 [K, H, 2 W, 3]."""
    frames = np.linspace(0, trajectory.num_frames - 1, len(video)).round().astype(int)
    base = np.repeat(clip.image[None].astype(np.float64), len(video), axis=0) * 0.6
    actor: BoolArray = trajectory.actor[frames]
    thing: BoolArray = trajectory.object[frames]
    base[actor] = base[actor] * 0.4 + np.array([0, 150.0, 0])
    base[thing] = base[thing] * 0.4 + np.array([150.0, 0, 0])
    left: UInt8Array = np.clip(base, 0, 255).astype(np.uint8)
    return np.concatenate([left, video], axis=2)


def summary(out: Path, plans: Sequence[str]) -> dict[str, Any]:
    """Success by plan and action, with 95 % Wilson intervals; written to ``OUT/success.json``."""
    result: dict[str, Any] = {}
    for name in plans:
        rows = Journal(out / f"{name}.jsonl").rows()
        if not rows:
            continue
        verbs = sorted({row["verb"] for row in rows})
        groups = {"all": rows, **{verb: [row for row in rows if row["verb"] == verb] for verb in verbs}}
        result[name] = {
            group: {key: wilson(sum(bool(row[key]) for row in chosen), len(chosen)) for key in ("done", "at_target")}
            for group, chosen in groups.items()
        }
    write_json(out / "success.json", result)
    return result


def markdown(result: dict[str, Any]) -> str:
    """Tables of :func:`summary`: one row per plan with both measures, and one per action with `done`."""
    lines = ["| plan | clips | done | at target |", "|---|---:|---:|---:|"]
    for name, groups in result.items():
        cells = [percent(groups["all"][key]) for key in ("done", "at_target")]
        lines.append(f"| {name} ({PLANS[name]}) | {groups['all']['done']['clips']} | {' | '.join(cells)} |")
    verbs = sorted({verb for groups in result.values() for verb in groups if verb != "all"})
    lines += ["", f"| action, done (clips) | {' | '.join(result)} |", "|---|" + "---:|" * len(result)]
    for verb in verbs:
        lines.append(_row(verb, result))
    return "\n".join(lines) + "\n"


def _row(verb: str, result: dict[str, Any]) -> str:
    cells = []
    for groups in result.values():
        one = groups.get(verb)
        cells.append("-" if one is None else f"{100 * one['done']['share']:.0f} % ({one['done']['clips']})")
    return f"| {verb} | {' | '.join(cells)} |"
