"""``mask2iv samples``: flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from mask2iv.errors import InputError
from mask2iv.generation.options import optional
from mask2iv.samples import copy_sample, sample_folder, sample_names, sample_prompt


@dataclass(frozen=True)
class Samples:
    """List the samples that come with the package, or copy one: a picture, masks and a prompt.

        mask2iv samples
        mask2iv samples cup --out cup

    `mask2iv generate --sample cup` uses one where it lies.
    """

    name: Annotated[str | None, tyro.conf.Positional, optional("NAME")] = None
    """Of the sample to copy. Default: list all."""
    out: Annotated[Path | None, optional("DIR")] = None
    """Folder to copy it to; it must be new or empty."""

    def run(self) -> None:
        if self.name is None:
            if self.out is not None:
                raise InputError("out", "no sample is named to copy there", f"name one: {', '.join(sample_names())}")
            for name in sample_names():
                print(f"{name}: {sample_prompt(name)}")
            return
        folder = sample_folder(self.name, "name")
        if self.out is None:
            print(folder)
            return
        copy_sample(self.name, self.out)
        print(f"{self.out}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
