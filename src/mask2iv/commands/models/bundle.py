"""``mask2iv bundle``, ``pack`` and ``unpack``: training on a machine without network, and getting the state back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.errors import InputError

_NAMES = tyro.conf.arg(metavar="NAME,NAME")


@dataclass
class Bundle:
    """Collect what a machine without network lacks into one folder, with scripts that install it and start a recipe.

    There, `sh start.sh train all --out RUN` installs it beside the script (no root, no network), simulates clips on all
    cores, and trains; `sh start.sh pack RUN --out PIECES` packs the state to bring it back.

        mask2iv bundle --python 3.12 --have torch==2.8.0,transformers,numpy,pillow,opencv-python-headless --out node
    """

    out: Path
    """New folder of the bundle."""
    have: Annotated[str, _NAMES]
    """Packages installed there, with ==version where known; must include torch. What they cannot be imported without
    counts as installed too. The installer checks all of this before anything runs."""
    python: Annotated[str, tyro.conf.arg(metavar="3.N")] = "3.12"
    """The machine's Python version."""
    platform: Annotated[str, tyro.conf.arg(metavar="TAG")] = "manylinux_2_28_x86_64"
    """Its platform, as wheels name it; 2_28 is the version of glibc (`ldd --version`)."""
    extras: Annotated[str, _NAMES] = "sim"
    """Extras of mask2iv to include; "" for none."""
    recipe: str = "embedded"
    """Recipe that start.sh trains by default."""
    without: Annotated[str, _NAMES] = ""
    """Required packages to leave out nevertheless, because nothing that runs there imports them."""
    constraint: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Pip constraints file with the versions to include. Default: the checkout's constraints.txt, or for an installed
    mask2iv the versions installed beside it."""
    weights: bool = False
    """Include the embedded weights too (another 40 MiB), for --initial-weights embedded."""
    limit_mib: Annotated[float, tyro.conf.arg(metavar="MIB")] = 60
    """Largest size of the bundle; a larger one is an error."""
    overwrite: bool = False
    """Replace an existing bundle in --out."""

    def run(self) -> None:
        from packaging.utils import canonicalize_name

        from mask2iv.bundle.build import BundleConfig, build
        from mask2iv.bundle.collect import LEFT_OUT
        from mask2iv.bundle.target import Target, parse_have, with_implied
        from mask2iv.recipes import get_recipe

        if not self.limit_mib > 0:
            raise InputError("limit_mib", f"must be positive, found {self.limit_mib}")
        get_recipe(self.recipe)
        target = Target(self.python, self.platform)
        without = dict.fromkeys(map(canonicalize_name, _split(self.without)), "asked for with --without")
        config = BundleConfig(
            target=target,
            assumed=with_implied(parse_have(self.have), target),
            left_out=LEFT_OUT | without,
            extras=tuple(_split(self.extras)),
            recipe=self.recipe,
            constraints=self.constraint,
            weights=self.weights,
            limit=int(self.limit_mib * 2**20),
        )
        build(config, self.out, self.overwrite)


@dataclass
class Pack:
    """Save the resumable state of a model folder in pieces below a chosen size.

    The pieces hold the trained components, the newest complete checkpoint of each run, logs and manifests. Older
    checkpoints and latent caches are left out.
    """

    run_dir: Annotated[Path, tyro.conf.arg(name="run", metavar="RUN"), tyro.conf.Positional]
    """Model folder: the --out of `mask2iv train`."""
    out: Path
    """New folder for the pieces."""
    piece_size: Annotated[str, tyro.conf.arg(metavar="SIZE")] = "15MiB"
    """Largest size of a piece, e.g. 15MiB or 20MB."""
    overwrite: bool = False
    """Replace existing pieces in --out."""

    def run(self) -> None:
        from mask2iv.bundle.pieces import SMALLEST_PIECE, pack
        from mask2iv.config import parse_bytes

        size = parse_bytes(self.piece_size, "piece_size", SMALLEST_PIECE)
        packed = pack(self.run_dir, self.out, size, self.overwrite)
        print(f"{packed.files} files, {packed.size / 2**20:.1f} MiB in {packed.pieces} pieces -> {self.out}")


@dataclass
class Unpack:
    """Put the pieces of a model folder together again, after verifying all their checksums."""

    pieces: Annotated[Path, tyro.conf.arg(metavar="PIECES"), tyro.conf.Positional]
    """Folder that `mask2iv pack` wrote, with all its pieces."""
    out: Path
    """New model folder; continue with `mask2iv train ... --out OUT --resume_from_checkpoint latest`."""
    overwrite: bool = False
    """Replace what is in --out."""

    def run(self) -> None:
        from mask2iv.bundle.pieces import unpack

        packed = unpack(self.pieces, self.out, self.overwrite)
        print(f"{packed.files} files, {packed.size / 2**20:.1f} MiB from {packed.pieces} pieces -> {self.out}")


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
