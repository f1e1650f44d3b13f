"""``mask2iv join``: make one clip set of several."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.errors import InputError


@dataclass(frozen=True)
class Join:
    """Make one clip set of several that share size, length and frame rate, to train on all of them.

    mask2iv join data/sim-hoi data/mine --out data/both
    """

    sets: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR DIR ...")]
    """The clip sets, or shards of some."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the new set; must not exist or be empty. Its files are hard links where the disk supports them."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Take only the first N clips of each set."""

    def run(self) -> None:
        from mask2iv.data.join import join_clip_sets
        from mask2iv.data.splits import open_clips

        if len(self.sets) < 2:
            raise InputError("sets", f"expected two clip sets or more, found {len(self.sets)}")
        sets = [open_clips(path).first(self.limit) for path in self.sets]
        join_clip_sets(sets, self.out)
        print(f"{sum(map(len, sets))} clips in {self.out}")
