"""``mask2iv export-official``: a stage of a model folder as a checkpoint in the original code's layout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class ExportOfficial:
    """Write a stage in the layout of the original code's checkpoints.

    An imported model gives back the tensors it came from. Of a model trained here, tensors that the layout has and no
    network uses are copies of the text encoder's where they repeat it, zeros elsewhere.

        mask2iv export-official model --stage video --out stage2.ckpt
    """

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """The model folder."""
    stage: Literal["trajectory", "video"]
    """Whose networks."""
    out: Annotated[Path, tyro.conf.arg(metavar="X.ckpt|X.safetensors")]
    """The file to write; .ckpt holds {'state_dict': ...}."""
    dtype: Annotated[
        Literal["fp16", "bf16", "fp32"] | None, tyro.conf.arg(metavar="{fp16,bf16,fp32}", help_behavior_hint="")
    ] = None
    """Precision of the weights. Default: the stored one."""

    def run(self) -> None:
        from mask2iv.official.exporting import export_checkpoint
        from mask2iv.official.summary import export_summary

        print(export_summary(self.out, export_checkpoint(self.model, self.stage, self.out, self.dtype)))
