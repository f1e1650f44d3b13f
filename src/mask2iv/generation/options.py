"""What is asked of a generation: the scene, how closely to keep to it, the model, and where the result goes.

The annotations are for the command line, which makes its flags of these fields; nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro


def optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class SceneOptions:
    """What the picture shows and what shall happen. Give the object as a mask, a box or a point, and say what
    happens to it by --prompt, --target-mask or both."""

    sample: Annotated[str | None, optional("NAME")] = None
    """In place of files: a sample that comes with the package (`mask2iv samples` lists them). Its picture and masks,
    and its prompt unless a prompt or a target mask is given."""
    image: Annotated[Path | None, optional("FILE")] = None
    """The picture: PNG, JPEG, WebP, TIFF, BMP, GIF or PPM. It is the first frame of the video."""
    object_mask: Annotated[Path | None, optional("FILE")] = None
    """The object to be handled: an image of the picture's size, white on black (also boolean, palette, or a cut-out
    with transparent surroundings). Of an image that numbers several objects, FILE#2 is number 2."""
    object_box: Annotated[str | None, optional("X,Y,W,H")] = None
    """In place of a mask: a box around the object in pixels of the picture, from its upper left corner. The mask
    found in it is written to object_mask.png."""
    object_point: Annotated[str | None, optional("X,Y")] = None
    """In place of a mask: a point on the object in pixels of the picture. The mask found there is written to
    object_mask.png."""
    segmenter: Annotated[Literal["grabcut", "onnx"] | None, optional("{grabcut,onnx}")] = None
    """What finds the object in --object-box or at --object-point: GrabCut, which needs no weights, or a network (with
    --segmenter-weights and the extra [segment]). Default: grabcut."""
    segmenter_weights: Annotated[Path | None, optional("FOLDER")] = None
    """Of the segmenter onnx: a folder with a pair of ONNX files in MobileSAM's format, encoder.onnx and decoder.onnx
    or sam.onnx."""
    prompt: Annotated[str | None, optional("TEXT")] = None
    """The instruction, for example "a hand picking up a can". Other words for it, such as "lift the can", the embedded
    model reads as the ones that it knows, and says how."""
    actor: Annotated[Literal["hand", "robot"] | None, optional("{hand,robot}")] = None
    """Who acts, for a prompt that begins with the action: "picking up a can" becomes "a hand picking up a can" or
    "a robot arm picking up a can"."""
    target_mask: Annotated[Path | None, optional("FILE")] = None
    """Where the object shall be in the last frame; a mask like --object-mask."""
    actor_mask: Annotated[Path | None, optional("FILE")] = None
    """The hand or robot arm where the picture already shows it; a mask like --object-mask."""

    object_path: Annotated[Path | None, optional("FILE.json")] = None
    """Where the object shall go, drawn by hand: places at frames, or a line that it follows, in pixels of the picture
    (docs/editing.md). Stage 1 draws an actor that fits; of models with a planner, as the embedded one is."""

    @property
    def files(self) -> list[Path]:
        """The files that were given."""
        given = (self.image, self.object_mask, self.target_mask, self.actor_mask, self.object_path)
        return [path for path in given if path is not None]


@dataclass(frozen=True)
class Fitting:
    """How a picture of another shape gets the result's."""

    fit: Annotated[Literal["crop", "pad", "stretch", "centre"] | None, optional("{crop,pad,stretch,centre}")] = None
    """Crop it around the masks; pad it with black borders; stretch it; or resize its shorter side and take the centre,
    as the original does. Default: the model's (crop; of imported models centre)."""
    fit_scale: Annotated[float | None, optional("NUMBER")] = None
    """With the fit centre: the shorter side becomes NUMBER times the result's height. The original takes 1.0 for
    BridgeData V2 and 1.2 for HOI4D. Default: the model's (1.0)."""


@dataclass(frozen=True)
class GuidanceOptions:
    """Size of the result, and how closely it keeps to prompt and target."""

    size: Annotated[str | None, optional("HxW")] = None
    """Height x width of the result in pixels, for example 160x256. Default: the model's."""
    guidance_scale: Annotated[float | None, optional("NUMBER")] = None
    """How strongly the prompt guides; 1 is no guidance. Default: the model's."""
    target_guidance_scale: Annotated[float | None, optional("NUMBER")] = None
    """How strongly the target mask guides; 1 is no guidance. Default: the model's."""


@dataclass(frozen=True)
class Sampling:
    """The model and how it samples."""

    model: Annotated[str, tyro.conf.arg(metavar="embedded|FOLDER")] = "embedded"
    """The weights that come with the package, or a model folder."""
    steps: Annotated[int | None, optional("K")] = None
    """Sampling steps of each stage; fewer are faster. Default: the model's."""
    sampler: Annotated[Literal["ddim", "dpmsolver++", "unipc"] | None, optional("{ddim,dpmsolver++,unipc}")] = None
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
    gif: bool = False
    """Also write the video as video.gif (of stage 1 alone: trajectory.gif)."""
    webp: bool = False
    """Also write the video as video.webp (of stage 1 alone: trajectory.webp): smaller than a GIF, in full
    colour."""

    @property
    def animations(self) -> list[str]:
        """Suffixes of the animated pictures that are asked for."""
        return [f".{kind}" for kind in ("gif", "webp") if getattr(self, kind)]


@dataclass(frozen=True)
class Outputs(Output):
    __doc__ = Output.__doc__

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")] = field()
    """Folder of the result; it appears when everything is done. With --jobs in place of --image, the folder that gets
    one folder per job."""
