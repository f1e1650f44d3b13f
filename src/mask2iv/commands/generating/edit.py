"""``mask2iv edit``: flags. Slow imports are made when it runs, so that ``--help`` is immediate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.generation.options import Output


@dataclass(frozen=True)
class EditTrajectory:
    """Change a mask trajectory by a script of edits: move, scale, rotate, retime, paint, simplify, compose, and others.

    Writes trajectory/, trajectory.mp4, filmstrip.png (before and after), edits.json (the script, with all defaults) and
    manifest.json. The same trajectory and script give the same bytes. Render the result as any other:

        mask2iv trajectory --image desk.png --object-mask can.png --prompt "a hand picking up a can" --out plan
        mask2iv edit plan --script edits.json --out edited
        mask2iv render --image desk.png --trajectory edited --out result

    A script is JSON; docs/editing.md describes all operations:

        {"version": 1, "edits": [{"op": "transform", "part": "all", "move": [20, -10], "frames": [4, 15]}]}
    """

    trajectory: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TRAJECTORY")]
    """What `mask2iv trajectory`, `generate` or `edit` wrote, a folder of numbered PNGs, or an .npz file."""
    script: Annotated[Path, tyro.conf.arg(metavar="FILE.json")]
    """The edits. Trajectories that it takes parts from are named relative to it."""
    output: Output

    def run(self) -> None:
        from mask2iv.generation.editing import edit

        edit(self.trajectory, self.script, self.output)
