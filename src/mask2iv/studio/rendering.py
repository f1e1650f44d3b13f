"""Stage 2 in the studio: a video along a trajectory, its files, and the command line that makes it again."""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.files import atomic_directory
from mask2iv.generation.inputs import file_record
from mask2iv.generation.options import Fitting, GuidanceOptions, Sampling
from mask2iv.generation.results import input_pictures, write_filmstrip, write_trajectory
from mask2iv.media.videos import write_video
from mask2iv.stages.interfaces import VideoRequest
from mask2iv.studio.planning import Candidate, Plan
from mask2iv.studio.worker import Job

if TYPE_CHECKING:
    from mask2iv.generation.run import LoadedModel

_INPUTS = ("image", "object_mask", "target_mask", "actor_mask")


@dataclass(frozen=True, eq=False)
class Result:
    """A video and what it was made of.

    Attributes:
        number: counted from 1 in a session.
        plan, candidate: what it was made of.
        trajectory: what was followed: the candidate's, or that one edited.
        frames: uint8 [T, H, W, 3].
        folder: with ``video.mp4``, ``trajectory/``, ``trajectory.mp4``, ``filmstrip.png`` and ``manifest.json``.
        archive: a zip of these, of the inputs and of the command.
        command: what makes the same video again, in the unpacked archive.
    """

    number: int
    plan: Plan
    candidate: Candidate
    trajectory: Trajectory
    frames: UInt8Array
    folder: Path
    archive: Path
    command: str

    @property
    def title(self) -> str:
        """For people."""
        prompt = self.plan.wish.prompt or "to the target"
        edited = "" if self.trajectory is self.candidate.trajectory else ", edited"
        return f"{self.number}: {prompt}, seed {self.candidate.seed}{edited}"


def work(
    plan: Plan,
    candidate: Candidate,
    trajectory: Trajectory,
    sampling: Sampling,
    number: int,
    expected: float | None,
    done: Callable[[Result, float], None],
) -> Callable[[LoadedModel, Job], None]:
    """The job of a video.

    Args:
        plan, candidate: what it is made of.
        trajectory: to follow: the candidate's, or that one edited.
        sampling: of the run; with the candidate's seed.
        number: of the result.
        expected: seconds that the last video took; None if there was none.
        done: is given the result and the seconds that it took.
    """

    def render(model: LoadedModel, job: Job) -> None:
        scene = plan.scene
        assert scene is not None, "a candidate has been made of it"
        run = model.again("generate", sampling)
        run.settle(GuidanceOptions(), None)
        steps = run.steps["video"]
        # Decoding counts as one step more.
        job.begin("Rendering the video", steps + 1, expected)

        def told(_: object, step: int, __: int, values: dict[str, Any]) -> dict[str, Any]:
            job.step(step + 1, steps + 1)
            return values

        renderer = run.pipeline.renderer
        prompt = scene.prompt if renderer is not None and renderer.takes_text else ""
        [frames] = run.render([VideoRequest(scene.image, trajectory, prompt)], [candidate.seed], told)
        job.check()
        folder = plan.folder.parent / f"result-{number}"
        with atomic_directory(folder) as temporary:
            write_trajectory(temporary, trajectory)
            write_video(temporary / "video.mp4", frames, trajectory.fps)
            write_filmstrip(temporary, input_pictures(scene), trajectory, frames)
            own = {**run.prompt_record(scene.prompt), **run.fit_record(Fitting()), "seed": candidate.seed}
            run.write_manifest(temporary, _record(plan), own, scene.placement)
        command = command_line(plan, sampling)
        archive = _packed(plan, folder, command, plan.folder.parent / f"mask2iv-{number}.zip")
        job.step(steps + 1, steps + 1)
        done(Result(number, plan, candidate, trajectory, frames, folder, archive, command), run.seconds["video"])

    return render


def command_line(plan: Plan, sampling: Sampling, out: str = "again") -> str:
    """The command that makes a result again, where the files of its archive lie.

    Args:
        plan: what was asked.
        sampling: with the result's seed.
        out: folder that it writes.
    """
    words = ["mask2iv", "generate", *_scene_flags(plan), *_sampling_flags(sampling), "--out", out]
    return shlex.join(words)


def _scene_flags(plan: Plan) -> list[str]:
    flags = []
    for name in _INPUTS:
        path = getattr(plan.options, name)
        if path is not None:
            flags += [_flag(name), path.name]
    for name in ("prompt", "actor"):
        value = getattr(plan.options, name)
        if value is not None:
            flags += [_flag(name), value]
    return flags


def _sampling_flags(sampling: Sampling) -> list[str]:
    usual, flags = Sampling(), []
    for name in ("model", "seed", "steps", "sampler", "device", "threads"):
        value = getattr(sampling, name)
        if value != getattr(usual, name) or name == "seed":
            flags += [_flag(name), str(value)]
    return flags


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _record(plan: Plan) -> dict[str, Any]:
    """The inputs for the manifest, by their names in the archive."""
    record = dict(plan.inputs.record)
    for name in _INPUTS:
        path = getattr(plan.options, name)
        if path is not None:
            record[name] = {**file_record(path), "path": path.name}
    return record


def _packed(plan: Plan, folder: Path, command: str, archive: Path) -> Path:
    """Writes the zip of a result."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name in _INPUTS:
            path = getattr(plan.options, name)
            if path is not None:
                file.write(path, path.name)
        file.writestr("command.sh", f"#!/bin/sh\n# Makes result/video.mp4 again, as again/video.mp4.\n{command}\n")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"result/{path.relative_to(folder)}")
    return archive


def with_seed(sampling: Sampling, plan: Plan, candidate: Candidate) -> Sampling:
    """The sampling of a candidate."""
    return replace(sampling, seed=candidate.seed, steps=plan.wish.steps)
