"""``mask2iv compare``: several evaluations in one table, with paired differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.errors import InputError


@dataclass(frozen=True)
class Compare:
    """Put several evaluations into one table, with intervals and with differences paired by clip.

    The other runs are compared with the first one, like with like: stage 1 with stage 1, videos with videos. Runs
    on different data or under different protocols are refused.

        mask2iv compare results/ours results/theirs --format latex --out table.tex
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR DIR ..."), tyro.conf.Positional]
    """Folders that mask2iv evaluate wrote."""
    names: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="")] = None
    """Names of the runs in the table. Default: their folders' names."""
    measures: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="")] = None
    """Columns, for example psnr,ssim,object_miou. Default: all."""
    references: bool = False
    """Also show the baselines: the repeated first frame and the true video, or trajectories without a model."""
    format: Literal["markdown", "latex", "csv"] = "markdown"
    """Format of the table; latex needs the package booktabs."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write the table to a file in place of printing it."""
    allow_differences: bool = False
    """Compare runs whose data or protocols differ; the table lists the differences."""

    def run(self) -> None:
        from mask2iv.evaluation.runs.folder import require_finished
        from mask2iv.files import atomic_write

        if not self.runs:
            raise InputError("runs", "none is given", "give the folders of two or more evaluations")
        for folder in self.runs:
            require_finished(folder)
        names = [None] * len(self.runs) if self.names is None else [name.strip() for name in self.names.split(",")]
        if len(names) != len(self.runs):
            raise InputError("names", f"found {len(names)} names for {len(self.runs)} runs", "give one for each")
        from mask2iv.evaluation.runs.compare import compare, read_evaluation, table

        runs = [read_evaluation(folder, name) for folder, name in zip(self.runs, names, strict=True)]
        measures = None if self.measures is None else [name.strip() for name in self.measures.split(",")]
        text = table(compare(runs, measures, self.references, self.allow_differences), self.format)
        if self.out is None:
            print(text, end="")
            return
        with atomic_write(self.out) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(self.out)
