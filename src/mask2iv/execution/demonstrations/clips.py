"""Clips of the simulator's scenes, true or generated, as demonstrations: executed, judged, and kept or rejected."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mask2iv.config import from_dict
from mask2iv.contract import Clip
from mask2iv.data.store import SIMULATOR
from mask2iv.errors import InputError, within
from mask2iv.execution.demonstrations.frames import NAMES, Demonstration, Film, arm_overlap, demonstrate
from mask2iv.execution.demonstrations.limits import REASONS, Limits
from mask2iv.execution.measuring.benchmark import SceneOfClip
from mask2iv.execution.physics.success import Verdict, judge
from mask2iv.execution.physics.trial import SLOWER
from mask2iv.export.clips import Exported
from mask2iv.export.motions import Motion
from mask2iv.sim.benchmark import BENCHMARKS, read_record
from mask2iv.sim.choreography.actions import VERBS
from mask2iv.sim.config import SimConfig
from mask2iv.sim.world.render import Renderer
from mask2iv.trajectories.measures import iou

ROBOT = "mask2iv_arm"
"""The ``robot_type`` of demonstrations: the simulator's arm of six joints and two jaws."""
_NAMED = re.compile(r"sim-robot-(validation|test)-([0-9]{6})")
_ALIKE, _OVERLAP = 20.0, 0.7
"""Mean difference of first pictures (of 255), and IoU of first object masks, by which a scene is recognised."""
_Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
_SETTLE = 0.8
"""Seconds after the last action until the outcome is judged."""


@dataclass(frozen=True)
class Origin:
    """The scene of a clip: arguments of :func:`~mask2iv.sim.generate.simulate_clip`."""

    config: SimConfig
    series: int
    index: int
    draw: int


@dataclass(frozen=True)
class _Drawn:
    """What a simulated clip's metadata say of its draw."""

    seed: _Number
    index: _Number
    draw: _Number


@dataclass(frozen=True)
class Executed:
    """What became of a clip.

    Attributes:
        clip: the clip, with its motion if it is a demonstration.
        reasons: limits that were passed, by name.
        problem: why there is no plan, or what was found; "" for a demonstration.
        success: whether the simulator's own criterion is met; None where the clip shows another action than its scene.
    """

    clip: Exported
    reasons: tuple[str, ...]
    problem: str
    success: bool | None


def origins_of(clips: Sequence[Exported]) -> list[Origin]:
    """The scene of each clip: as its simulated set says, or by its name, which holds that of a clip of sim-robot.

    Raises:
        InputError: a clip without a known scene, or without a robot.
    """
    found = []
    for one in clips:
        origin = _simulated(one) or _named(one)
        if origin is None:
            raise InputError(
                f"clip {one.row['clip_id']}",
                "nothing says which of the simulator's scenes it shows, so it cannot be executed",
                "make jobs by mask2iv export jobs from a set of mask2iv simulate: their names tell",
            )
        found.append(origin)
    return found


def _simulated(one: Exported) -> Origin | None:
    about, made = one.row["metadata"], one.clips.info["provenance"]
    if made.get("generator") != SIMULATOR or not {"seed", "index", "draw"} <= about.keys():
        return None
    with within(f"clip {one.row['clip_id']}"):
        if one.row["actor"] != "robot":
            raise InputError("actor", "a hand acts in it: only a robot's clips can be executed")
        config = from_dict(SimConfig, made, unknown="ignore")
        drawn = from_dict(_Drawn, about, unknown="ignore")
    return Origin(config, drawn.seed, drawn.index, drawn.draw)


def _named(one: Exported) -> Origin | None:
    told = _NAMED.search(one.row["clip_id"])
    if told is None:
        return None
    benchmark, split, index = BENCHMARKS["sim-robot"], told[1], int(told[2])
    record = read_record(benchmark, split)
    if index >= len(record):
        return None
    return Origin(benchmark.config(split, *one.clips.size), benchmark.series(split), index, record[index].draw)


def executed(
    clips: Sequence[Exported], limits: Limits | None = None, only_successes: bool = False
) -> Iterator[Executed]:
    """Execute clips, one after the other: planned from their masks, the first frame's depth and the camera alone.

    Args:
        clips: see :func:`origins_of`.
        limits: of the arm; None: the usual ones.
        only_successes: reject what does not do its scene's action, too.

    Raises:
        InputError: as :func:`origins_of`, before anything is executed; or a clip that does not begin with the scene
            that its name says.
    """
    renderer: Renderer | None = None
    try:
        for one, origin in zip(clips, origins_of(clips), strict=True):
            renderer = renderer or Renderer(origin.config.height, origin.config.width)
            result = _execute(one, origin, renderer, limits or Limits())
            if only_successes and not result.reasons and not result.success:
                result = Executed(one, ("unsuccessful",), REASONS["unsuccessful"], result.success)
            yield result
    finally:
        if renderer is not None:
            renderer.close()


