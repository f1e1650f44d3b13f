"""A result made again from its record, and what differs if it does not come out the same.

A record may come from anybody. None of its paths is opened: inputs are looked for by their hashes, else by their plain
names, in folders that the user names; weights are those that the user chooses. What it asks for passes the checks that
flags pass.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.errors import InputError
from mask2iv.files import sha256_file
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling, SceneOptions
from mask2iv.generation.records import MANIFEST, Record, Source, read_record
from mask2iv.generation.run import generate, predict, render
from mask2iv.media.streams import is_video_name
from mask2iv.media.videos import read_video
from mask2iv.samples import sample_folder, sample_names

DIFFERS = 4
"""Exit status when the result was made and is another one, or cannot be compared."""
_MOST_FILES = 10_000
"""Most files of a folder that are looked at."""


@dataclass(frozen=True)
class Replay:
    """What came of it.

    Attributes:
        same: whether the pictures are the recorded ones.
        told: why not, or what cannot be said.
        differences: what else differs between both records: "name: recorded, now".
    """

    same: bool
    told: str
    differences: tuple[str, ...]


def replay(
    path: Path, folders: Sequence[Path], output: Output, model: str | None, device: str, threads: int | None
) -> Replay:
    """Make a result again.

    Args:
        path: a film that carries its record, a manifest, or a result folder.
        folders: where inputs are looked for before those of :func:`places`.
        output: where to.
        model: a model folder; None: the embedded one, if the record names it.
        device: as of :class:`~mask2iv.generation.options.Sampling`.
        threads: CPU threads; None: as recorded, if there are so many cores.

    Raises:
        InputError: no record, an input that is not found, or what the commands refuse.
    """
    record = read_record(path)
    sources = _Sources([*folders, *places(path)])
    sampling = _sampling(record, model, device, threads)
    settings = record.settings
    fitting = Fitting(settings.fit, settings.fit_scale)
    names = ("dtype", "quantize", "offload", "vae_tiling", "channels_last", "compile", "cuda_graphs")
    acceleration = Acceleration(**{name: getattr(settings, name) for name in names})
    with _asked_for_by_the_record():
        if record.command == "render":
            image, trajectory = sources.file("image", record.inputs.image), sources.trajectory(record.inputs.trajectory)
            render(image, trajectory, fitting, sampling, acceleration, output, settings.any_picture)
        else:
            scene = _scene(record, sources)
            make = generate if record.command == "generate" else predict
            make(scene, fitting, _guidance(record), sampling, acceleration, output)
    again = read_record(output.out / MANIFEST)
    told = _compared(record, again, _film(path), _film(output.out))
    return Replay(not told, told, tuple(_differences(record, again)))


@contextmanager
def _asked_for_by_the_record() -> Iterator[None]:
    """Says of errors about anything but the user's own choices that the record asks for it."""
    try:
        yield
    except InputError as error:
        own = re.match("(out|overwrite|inputs|model|device|threads)\\b", error.field)
        raise (error if own else error.within("record")) from error


def places(path: Path) -> list[Path]:
    """Where inputs are looked for: the record's folder, the one around it, the current one, and the shipped samples."""
    folder = path if path.is_dir() else path.parent
    return [folder, folder.resolve().parent, Path.cwd(), *map(sample_folder, sample_names())]


