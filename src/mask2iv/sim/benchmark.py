"""The named benchmarks: fixed series of clips, with a record by which anyone can verify that theirs are the same.

The record of a split is a text file with one line per clip: the number of its draw, and a digest. The digests form a
chain: each hashes the one before and the content of the clip, so line N verifies the first N clips. Pixels are left
out, because their last bits differ between OpenGL drivers. Hashed are captions, instances, scenes, camera and the
object's path, rounded much more coarsely than rounding errors. The number of the draw is recorded for the same reason:
whether a draw is accepted depends on its pictures, and is decided only once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, NamedTuple

from mask2iv.contract import Clip
from mask2iv.errors import InputError
from mask2iv.scaling.interfaces import Crew
from mask2iv.sim.config import SimConfig
from mask2iv.sim.generate import simulate_clips
from mask2iv.sim.world.assets.catalogue import OBJECTS
from mask2iv.sim.world.assets.pools import SPLITS
from mask2iv.sim.world.domains import DOMAINS

CLIPS = {"train": 0, "validation": 128, "test": 512}
"""Clips per split; 0: as many as requested."""
_DIGITS = 16


@dataclass(frozen=True)
class Benchmark:
    """A named benchmark.

    Attributes:
        name: its name.
        actor: who handles the objects, see :class:`SimConfig`.
        seed: seed of its first split.
    """

    name: str
    actor: str
    seed: int

    def config(self, split: str, height: int = 160, width: int = 256) -> SimConfig:
        """The configuration of a split.

        Raises:
            InputError: an unknown split, or an aspect ratio other than 8:5, which would change what is in view.
        """
        if split not in SPLITS:
            raise InputError("split", f"must be one of {', '.join(SPLITS)}, found {split!r}")
        if height * 8 != width * 5:
            raise InputError(
                "size", f"{self.name} needs pictures of 5:8, such as 160x256 or 320x512, found {height}x{width}"
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
        """A clip with its id in the benchmark."""
        return replace(clip, clip_id=f"{self.name}-{split}-{clip.metadata['index']:06d}")


BENCHMARKS = {"sim-hoi": Benchmark("sim-hoi", "human", 4100), "sim-robot": Benchmark("sim-robot", "robot", 4200)}


class Entry(NamedTuple):
    """One line of a record: the number of the draw, and the digest of all clips up to it."""

    draw: int
    digest: str


def read_record(benchmark: Benchmark, split: str) -> list[Entry]:
    """The recorded clips of a split, from the first; empty if none are recorded."""
    path = resources.files("mask2iv.sim") / "benchmarks" / f"{benchmark.name}-{split}.txt"
    if not path.is_file():
        return []
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return [Entry(int(draw), digest) for draw, digest in lines]


def digest(before: str, row: Mapping[str, Any]) -> str:
    """The digest of a clip and all before it; 16 hexadecimal digits.

    Args:
        before: digest of those before it; "" for the first.
        row: the clip's ``clip_id``, ``caption``, ``actor`` and ``metadata``.
    """
    meta = row["metadata"]
    camera: dict[str, Any] = meta["camera"]
    content = {
        "clip_id": row["clip_id"],
        "caption": row["caption"],
        "actor": row["actor"],
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
    benchmark: Benchmark,
    split: str,
    count: int,
    size: tuple[int, int],
    crew: Crew | None,
    record: list[Entry],
    done: Sequence[Mapping[str, Any]] = (),
) -> Iterator[tuple[Clip, dict[str, int]]]:
    """Make the first `count` clips of a split and compare each with the record, as far as it goes.

    Args:
        benchmark, split, count, size: what to make.
        crew: who makes the clips; None: this process.
        record: of the split.
        done: index entries of the first clips, which are there already.

    Yields:
        The clip, and how many draws were rejected before it by reason.

    Raises:
        InputError: a bad size or split, or a clip that differs from the record; and those of
            :func:`~mask2iv.sim.generate.simulate_clips`.
    """
    config, so_far = benchmark.config(split, *size), ""
    draws = [entry.draw for entry in record]
    for row in done:
        so_far = digest(so_far, row)
    made = simulate_clips(config, benchmark.series(split), range(len(done), count), crew, draws)
    for index, (clip, rejected) in enumerate(made, start=len(done)):
        named = benchmark.named(clip, split)
        so_far = digest(so_far, vars(named))
        if index < len(record) and so_far != record[index].digest:
            raise InputError(
                f"clip {named.clip_id}",
                f"this clip ({named.caption}) is not the one on record: its digest is {so_far}, not "
                f"{record[index].digest}",
                "install the versions of numpy and mujoco in constraints.txt",
            )
        yield named, rejected