def _execute(one: Exported, origin: Origin, renderer: Renderer, limits: Limits) -> Executed:
    scene = SceneOfClip(origin.config, origin.series, origin.index, origin.draw, renderer)
    clip = one.read()
    _check_scene(clip, scene.clip)
    same = clip.caption == scene.clip.caption
    if not same:
        verb = next((verb for verb in VERBS if f" {verb} " in clip.caption), "")
        scene.clip = replace(scene.clip, caption=clip.caption, verb=verb)
    trial = scene.trial()
    try:
        plan = scene.plan("generated", clip.trajectory, trial)
    except InputError as error:
        return Executed(one, ("no-plan",), str(error), False if same else None)
    film = Film(clip.trajectory, renderer)
    shown = demonstrate(trial, plan, clip.fps, film, limits)
    verdict = judge(scene.task, shown.outcome) if same else None
    success = None if verdict is None else verdict.done
    if shown.violations:
        reasons = tuple(violation.reason for violation in shown.violations)
        return Executed(one, reasons, "; ".join(str(violation) for violation in shown.violations), success)
    about = _about(shown, verdict, plan.kind, float(plan.confidence.mean()))
    about["arm_overlap"] = round(arm_overlap(trial, shown, film), 3)
    if same:
        about["actions_succeed"] = actions_succeed(scene, shown, clip.fps)
    about["scene"] = {"seed": origin.series, "index": origin.index, "draw": origin.draw, "split": origin.config.split}
    motion = Motion(ROBOT, NAMES, shown.states, shown.actions, SLOWER / clip.fps, about)
    return Executed(replace(one, motion=motion), (), "", success)


def _about(shown: Demonstration, verdict: Verdict | None, kind: str, sure: float) -> dict[str, Any]:
    recording = shown.recording
    return {
        "success": None if verdict is None else verdict.done,
        "at_target": None if verdict is None else verdict.at_target,
        "plan": kind,
        "confidence": round(sure, 3),
        "largest_joint_speed": round(float(recording.speed.max()), 3),
        "largest_load": round(float(recording.load.max()), 3),
        "largest_contact_force": round(float(recording.blow.max()), 1),
        "largest_miss": round(float(recording.missed.max()), 4),
    }


def actions_succeed(scene: SceneOfClip, shown: Demonstration, fps: float) -> bool:
    """Whether a demonstration's actions alone, one by one without looking, do the scene's task again."""
    trial = scene.trial()
    trial.begin()
    for action in shown.actions:
        trial.act(action, SLOWER / fps)
    trial.act(shown.actions[-1], _SETTLE)
    return judge(scene.task, trial.outcome()).done


def _check_scene(clip: Clip, true: Clip) -> None:
    first, wanted = clip.trajectory.object[0], true.object_mask
    shape = (clip.image.shape, true.image.shape)
    alike = shape[0] == shape[1]
    if alike:
        apart = float(np.abs(clip.image.astype(np.float64) - true.image).mean())
        alike = apart < _ALIKE and iou(first, wanted) > _OVERLAP
    if not alike:
        raise InputError(
            f"clip {clip.clip_id}",
            f"it does not begin with the scene of {true.clip_id}, which its name or its set says that it shows",
            "give it another name, or generate from that scene's first frame",
        )


def report(results: Sequence[Executed], limits: Limits | None = None) -> dict[str, Any]:
    """What was kept and what was not, and why: the JSON beside a data set. A clip may have several reasons."""
    rejected = [one for one in results if one.clip.motion is None]
    counts = {reason: sum(reason in one.reasons for one in rejected) for reason in REASONS}
    return {
        "kept": len(results) - len(rejected),
        "of": len(results),
        "reasons": {reason: number for reason, number in counts.items() if number},
        "rejected": [
            {
                "clip_id": one.clip.row["clip_id"],
                "reasons": list(one.reasons),
                "problem": one.problem,
                "success": one.success,
            }
            for one in rejected
        ],
        "limits": asdict(limits or Limits()),
    }
