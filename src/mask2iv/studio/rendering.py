"""Stage 2 in the studio: a video along a trajectory, its files, and the command line that makes it again."""

from __future__ import annotations

import shlex
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mask2iv.contract import Placement, Trajectory, UInt8Array
from mask2iv.files import atomic_directory, write_json
from mask2iv.generation.candidates import Candidate
from mask2iv.generation.inputs import file_record, read_trajectory
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling
from mask2iv.generation.records import MANIFEST, comment_of, digests
from mask2iv.generation.results import write_filmstrip, write_trajectory
from mask2iv.media.videos import write_video
from mask2iv.stages.interfaces import VideoRequest
from mask2iv.studio.planning import Plan
from mask2iv.studio.worker import Job
from mask2iv.trajectories.editing.script import EditScript, write_script
from mask2iv.trajectories.storage import save_trajectory_file

if TYPE_CHECKING:
    from mask2iv.generation.loaded import LoadedModel

_INPUTS = ("image", "object_mask", "target_mask", "actor_mask")
_SCRIPT = "edits.json"


@dataclass(frozen=True, eq=False)
class Take:
    """What a video is made of.

    Attributes:
        number: of the result, counted from 1 in a session.
        plan, candidate: the scene, and the trajectory that was chosen.
        trajectory: what is followed: the candidate's, or that one edited.
        script: the edits; None for none.
        sampling: of the run, with the candidate's seed.
    """

    number: int
    plan: Plan
    candidate: Candidate
    trajectory: Trajectory
    script: EditScript | None
    sampling: Sampling

    @property
    def title(self) -> str:
        """For people."""
        prompt = self.plan.wish.prompt or "to the target"
        return f"{self.number}: {prompt}, seed {self.candidate.seed}{', edited' if self.script else ''}"

    @property
    def command(self) -> str:
        """What makes the same video again where the files of the archive lie: one line."""
        scene, run = _scene_flags(self.plan), _sampling_flags(self.sampling)
        if self.script is None:
            return shlex.join(["mask2iv", "generate", *scene, *run, "--out", "again"])
        steps = [
            ["mask2iv", "trajectory", *scene, *run, "--out", "plan"],
            ["mask2iv", "edit", "plan", "--script", _SCRIPT, "--out", "edited"],
            ["mask2iv", "render", "--image", "image.png", "--trajectory", "edited", *run, "--out", "again"],
        ]
        return " && ".join(map(shlex.join, steps))


@dataclass(frozen=True, eq=False)
class Result:
    """A video.

    Attributes:
        take: what it was made of.
        frames: uint8 [T, H, W, 3].
        folder: with ``video.mp4``, ``trajectory/``, ``trajectory.mp4``, ``filmstrip.png`` and ``manifest.json``.
        archive: a zip of these, of the inputs and of the command.
        labels: the trajectory as one file.
    """

    take: Take
    frames: UInt8Array
    folder: Path
    archive: Path
    labels: Path

    @property
    def files(self) -> list[Path]:
        """What is worth keeping: video, trajectory, manifest, and all in one."""
        return [self.folder / "video.mp4", self.labels, self.folder / MANIFEST, self.archive]

    @property
    def number(self) -> int:
        """Counted from 1 in a session."""
        return self.take.number


def work(
    take: Take, expected: float | None, done: Callable[[Result, float], None]
) -> Callable[[LoadedModel, Job], None]:
    """The job of a video.

    Args:
        take: what to make.
        expected: seconds that such a video took before; None if there was none.
        done: is given the result and the seconds that it took.
    """

    def render(model: LoadedModel, job: Job) -> None:
        scene, edited = take.plan.scene, take.script is not None
        assert scene is not None, "a candidate has been made of it"
        run = model.again("render" if edited else "generate", take.sampling)
        steps = run.steps["video"]
        # Decoding counts as one step more.
        job.begin("Rendering the video", steps + 1, expected)

        def told(_: object, step: int, __: int, values: dict[str, Any]) -> dict[str, Any]:
            job.step(step + 1, steps + 1)
            return values

        renderer = run.pipeline.renderer
        prompt = scene.prompt if renderer is not None and renderer.takes_text and not edited else ""
        [frames] = run.render([VideoRequest(scene.image, take.trajectory, prompt)], [take.candidate.seed], told)
        job.check()
        parent = take.plan.folder.parent
        folder = parent / f"result-{take.number}"
        with atomic_directory(folder) as temporary:
            if edited:
                _write_edited(temporary, take, run, frames)
            else:
                _write_generated(temporary, take, run, frames)
        archive = _packed(take, folder, parent / f"mask2iv-{take.number}.zip")
        labels = parent / f"trajectory-{take.number}.npz"
        save_trajectory_file(take.trajectory, labels)
        job.step(steps + 1, steps + 1)
        done(Result(take, frames, folder, archive, labels), run.seconds["video"])

    return render


