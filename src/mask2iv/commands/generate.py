"""``mask2iv generate``, ``trajectory`` and ``render``: what they are asked.

Only declarations: what takes seconds to import is imported when a command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mask2iv.commands.acceleration import Acceleration


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Scene:
    """What the picture shows and what shall happen. Give the object as a mask, a box or a point, and say what
    happens to it by --prompt, --target-mask or both."""

    image: Annotated[Path | None, _optional("FILE")] = None
    """The picture: PNG, JPEG, WebP and alike. It is the first frame of the video. Required without --jobs."""
    object_mask: Annotated[Path | None, _optional("FILE")] = None
    """The object to be handled: an image of the picture's size, white on black (also boolean, palette, or a cut-out
    with transparent surroundings)."""
    object_box: Annotated[str | None, _optional("X,Y,W,H")] = None
    """In place of a mask: a box around the object in pixels of the picture, from its upper left corner. The mask
    found in it is written to object_mask.png."""
    object_point: Annotated[str | None, _optional("X,Y")] = None
    """In place of a mask: a point on the object in pixels of the picture. The mask found there is written to
    object_mask.png."""
    prompt: Annotated[str | None, _optional("TEXT")] = None
    """The instruction, for example "a hand picking up a can". Other words for it, such as "lift the can", the embedded
    model reads as the ones that it knows, and says how."""
    actor: Annotated[Literal["hand", "robot"] | None, _optional("{hand,robot}")] = None
    """Who acts, for a prompt that begins with the action: "picking up a can" becomes "a hand picking up a can" or
    "a robot arm picking up a can"."""
    target_mask: Annotated[Path | None, _optional("FILE")] = None
    """Where the object shall be in the last frame; a mask like --object-mask."""
    actor_mask: Annotated[Path | None, _optional("FILE")] = None
    """The hand or robot arm where the picture already shows it; a mask like --object-mask."""

    @property
    def files(self) -> list[Path]:
        """The files that were given."""
        return [path for path in (self.image, self.object_mask, self.target_mask, self.actor_mask) if path is not None]


@dataclass(frozen=True)
class OneScene(Scene):
    __doc__ = Scene.__doc__

    image: Annotated[Path, tyro.conf.arg(metavar="FILE")] = field()
    """The picture: PNG, JPEG, WebP and alike. It is the first frame of the video."""


@dataclass(frozen=True)
class Guidance:
    """Size of the result, and how closely it keeps to prompt and target."""

    size: Annotated[str | None, _optional("HxW")] = None
    """Height x width of the result in pixels, for example 160x256; the picture is resized to it. Default: the
    model's."""
    guidance_scale: Annotated[float | None, _optional("NUMBER")] = None
    """How strongly the prompt guides; 1 is no guidance. Default: the model's."""
    target_guidance_scale: Annotated[float | None, _optional("NUMBER")] = None
    """How strongly the target mask guides; 1 is no guidance. Default: the model's."""


@dataclass(frozen=True)
class Sampling:
    """The model and how it samples."""

    model: Annotated[str, tyro.conf.arg(metavar="embedded|FOLDER")] = "embedded"
    """The weights that come with the package, or a model folder."""
    steps: Annotated[int | None, _optional("K")] = None
    """Sampling steps of each stage; fewer are faster. Default: the model's."""
    sampler: Annotated[Literal["ddim", "dpmsolver++", "unipc"] | None, _optional("{ddim,dpmsolver++,unipc}")] = None
    """The solver; dpmsolver++ and unipc need fewer steps than ddim where many are taken. Default: the model's."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """The same seed gives the same result on the same machine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """CPU threads; 0 for PyTorch's choice."""


@dataclass(frozen=True)
class Output:
    """Where the result goes."""

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the result; it appears when everything is done."""
    overwrite: bool = False
    """Replace the result of an earlier run in that folder."""


@dataclass(frozen=True)
class Outputs(Output):
    __doc__ = Output.__doc__

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = field()
    """Folder of the result; it appears when everything is done. With --jobs in place of --image, the folder that gets
    one folder per job."""


@dataclass(frozen=True)
class Generate:
    """Make a video: one picture, an object in it, and what shall happen. Or many, from a file of jobs.

    Stage 1 predicts a mask trajectory of actor and object, stage 2 renders the video along it. Writes video.mp4, the
    trajectory as palette images (trajectory/) and as a video (trajectory.mp4), filmstrip.png and manifest.json. With
    --samples N there is one folder of these per sample: sample-000, sample-001, ...

        mask2iv generate --image desk.png --object-mask can.png --prompt "a hand picking up a can" --out result

    A line of a jobs file says in JSON what the flags of the scene say, and optionally "seed" and "id"; its paths are
    relative to the file. Each job gets its folder below --out as soon as it is done. Called again, jobs that are
    there already are skipped. Exit status: 0 all done, 3 some jobs failed (the reasons are in failures.json), 2 nothing
    was begun because the input is wrong.

        {"id": "can", "image": "desk.png", "object_mask": "can.png", "prompt": "a hand picking up a can"}

        mask2iv generate --jobs jobs.jsonl --batch-size 4 --out results
    """

    scene: Scene
    guidance: Guidance
    sampling: Sampling
    acceleration: Acceleration
    output: Outputs
    jobs: Annotated[Path | None, _optional("FILE.jsonl")] = None
    """In place of --image and the other flags of a scene: a file with one scene per line."""
    batch_size: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """How many samples or jobs go through the networks together. More use a GPU better and take more memory; results
    differ by rounding from those computed alone."""
    samples: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """How many different results; sample i has the seed --seed + i."""

    def run(self) -> int:
        if self.jobs is not None:
            from mask2iv.commands.jobs import run_jobs

            return run_jobs(self)
        from mask2iv.commands.generation import generate

        generate(self)
        return 0


@dataclass(frozen=True)
class PredictTrajectory:
    """Stage 1 alone: predict the mask trajectory of actor and object.

    Writes trajectory/ (palette images that can be edited before `mask2iv render`), trajectory.mp4, filmstrip.png and
    manifest.json.

        mask2iv trajectory --image desk.png --object-point 120,80 --prompt "a hand pushing a can" --out plan
    """

    scene: OneScene
    guidance: Guidance
    sampling: Sampling
    acceleration: Acceleration
    output: Output

    def run(self) -> None:
        from mask2iv.commands.generation import predict

        predict(self)


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
    background black), or an .npz file. Its size is the video's."""
    sampling: Sampling
    acceleration: Acceleration
    output: Output

    def run(self) -> None:
        from mask2iv.commands.generation import render

        render(self)
