"""``mask2iv generate``, ``trajectory`` and ``render``: flags.

Only declarations: what takes seconds to import is imported when a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.errors import InputError
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.options import (
    Fitting,
    GuidanceOptions,
    Output,
    Outputs,
    Sampling,
    SceneOptions,
    optional,
)


@dataclass(frozen=True)
class Generate:
    """Make a video: one picture, an object in it, and what shall happen. Or many, from a file of jobs.

    Stage 1 predicts a mask trajectory of actor and object, stage 2 renders the video along it. Writes video.mp4, the
    trajectory as palette images (trajectory/) and as a video (trajectory.mp4), filmstrip.png and manifest.json. With
    --samples N there is one folder of these per sample: sample-000, sample-001, ... --gif and --webp add animated
    pictures for pages and slides.

        mask2iv generate --sample cup --out result
        mask2iv generate --image desk.png --object-mask can.png --prompt "a hand picking up a can" --out result

    A line of a jobs file holds the scene's flags in JSON, and optionally "seed", "fit", "fit_scale" and
    "id"; its paths are relative to the file. Each job gets its folder below --out as soon as it is done. Called again,
    jobs that are there already are skipped. Exit status: 0 all done, 3 some jobs failed (the reasons are in
    failures.json), 2 nothing was begun because the input is wrong.

        {"id": "can", "image": "desk.png", "object_mask": "can.png", "prompt": "a hand picking up a can"}

        mask2iv generate --jobs jobs.jsonl --batch-size 4 --out results
    """

    scene: SceneOptions
    fitting: Fitting
    guidance: GuidanceOptions
    sampling: Sampling
    acceleration: Acceleration
    output: Outputs
    jobs: Annotated[Path | None, optional("FILE.jsonl")] = None
    """In place of --image and the other flags of a scene: a file with one scene per line."""
    batch_size: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """How many samples or jobs go through the networks together. More use a GPU better and take more memory; results
    differ by rounding from those computed alone."""
    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """How many different results; sample i has the seed --seed + i."""
    candidates: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Draw N trajectories, with the seeds --seed, --seed + 1 and so on, score them and render the best. All of them
    and their scores are written to candidates/, candidates.png and scores.json. With --jobs: of each job."""
    keep: Annotated[int, tyro.conf.arg(metavar="K")] = 1
    """With --candidates: render the best K, to best-000, best-001 and so on."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """With --jobs: how many processes, or Ray actors, each with a model of its own; 0 for one per core, or per GPU."""
    ray: Annotated[str | None, optional("ADDRESS")] = None
    """With --jobs: work on this Ray cluster ("auto", HOST:PORT), whose nodes see this folder, --jobs, --model and --out
    at the same paths (a shared file system), and write the results there; "local" for one started here."""
    gpus_per_worker: Annotated[float, tyro.conf.arg(metavar="G")] = 0.0
    """With --ray: share of a GPU for each actor; 0 computes on processors."""

    def run(self) -> int:
        how = (self.fitting, self.guidance, self.sampling, self.acceleration, self.output)
        if self.jobs is None:
            from mask2iv.generation.run import generate

            for name, usual in (("workers", 1), ("ray", None), ("gpus_per_worker", 0.0)):
                if getattr(self, name) != usual:
                    raise InputError(name, "is for many scenes", "give --jobs, or leave it out")
            generate(self.scene, *how, self.samples, self.batch_size, self.candidates, self.keep)
            return 0
        given = [field.name for field in fields(SceneOptions) if getattr(self.scene, field.name) is not None]
        given += [name for name in ("samples", "keep") if getattr(self, name) != 1]
        if given:
            flags = ", ".join("--" + name.replace("_", "-") for name in given)
            raise InputError("jobs", "the file says what each job is", f"leave out {flags}")
        from mask2iv.generation.jobs.run import Workers, run_jobs

        workers = Workers(self.workers, self.ray, self.gpus_per_worker)
        return run_jobs(self.jobs, *how, self.batch_size, workers, self.candidates)


@dataclass(frozen=True)
class PredictTrajectory:
    """Stage 1 alone: predict the mask trajectory of actor and object.

    Writes trajectory/ (palette images that can be edited before `mask2iv render`), trajectory.mp4, filmstrip.png and
    manifest.json.

        mask2iv trajectory --image desk.png --object-point 120,80 --prompt "a hand pushing a can" --out plan
    """

    scene: SceneOptions
    fitting: Fitting
    guidance: GuidanceOptions
    sampling: Sampling
    acceleration: Acceleration
    output: Output
    candidates: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Draw N trajectories, with the seeds --seed, --seed + 1 and so on, and score them. All of them, and their scores,
    are written to candidates/, candidates.png and scores.json."""
    keep: Annotated[int, tyro.conf.arg(metavar="K")] = 1
    """With --candidates: how many of the best get a folder of their own, best-000, best-001 and so on."""

    def run(self) -> None:
        from mask2iv.generation.run import predict

        how = (self.fitting, self.guidance, self.sampling, self.acceleration, self.output)
        predict(self.scene, *how, self.candidates, self.keep)


@dataclass(frozen=True)
class Render:
    """Stage 2 alone: render a video along a mask trajectory.

    Writes video.mp4, filmstrip.png and manifest.json. With the picture, the trajectory and the seed of a `mask2iv
    generate` run, the video is the same.

        mask2iv render --image desk.png --trajectory plan/trajectory --out result
    """

    image: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The picture: the first frame of the video."""
    trajectory: Annotated[Path, tyro.conf.arg(metavar="DIR|FILE.npz")]
    """The trajectory: what `mask2iv trajectory` wrote, a folder of numbered PNGs (actor green, object red,
    background black), or an .npz file. Its size is the video's, and it knows which part of the picture it shows if
    `mask2iv trajectory` or `generate` wrote it."""
    fitting: Fitting
    sampling: Sampling
    acceleration: Acceleration
    output: Output
    any_picture: bool = False
    """Take the trajectory even if the manifest beside it says that it was made for another picture."""

    def run(self) -> None:
        from mask2iv.generation.run import render

        how = (self.fitting, self.sampling, self.acceleration, self.output)
        render(self.image, self.trajectory, *how, self.any_picture)