def with_seed(sampling: Sampling, plan: Plan, candidate: Candidate) -> Sampling:
    """The sampling of a candidate."""
    return replace(sampling, seed=candidate.seed, steps=plan.wish.steps)


def _write_generated(folder: Path, take: Take, run: LoadedModel, frames: UInt8Array) -> None:
    """The files that ``mask2iv generate`` writes."""
    from mask2iv.generation.run import write_result

    scene = take.plan.scene
    assert scene is not None
    run.settle(GuidanceOptions(), None)
    own = {**run.prompt_record(scene.prompt), **run.fit_record(Fitting()), "seed": take.candidate.seed}
    inputs = dict(take.plan.inputs.record)
    for name, path in _files(take.plan):
        inputs[name] = {**file_record(path), "path": path.name}
    record = run.record(inputs, own, scene.placement, digests(take.trajectory, frames))
    write_result(folder, Output(folder), scene, take.trajectory, frames, record)


def _write_edited(folder: Path, take: Take, run: LoadedModel, frames: UInt8Array) -> None:
    """The files that ``mask2iv render`` writes, and the trajectory."""
    scene, trajectory = take.plan.scene, take.trajectory
    assert scene is not None
    placement: Placement | None = scene.placement
    write_trajectory(folder, trajectory)
    _, followed = read_trajectory(folder / "trajectory")
    image = file_record(take.plan.folder / "image.png")
    inputs = {"image": {**image, "path": "image.png"}, "trajectory": {**followed, "path": "edited/trajectory"}}
    run.settings |= {"height": trajectory.size[0], "width": trajectory.size[1], "fps": trajectory.fps}
    own = {"seed": take.candidate.seed, "any_picture": False, "fit": None, "fit_scale": None}
    record = run.record(inputs, own, placement, digests(trajectory, frames))
    write_video(folder / "video.mp4", frames, trajectory.fps, comment=comment_of(record))
    write_filmstrip(folder, ("picture", scene.image[None]), trajectory, frames)
    write_json(folder / MANIFEST, record)


def _files(plan: Plan) -> list[tuple[str, Path]]:
    """The files of a scene, by the fields that name them."""
    return [(name, path) for name in _INPUTS if (path := getattr(plan.options, name)) is not None]


def _scene_flags(plan: Plan) -> list[str]:
    flags = [word for name, path in _files(plan) for word in (_flag(name), path.name)]
    words = {name: getattr(plan.options, name) for name in ("prompt", "actor")}
    return [*flags, *(word for name, value in words.items() if value is not None for word in (_flag(name), value))]


def _sampling_flags(sampling: Sampling) -> list[str]:
    usual, flags = Sampling(), []
    for name in ("model", "seed", "steps", "sampler", "device", "threads"):
        value = getattr(sampling, name)
        if value != getattr(usual, name) or name == "seed":
            flags += [_flag(name), str(value)]
    return flags


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _packed(take: Take, folder: Path, archive: Path) -> Path:
    """Writes the zip of a result."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for _, path in _files(take.plan):
            file.write(path, path.name)
        if take.script is not None:
            script = take.plan.folder / f"edits-{take.number}.json"
            write_script(script, take.script)
            file.write(script, _SCRIPT)
        note = "# Makes result/video.mp4 again, as again/video.mp4."
        file.writestr("command.sh", f"#!/bin/sh\n{note}\n{take.command}\n")
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, f"result/{path.relative_to(folder)}")
    return archive
