"""``mask2iv pack`` and ``unpack``: a run's resumable state in pieces below a chosen size, and back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.bundle.pieces import pack, parse_bytes, unpack


@dataclass
class Pack:
    """Save what a model folder needs to be resumed in pieces below a chosen size.

    The pieces hold the trained components, the newest complete checkpoint of each run, logs and manifests; older
    checkpoints and latent caches are left out.
    """

    run_dir: Annotated[Path, tyro.conf.arg(name="run", metavar="RUN"), tyro.conf.Positional]
    """Model folder: what was given to `mask2iv train` as --out."""
    out: Path
    """New folder of the pieces."""
    piece_size: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "15MiB"
    """Largest size of a piece, e.g. 15MiB or 20MB."""
    overwrite: bool = False
    """Replace the pieces that lie in --out."""

    def run(self) -> None:
        size = parse_bytes(self.piece_size, "--piece-size")
        packed = pack(self.run_dir, self.out, size, self.overwrite)
        print(f"{packed.files} files, {packed.size / 2**20:.1f} MiB in {packed.pieces} pieces -> {self.out}")


@dataclass
class Unpack:
    """Put the pieces of a model folder together again, after checking all their sums."""

    pieces: Annotated[Path, tyro.conf.arg(metavar="PIECES"), tyro.conf.Positional]
    """Folder that `mask2iv pack` has written, with all its pieces."""
    out: Path
    """New model folder; go on with `mask2iv train ... --out OUT --resume_from_checkpoint latest`."""
    overwrite: bool = False
    """Replace what lies in --out."""

    def run(self) -> None:
        packed = unpack(self.pieces, self.out, self.overwrite)
        print(f"{packed.files} files, {packed.size / 2**20:.1f} MiB from {packed.pieces} pieces -> {self.out}")
