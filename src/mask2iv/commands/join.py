"""``mask2iv join``: several clip sets become one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.data.join import join_clip_sets
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError


@dataclass(frozen=True)
class Join:
    """Make one clip set of several of one size, length and frame rate, to train on all of them.

    mask2iv join data/sim-hoi data/mine --out data/both
    """

    sets: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR DIR ...")]
    """The clip sets."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the new set; must not exist or be empty. Its files are hard links where the disk can."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """The first N clips of each set only."""

    def run(self) -> None:
        if len(self.sets) < 2:
            raise InputError("give two clip sets or more to join")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"--limit must be at least 1, found {self.limit}")
        sets = [ClipSet(path) for path in self.sets]
        if self.limit is not None:
            sets = [one.subset(0, self.limit) for one in sets]
        join_clip_sets(sets, self.out)
        print(f"{sum(map(len, sets))} clips in {self.out}")