class _Sources:
    """Finds inputs in folders. What is found is read, hashed and checked as if the user had named it."""

    def __init__(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            if not folder.is_dir():
                raise InputError("inputs", f"{folder} is not a folder")
        self.folders = folders

    def file(self, field: str, source: Source) -> Path:
        """The file with the recorded hash; else one with the recorded name, whose contents are others then.

        Raises:
            InputError: neither is there.
        """
        named = [folder / source.name for folder in self.folders if source.name]
        there = [path for path in named if path.is_file()]
        for path in [*there, *self._files(Path(source.name).suffix.lower())]:
            if sha256_file(path) == source.sha256:
                return path
        if there:
            return there[0]
        raise self._absent(field, source)

    def trajectory(self, source: Source | None) -> Path:
        """The file or folder of frames with the recorded hashes; else one with the recorded name. Raises InputError."""
        if source is None:
            raise InputError("record", "it names no trajectory", "give the manifest of a result of this program")
        if isinstance(source.sha256, str):
            return self.file("trajectory", source)
        names = dict.fromkeys([source.name or "trajectory", "trajectory", "."])
        there = [path for folder in self.folders for name in names if (path := folder / name).is_dir()]
        for path in there:
            frames = sorted(path.glob("*.png"))
            if {frame.name for frame in frames} == source.sha256.keys() and all(
                sha256_file(frame) == source.sha256[frame.name] for frame in frames
            ):
                return path
        similar = [path for path in there if path.name == source.name and any(path.glob("*.png"))]
        if similar:
            return similar[0]
        raise self._absent("trajectory", source)

    def _files(self, suffix: str) -> Iterator[Path]:
        """Files of a kind: not all, which might be a disk full of weights to hash."""
        for folder in self.folders:
            with os.scandir(folder) as entries:
                for entry in islice(entries, _MOST_FILES):
                    if entry.name.lower().endswith(suffix or ".png") and entry.is_file():
                        yield Path(entry.path)

    def _absent(self, field: str, source: Source) -> InputError:
        looked = ", ".join(dict.fromkeys(str(folder) for folder in self.folders))
        return InputError("inputs", f"the {field}, {source.name!r}, is in none of {looked}", "name its folder")


def _scene(record: Record, sources: _Sources) -> SceneOptions:
    inputs = record.inputs
    found: dict[str, Any] = {}
    for name in ("image", "object_mask", "target_mask", "actor_mask", "object_path"):
        source: Source | None = getattr(inputs, name)
        if source is not None:
            path = sources.file(name, source)
            found[name] = path if source.index is None else Path(f"{path}#{source.index}")
    box, point, segmenter = inputs.object_box, inputs.object_point, inputs.segmenter
    if segmenter is not None and segmenter.encoder is not None:
        found["segmenter_weights"] = sources.file("segmenter's encoder", segmenter.encoder).parent
    return SceneOptions(
        **found,
        object_box=None if box is None else ",".join(map(str, box)),
        object_point=None if point is None else ",".join(map(str, point)),
        segmenter=None if segmenter is None else segmenter.name,
        prompt=record.settings.prompt,
    )


def _guidance(record: Record) -> GuidanceOptions:
    settings = record.settings
    return GuidanceOptions(
        size=f"{settings.height}x{settings.width}",
        guidance_scale=settings.guidance_scale if settings.prompt else None,
        target_guidance_scale=settings.target_guidance_scale if record.inputs.target_mask else None,
    )


def _sampling(record: Record, model: str | None, device: Any, threads: int | None) -> Sampling:
    settings = record.settings
    if model is None:
        if settings.model.name != "embedded":
            raise InputError("model", f"the record names {settings.model.name!r}", "say which model folder that is")
        model = "embedded"
    steps = set(settings.steps.values())
    if threads is None:
        threads = settings.threads if 0 < settings.threads <= (os.cpu_count() or 1) else 0
    # Where the stages took different numbers, these are the model's own: a flag sets both.
    only = steps.pop() if len(steps) == 1 else None
    return Sampling(model, only, settings.sampler, settings.seed, device, threads)


def _film(path: Path) -> Path | None:
    """The film of a result: the file itself, or what lies in its folder."""
    if is_video_name(path):
        return path
    folder = path if path.is_dir() else path.parent
    films = [folder / "video.mp4", folder / "trajectory.mp4"]
    return next((film for film in films if film.is_file()), None)


def _compared(record: Record, again: Record, film: Path | None, new: Path | None) -> str:
    """What is to be said of the pictures; "" if they are the same."""
    apart = "" if film is None or new is None else _apart(film, new)
    if not record.pictures:
        if film is None:
            return "the record has no hash of its pictures, and no film is there to compare with"
        return f"{film} shows something else: {apart}" if apart else ""
    parts = [name for name, value in again.pictures.items() if record.pictures.get(name) != value]
    if parts:
        told = f"not as recorded: {' and '.join(parts)}"
        return f"{told}; {apart}" if apart else told
    # A film may have been changed since its record was written.
    return f"as recorded, but {film} shows something else: {apart}" if apart else ""


def _apart(one: Path, other: Path) -> str:
    """How far the pictures of two films are apart; "" if they are the same."""
    first, second = read_video(one, field="record").frames, read_video(other).frames
    if first.shape != second.shape:
        return f"{list(first.shape)} became {list(second.shape)}"
    most, total = 0, 0.0
    for before, after in zip(first, second, strict=True):
        distance = np.abs(before.astype(np.int16) - after)
        most, total = max(most, int(distance.max())), total + float(distance.mean())
    return f"pixels are up to {most} of 255 apart, {total / len(first):.2f} on average" if most else ""


def _differences(record: Record, again: Record) -> Iterator[str]:
    """What differs between the records of both, but for names."""
    before, now = _flat(asdict(record)), _flat(asdict(again))
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name) and not name.startswith("pictures"):
            yield f"{name}: {before.get(name)!r}, now {now.get(name)!r}"


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    found: dict[str, Any] = {}
    for key, part in value.items():
        # Names of files say nothing; a key of a foreign record is shown as text.
        if key not in ("path", "name") or name == "inputs.segmenter":
            found |= _flat(part, f"{name}.{key}" if name else key)
    return found
