"""``mask2iv doctor``: what a data set holds, and what of it cannot be used.

Slow imports are made when the command runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.curation.sources.options import SourceOptions
from mask2iv.errors import InputError

NOTHING_USABLE = 2


@dataclass(frozen=True)
class Doctor:
    """Report what a data set holds, which parts cannot be used, and why.

    Known are HOI4D, BridgeData V2 (raw), clip sets, folders of videos and single videos. Nothing is changed. Exit
    status: 0 all can be used, 3 some is skipped, 2 nothing can be used.
    """

    path: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="PATH")]
    """The data set's folder, or a video."""
    sheet: Annotated[Path | None, tyro.conf.arg(metavar="FILE.png", help_behavior_hint="")] = None
    """Write a picture of up to 24 recordings: first, middle and last frame of an action, masks painted over."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Write what was found as JSON."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Open at most N recordings, spread evenly over all. Names and captions are read of all. By default all are."""
    source: SourceOptions = field(default_factory=SourceOptions)

    def run(self) -> int:
        from mask2iv.curation.examination import examine, record, report_lines
        from mask2iv.curation.sources.recognise import open_source
        from mask2iv.files import write_json
        from mask2iv.generation.jobs.run import SOME_FAILED
        from mask2iv.media.images import write_png

        if self.sheet is not None and self.sheet.suffix.lower() != ".png":
            raise InputError("sheet", f"must end in .png, found {self.sheet.name}")
        found = examine(open_source(self.path, self.source), self.limit)
        print("\n".join(report_lines(found)))
        if self.json is not None:
            write_json(self.json, record(found))
        if self.sheet is not None and found.samples:
            write_png(self.sheet, found.sheet())
            print(f"sheet: {self.sheet}")
        if not found.usable:
            print("nothing can be used")
            return NOTHING_USABLE
        return SOME_FAILED if found.skipped else 0
