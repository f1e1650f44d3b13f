"""``mask2iv replay``: flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.generation.options import Output, optional


@dataclass(frozen=True)
class Replay:
    """Make a result again from its manifest, or report what differs.

    A video made here carries its manifest. Paths in it are never opened: inputs are found by their hashes (else by
    their names) beside the video, in the current folder, among the shipped samples, and in --inputs.

        mask2iv replay result/video.mp4 --out again

    Exit status: 0 the same pictures; 4 made, but they differ or cannot be compared: what differs in inputs, weights,
    settings, versions and hardware is listed; 2 nothing was made, because the record or an input cannot be used.
    """

    record: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="VIDEO|MANIFEST|DIR")]
    """An mp4 file that `generate`, `trajectory` or `render` wrote, its manifest.json, or its folder."""
    output: Output
    inputs: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="DIR ...")] = ()
    """Folders with the picture, the masks or the trajectory."""
    model: Annotated[str | None, optional("embedded|FOLDER")] = None
    """The model folder, where it was not the embedded model."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    threads: Annotated[int | None, optional("N")] = None
    """CPU threads. Default: as many as then, if there are so many cores."""

    def run(self) -> int:
        from mask2iv.generation.replay import DIFFERS, replay

        made = replay(self.record, self.inputs, self.output, self.model, self.device, self.threads)
        print("the same pictures" if made.same else _plain(made.told))
        for line in made.differences:
            print(_plain(f"  {line}"))
        return 0 if made.same else DIFFERS


def _plain(text: str) -> str:
    """Text of a foreign file without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
