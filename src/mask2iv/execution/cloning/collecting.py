"""Demonstrations for policies: true ones, and ones that a model makes up from a scene's first picture."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from mask2iv.errors import InputError
from mask2iv.execution.cloning.episodes import Episode, episode_of
from mask2iv.execution.cloning.views import TableView
from mask2iv.execution.demonstrations.frames import Film, demonstrate, pictures
from mask2iv.execution.measuring.benchmark import SceneOfClip
from mask2iv.execution.measuring.predictions import Predictor
from mask2iv.execution.physics.success import judge
from mask2iv.sim.benchmark import BENCHMARKS
from mask2iv.sim.config import SimConfig
from mask2iv.sim.world.render import Renderer

TASKS = ("picking up", "pushing")
OBJECTS = ("mug", "cup", "can", "bottle", "carton", "box", "apple", "banana", "toy car")
"""Kinds that the gripper can both take and push."""
PACE = ("joint-speed", "frame-speed")
"""Limits that demonstrations need not keep here: policies have speeds of their own."""
SERIES = {"true": 7301, "generated": 7302, "test": 7303}
"""Seeds of scenes, none of which the shipped model was trained on."""


@dataclass(frozen=True)
class Attempted:
    """One scene in which a demonstration was tried; the line of a journal.

    Attributes:
        index: of the scene.
        object_name, direction: in it.
        problem: why there is none, "" where there is one.
        done: whether its execution does the task.
        seconds: for all of it.
    """

    index: int
    object_name: str
    direction: str
    problem: str
    done: bool
    seconds: float


def scenes(task: str, split: str) -> SimConfig:
    """The configuration of a task's scenes: those of sim-robot with one action, nine kinds of objects, at most four
    others on the table, and clear pictures."""
    config = BENCHMARKS["sim-robot"].config(split)
    return replace(config, verbs=(task,), objects=OBJECTS, distractors=4, occlusion=0.0, blur=0.0, noise=0.0)


def collect(
    task: str, kind: str, index: int, renderer: Renderer, predictor: Predictor | None = None
) -> tuple[Attempted, Episode | None]:
    """Try a demonstration in scene `index`.

    True: the object's true motion, a planned grasp, executed in physics, filmed there; kept where it does the task.
    Generated: a trajectory and a video from the first picture and the caption; the plan of the trajectory is executed
    in physics for its states, and the pictures are the video's. Both are kept only where the arm stays within its
    limits, but for those of :data:`PACE`.

    Args:
        task: one of :data:`TASKS`.
        kind: "true" or "generated".
        index: of the scene, and the model's seed.
        renderer: of the configuration's size.
        predictor: the model, for "generated".
    """
    started = time.perf_counter()
    scene = SceneOfClip(scenes(task, "train"), SERIES[kind], index, None, renderer, pictures=False)
    clip, problem, done, episode = scene.clip, "", False, None
    try:
        if kind == "generated":
            assert predictor is not None
            trajectory = predictor("text", clip, index)
            video = predictor.video(trajectory, clip, index)
        else:
            trajectory, video = clip.trajectory, None
        trial = scene.trial()
        plan = scene.plan("text" if kind == "generated" else "oracle-motion", trajectory, trial, leans=False)
        # Which moment a generated picture shows is told by its masks.
        film = None if video is None else Film(trajectory, renderer)
        shown = demonstrate(trial, plan, clip.fps, film)
        done = judge(scene.task, shown.outcome).done
        passed = [one.reason for one in shown.violations if one.reason not in PACE]
        if passed:
            problem = passed[0]
        elif kind == "true" and not done:
            problem = "it does not do the task"
        else:
            view = TableView(scene.camera, clip.object_mask, scene.depth)
            if video is None:
                video = pictures(trial, shown, renderer)
            episode = episode_of(shown, video, view, scene.task.direction)
    except InputError as error:
        problem = str(error)
    seconds = round(time.perf_counter() - started, 2)
    return Attempted(index, clip.object_name, scene.task.direction, problem, done, seconds), episode
