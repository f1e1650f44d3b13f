"""The named benchmarks: fixed series of clips, with a record by which anybody can tell that theirs are the same.

The record of a split is a text file with one line per clip: the number of its draw, and a digest. The digests form a
chain (each is the hash of the one before and of what happens in the clip), so that line N vouches for the first N
clips. Pixels are left out of it, because they differ in their last bits among OpenGL drivers: hashed are captions,
instances, scenes, camera and the object's path, rounded far coarser than rounding errors. For the same reason the
number of the draw is recorded: whether a draw is good enough is judged by its pictures, once, and not again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, NamedTuple

from mask2iv.contract import Clip
from mask2iv.errors import InputError
from mask2iv.sim.config import SimConfig
from mask2iv.sim.generate import simulate_clips
from mask2iv.sim.world.catalogue import OBJECTS
from mask2iv.sim.world.domains import DOMAINS
from mask2iv.sim.world.pools import SPLITS

CLIPS = {"train": 0, "validation": 128, "test": 512}
"""Clips of a split; as many as asked for of train."""
_DIGITS = 16


@dataclass(frozen=True)
class Benchmark:
    """A named benchmark.

    Attributes:
        name: as the command line takes it.
        actor: who handles the objects, as :class:`SimConfig` takes it.
        seed: of its first split.
    """

    name: str
    actor: str
    seed: int

    def config(self, split: str, height: int = 160, width: int = 256) -> SimConfig:
        """The configuration of a split.

        Raises:
            InputError: an unknown split, or a picture that is not 8:5: that changes what is in view.
        """
        if split not in SPLITS:
            raise InputError(f"split must be one of {', '.join(SPLITS)}, found {split!r}")
        if height * 8 != width * 5:
            raise InputError(
                f"{self.name} is made of pictures of 5:8, such as 160x256 or 320x512, found {height}x{width}"
            )
        return SimConfig(
            height=height,
            width=width,
            actor=self.actor,
            objects=OBJECTS,
            domains=tuple(DOMAINS),
            distractors=8,
            occlusion=0.25,
            blur=0.2,
            noise=0.35,
            split=split,
        )

    def series(self, split: str) -> int:
        """The seed of a split."""
        return self.seed + list(SPLITS).index(split)

    def named(self, clip: Clip, split: str) -> Clip:
        """A clip under its name in the benchmark."""
        return replace(clip, clip_id=f"{self.name}-{split}-{clip.metadata['index']:06d}")


BENCHMARKS = {"sim-hoi": Benchmark("sim-hoi", "human", 4100), "sim-robot": Benchmark("sim-robot", "robot", 4200)}


class Entry(NamedTuple):
    """One line of a record: the number of the draw, and the digest of all clips up to this one."""

    draw: int
    digest: str


def read_record(benchmark: Benchmark, split: str) -> list[Entry]:
    """The recorded clips of a split, from the first on; empty where none are recorded."""
    path = resources.files("mask2iv.sim") / "benchmarks" / f"{benchmark.name}-{split}.txt"
    if not path.is_file():
        return []
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [Entry(int(draw), digest) for draw, digest in lines]


def digest(before: str, clip: Clip) -> str:
    """The digest of a clip and of all before it, whose digest is `before` ("" for the first), 16 hex digits."""
    meta = clip.metadata
    camera: dict[str, Any] = meta["camera"]
    content = {
        "clip_id": clip.clip_id,
        "caption": clip.caption,
        "actor": clip.actor,
        "object": meta["object_instance"],
        "receptacle": meta["receptacle_instance"],
        "others": meta["distractor_instances"],
        "scene": meta["room"]["scene"],
        # Thousandths, as whole numbers: millimetres and milliradians.
        "camera": _thousandths([*camera["position"], *camera["quaternion"]]),
        "path": [_thousandths(pose) for pose in meta["object_pose"]],
        "joint": _thousandths(meta["object_joint"]),
    }
    text = before + json.dumps(content, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def _thousandths(values: list[float]) -> list[int]:
    return [round(1000 * value) for value in values]


def benchmark_clips(
    benchmark: Benchmark, split: str, count: int, size: tuple[int, int], workers: int, record: list[Entry]
) -> Iterator[tuple[Clip, dict[str, int], str]]:
    """Make the first `count` clips of a split and hold each against the record, as far as that goes.

    Yields:
        The clip, how often a draw was thrown away before it, and the digest up to it.

    Raises:
        InputError: bad size or split; a clip differs from the record.
    """
    config, so_far = benchmark.config(split, *size), ""
    draws = [entry.draw for entry in record]
    made = simulate_clips(config, benchmark.series(split), range(count), workers, draws)
    for index, (clip, rejected) in enumerate(made):
        named = benchmark.named(clip, split)
        so_far = digest(so_far, named)
        if index < len(record) and so_far != record[index].digest:
            raise InputError(
                f"clip {named.clip_id} ({named.caption}) is not the one on record: its digest is {so_far}, not "
                f"{record[index].digest}; install the versions of numpy and mujoco that constraints.txt names"
            )
        yield named, rejected, so_far
