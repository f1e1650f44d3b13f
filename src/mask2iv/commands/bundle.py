"""``mask2iv bundle``: what a machine without network needs to simulate and train."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from packaging.utils import canonicalize_name

from mask2iv.bundle.build import BundleConfig, build
from mask2iv.bundle.collect import LEFT_OUT
from mask2iv.bundle.target import Target, parse_have, with_implied
from mask2iv.errors import InputError
from mask2iv.recipes import get_recipe

_NAMES = tyro.conf.arg(metavar="NAME,NAME")


@dataclass
class Bundle:
    """Collect what a machine without network lacks into one folder, with scripts that install it and start a recipe.

    There, `sh start.sh train all --out RUN` installs beside itself (no root, no network), simulates clips with all
    cores, and trains; `sh start.sh pack RUN --out PIECES` brings the state back.

        mask2iv bundle --python 3.12 --have torch==2.8.0,transformers,numpy,pillow,opencv-python-headless --out node
    """

    out: Path
    """New folder of the bundle."""
    have: Annotated[str, _NAMES]
    """Packages that are installed there, with ==version where known; must name torch. What these cannot be imported
    without counts as installed too. The installer checks all of it before anything runs."""
    python: Annotated[str, tyro.conf.arg(metavar="3.N")] = "3.12"
    """Version of its Python."""
    platform: Annotated[str, tyro.conf.arg(metavar="TAG")] = "manylinux_2_28_x86_64"
    """Its platform, as wheels name it; 2_28 is the version of glibc (`ldd --version`)."""
    extras: Annotated[str, _NAMES] = "sim"
    """Extras of mask2iv to include; "" for none."""
    recipe: str = "embedded"
    """Recipe that start.sh trains where none is given."""
    without: Annotated[str, _NAMES] = ""
    """Packages to leave out though they are required, since nothing that you run there imports them."""
    constraint: Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="")] = None
    """Pip constraints file with the versions to carry. Default: the checkout's constraints.txt, or for an installed
    mask2iv the versions installed beside it."""
    weights: bool = False
    """Carry the embedded weights too (another 40 MiB), for --initial-weights embedded."""
    limit_mib: Annotated[float, tyro.conf.arg(metavar="MIB")] = 60
    """Largest size of the bundle; a larger one is an error."""
    overwrite: bool = False
    """Replace the bundle that lies in --out."""

    def run(self) -> None:
        if not self.limit_mib > 0:
            raise InputError(f"--limit-mib must be positive, found {self.limit_mib}")
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


def _split(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
