"""``mask2iv simulate``: make a clip set with the MuJoCo interaction generator."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tqdm import tqdm

from mask2iv import __version__
from mask2iv.commands.arguments import parse_size
from mask2iv.data.store import ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.sim import SimConfig, simulate_clips


@dataclass
class Simulate:
    """Make a set of simulated interactions with exact masks."""

    out: Path
    """Folder of the clip set; must not exist or be empty."""
    clips: int = 64
    """Number of clips."""
    seed: int = 0
    """Seed of the series; clip i of a seed is always the same."""
    size: str = "160x256"
    """Picture size, HEIGHTxWIDTH in pixels."""
    actor: Literal["hand", "robot", "both"] = "both"
    """Who handles the objects."""
    verbs: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Restrict to this action; may be repeated."""
    workers: int = 0
    """Processes; 0 for one per core."""

    def run(self) -> None:
        if self.clips < 1:
            raise InputError(f"--clips must be at least 1, found {self.clips}")
        height, width = parse_size(self.size)
        config = SimConfig(height=height, width=width, actor=self.actor, verbs=self.verbs)
        rejected: Counter[str] = Counter()
        provenance = {"generator": "mask2iv simulate", "version": __version__, "seed": self.seed, **asdict(config)}
        with ClipSetWriter(self.out, (height, width), config.num_frames, config.fps, provenance) as writer:
            made = simulate_clips(config, self.seed, range(self.clips), self.workers or os.cpu_count() or 1)
            for clip, reasons in tqdm(made, total=self.clips, unit="clip", desc="simulate"):
                writer.add(clip)
                rejected.update(reasons)
        thrown = ", ".join(f"{count} {reason}" for reason, count in rejected.most_common()) or "none"
        print(f"{self.clips} clips in {self.out}; rejected draws: {thrown}")
