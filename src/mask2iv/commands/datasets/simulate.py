"""``mask2iv simulate``: make a clip set with the MuJoCo interaction simulator."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial, reduce
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tqdm import tqdm

from mask2iv import __version__
from mask2iv.contract import Clip
from mask2iv.data.store import SIMULATOR, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.files import disk_faults
from mask2iv.generation.values import parse_size
from mask2iv.scaling.choice import crew_of
from mask2iv.scaling.interfaces import Crew
from mask2iv.sim import SimConfig, simulate_clips
from mask2iv.sim.benchmark import BENCHMARKS, CLIPS, Entry, benchmark_clips, digest, read_record
from mask2iv.sim.world.assets.catalogue import HOUSEHOLD, OBJECTS
from mask2iv.sim.world.domains import DOMAINS

Rows = Sequence[Mapping[str, Any]]
"""Index entries of clips."""


@dataclass
class Simulate:
    """Make a set of simulated interactions with exact masks, of your own design or of a named benchmark."""

    out: Path
    """Folder of the clip set. The same command goes on with one that it was interrupted in."""
    clips: int | None = None
    """Number of clips, of metaworld: of layouts. Default: 64, or those of the benchmark's split."""
    benchmark: Literal["sim-hoi", "sim-robot", "metaworld"] | None = None
    """Make a named benchmark (hands, or a robot arm) instead, and compare it with its record. metaworld: film the
    scripted experts of eleven Meta-World tasks from three cameras, see docs/metaworld.md."""
    split: Literal["train", "validation", "test"] | None = None
    """Part of the benchmark; the parts share no object and no room."""
    seed: int = 0
    """Seed of the series; clip i of a seed is always the same."""
    size: str = "160x256"
    """Picture size, HEIGHTxWIDTH in pixels."""
    actor: Literal["hand", "hands", "robot", "both", "human"] = "both"
    """Who handles the objects: a hand, two hands, a robot arm, hand or arm (both), one or two hands (human)."""
    verbs: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Only this action; may be repeated."""
    objects: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Only this kind of object; may be repeated; "all" for every kind. Default: the 16 usual ones."""
    domains: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Kind of room; may be repeated; "all" for every kind. Default: studio."""
    distractors: int = 4
    """Largest number of other objects on the table."""
    occlusion: float = 0.0
    """Share of clips with something in the line of sight."""
    blur: float = 0.0
    """Share of clips with motion blur."""
    noise: float = 0.0
    """Share of clips with sensor noise."""
    workers: int = 0
    """Processes, or Ray actors; 0 for one per core."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Work on this Ray cluster ("auto", HOST:PORT); "local" for one started here. The clips are written here."""
    max_minutes: float | None = None
    """Stop after this time, with the clips made until then (at least one)."""

    def run(self) -> None:
        if self.clips is not None and self.clips < 1:
            raise InputError("clips", f"must be at least 1, found {self.clips}")
        if self.max_minutes is not None and not self.max_minutes > 0:
            raise InputError("max_minutes", f"must be positive, found {self.max_minutes}")
        size = parse_size(self.size)
        if self.benchmark is not None:
            self._make_benchmark(size)
            return
        if self.split is not None:
            raise InputError("split", "is a part of a benchmark", "give --benchmark too")
        config = SimConfig(
            height=size[0],
            width=size[1],
            actor=self.actor,
            verbs=self.verbs,
            objects=OBJECTS if "all" in self.objects else self.objects or HOUSEHOLD,
            domains=tuple(DOMAINS) if "all" in self.domains else self.domains or ("studio",),
            distractors=self.distractors,
            occlusion=self.occlusion,
            blur=self.blur,
            noise=self.noise,
        )
        count, crew = self.clips or 64, self._crew()

        def make(done: Rows) -> Iterator[tuple[Clip, dict[str, int]]]:
            return simulate_clips(config, self.seed, range(len(done), count), crew)

        self._write(config, {"seed": self.seed}, make, count)

    def _make_benchmark(self, size: tuple[int, int]) -> None:
        assert self.benchmark is not None
        if self.split is None:
            raise InputError(f"benchmark {self.benchmark}", "needs a split", f"give --split: {', '.join(CLIPS)}")
        own = {"out", "clips", "benchmark", "split", "size", "workers", "ray", "max_minutes"}
        fixed = [field for field in fields(self) if field.name not in own]
        changed = [f"--{field.name}" for field in fixed if getattr(self, field.name) != field.default]
        if changed:
            raise InputError(f"benchmark {self.benchmark}", "is always the same", f"leave out {', '.join(changed)}")
        if self.benchmark == "metaworld":
            self._film_metaworld(size)
            return
        count = self.clips or CLIPS[self.split]
        if not count:
            raise InputError("split train", "has no fixed number of clips", "give --clips")
        benchmark = BENCHMARKS[self.benchmark]
        config, record = benchmark.config(self.split, *size), read_record(benchmark, self.split)
        make = partial(benchmark_clips, benchmark, self.split, count, size, self._crew(), record)
        provenance = {"benchmark": benchmark.name, "split": self.split, "seed": benchmark.series(self.split)}
        rows = self._write(config, provenance, make, count)
        print(_verdict(benchmark.name, self.split, len(rows), record, reduce(digest, rows, "")))

    def _film_metaworld(self, size: tuple[int, int]) -> None:
        from mask2iv.execution.metaworld.films import LAYOUTS, SIZE, make_films

        assert self.split is not None
        for field in ("ray", "max_minutes"):
            if getattr(self, field) is not None:
                raise InputError(field, "does not apply to metaworld", "leave it out")
        layouts = LAYOUTS[self.split]
        if self.clips is not None and not 1 <= self.clips <= len(layouts):
            raise InputError("clips", f"must be 1 to {len(layouts)}, the layouts of {self.split}, found {self.clips}")
        if size != SIZE:
            raise InputError(f"size {self.size}", "does not apply to metaworld", "leave it out")
        work = self.out.with_name(f"{self.out.name}-work")
        processes = self.workers or os.cpu_count() or 1
        counts = make_films(self.out, work, layouts[: self.clips], processes=processes)
        print(", ".join(f"{number} {name}" for name, number in counts.items()))

    def _crew(self) -> Crew | None:
        """Who makes the clips; None: this process, which need not start another one."""
        if self.ray is None and (self.workers or os.cpu_count()) == 1:
            return None
        return crew_of(self.workers, self.ray)

    def _write(
        self,
        config: SimConfig,
        source: dict[str, Any],
        make: Callable[[Rows], Iterator[tuple[Clip, dict[str, int]]]],
        count: int,
    ) -> Rows:
        """Write the clip set, or go on writing it; returns its index entries in the order of the clips."""
        rejected: Counter[str] = Counter()
        end = math.inf if self.max_minutes is None else time.monotonic() + 60 * self.max_minutes
        provenance = {"generator": SIMULATOR, "version": __version__, **source, **asdict(config)}
        size = (config.height, config.width)
        with (
            disk_faults(self.out),
            ClipSetWriter(self.out, size, config.num_frames, config.fps, provenance, resume=True) as writer,
        ):
            before = len(writer.rows)
            try:
                with tqdm(make(writer.rows), total=count, initial=before, unit="clip", desc="simulate") as bar:
                    for clip, reasons in bar:
                        writer.add(clip)
                        rejected.update(reasons)
                        if time.monotonic() > end:
                            break
            except (InputError, OSError):
                if not writer.rows:
                    shutil.rmtree(self.out)
                raise
        draws = ", ".join(f"{number} {reason}" for reason, number in rejected.most_common()) or "none"
        print(f"{len(writer.rows)} clips in {self.out}; rejected draws: {draws}")
        return writer.rows


def _verdict(name: str, split: str, count: int, record: list[Entry], digest: str) -> str:
    """The result of the comparison with the record."""
    compared = min(count, len(record))
    if not compared:
        return f"{name} {split}: nothing is on record to compare with; digest {digest}"
    if compared < count:
        return f"{name} {split}: the first {compared} of {count} clips are those on record; digest {digest}"
    return f"{name} {split}: all {count} clips are those on record (digest {digest})"
