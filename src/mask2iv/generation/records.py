"""What made a result, as it stands in ``manifest.json`` and in the metadata of the film itself.

A film carries its record without what differs from run to run (times) and without the folders of its inputs, which
concern nobody else: so the same call gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from mask2iv.config import from_dict
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError, within
from mask2iv.files import reason
from mask2iv.media.streams import is_video_name
from mask2iv.media.videos import read_comment
from mask2iv.parsing import parse_json, read_json

MANIFEST = "manifest.json"
_OF_ONE_RUN = ("seconds", "finished")


@dataclass(frozen=True)
class Source:
    """An input as recorded: its name or path, and a hash, or for a folder one for each file."""

    path: str
    sha256: str | dict[str, str]
    index: int | None = None

    @property
    def name(self) -> str:
        """The last part of the path, whatever system wrote it; "" where that is no name."""
        name = PureWindowsPath(PurePosixPath(self.path).name).name
        return "" if name in ("..", ".") else name


@dataclass(frozen=True)
class Segmenting:
    """The segmenter as recorded."""

    name: Literal["grabcut", "onnx"]
    encoder: Source | None = None


@dataclass(frozen=True)
class Inputs:
    """Inputs as recorded."""

    image: Source
    object_mask: Source | None = None
    target_mask: Source | None = None
    actor_mask: Source | None = None
    trajectory: Source | None = None
    object_box: tuple[int, int, int, int] | None = None
    object_point: tuple[int, int] | None = None
    object_path: Source | None = None
    segmenter: Segmenting | None = None


@dataclass(frozen=True)
class Model:
    """A model as recorded: the name by which it was asked for, and the hash of each weights file."""

    name: str
    sha256: dict[str, str]


@dataclass(frozen=True)
class Settings:
    """The settings that a result depends on, as recorded."""

    model: Model
    seed: int
    steps: dict[str, int]
    sampler: Literal["ddim", "dpmsolver++", "unipc"]
    height: int
    width: int
    prompt: str | None = None
    guidance_scale: float | None = None
    target_guidance_scale: float | None = None
    fit: Literal["crop", "pad", "stretch", "centre"] | None = None
    fit_scale: float | None = None
    any_picture: bool = False
    batch_size: int = 1
    device: str = "cpu"
    threads: int = 0
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    quantize: Literal["none", "int8", "fp8"] = "none"
    offload: Literal["none", "model", "group"] = "none"
    vae_tiling: bool = False
    channels_last: bool = False
    compile: bool = False
    cuda_graphs: bool = False


@dataclass(frozen=True)
class Record:
    """What made a result. Of a file from elsewhere it is a claim: its paths are not opened, and what it asks for is
    checked as flags are."""

    command: Literal["generate", "trajectory", "render"]
    inputs: Inputs
    settings: Settings
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str | int | None] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)


def digests(trajectory: Trajectory, video: UInt8Array | None) -> dict[str, str]:
    """SHA-256 of what was made, before any encoding: of the shape and then the values."""
    made = {"trajectory": trajectory.labels} | ({} if video is None else {"video": video})
    return {
        name: hashlib.sha256(f"{array.shape}".encode() + array.tobytes()).hexdigest() for name, array in made.items()
    }


def comment_of(record: Mapping[str, Any]) -> str:
    """The part of a manifest that a film carries, as text."""
    kept = {name: value for name, value in record.items() if name not in _OF_ONE_RUN}
    return json.dumps(_without_folders(kept), allow_nan=False)


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: Path(part).name if name == "path" else _without_folders(part) for name, part in value.items()}
    return value


def read_record(path: Path) -> Record:
    """The record of a result: a folder, its manifest, or a film that carries one.

    Raises:
        InputError: no such file, or nothing that records one result of generate, trajectory or render.
    """
    if path.is_dir():
        path = path / MANIFEST
    if is_video_name(path):
        comment = read_comment(path, "record")
        try:
            value = parse_json(comment or "")
        except ValueError as error:
            raise InputError(
                "record", f"{path} does not say how it was made: {reason(error)}", "give its manifest.json"
            ) from error
    else:
        with within("record"):
            value = read_json(path)
    if not isinstance(value, dict):
        raise InputError("record", f"{path} holds no manifest")
    if isinstance(value.get("settings"), dict) and "seeds" in value["settings"]:
        raise InputError("record", f"{path} is of several samples", "give the folder of one of them")
    with within(f"record: {path}"):
        return from_dict(Record, value, unknown="ignore")
