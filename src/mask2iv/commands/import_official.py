"""``mask2iv import``: a checkpoint of the original code becomes a model folder, or two folders become one.

Only declarations: what takes seconds to import is imported when the command runs, so that ``--help`` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mask2iv.errors import InputError


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Import:
    """Import a checkpoint of the original code, or join two imported stages.

    The folder works with `mask2iv generate --model` (with both stages, or one by `mask2iv trajectory` and `mask2iv
    render`) and says in import_report.json where it came from. A plain DynamiCrafter is widened to start training from,
    or kept as it is.

        mask2iv import stage1.ckpt --stage trajectory-text --tokenizer open_clip_torch.whl --out stage1
        mask2iv import stage2.ckpt --stage video --out stage2
        mask2iv import --trajectory stage1 --video stage2 --out model
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The model folder to write; must not exist or be empty."""
    checkpoint: Annotated[Path | None, tyro.conf.Positional, _optional("CKPT")] = None
    """The checkpoint: .ckpt, .pt or .safetensors. Nothing in it is executed."""
    stage: Annotated[
        Literal["trajectory-text", "trajectory-position", "video", "dynamicrafter"] | None,
        _optional("{trajectory-text,trajectory-position,video,dynamicrafter}"),
    ] = None
    """What the checkpoint is: stage 1 of Mask2IV with text or with target positions, stage 2, or DynamiCrafter."""
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    """Stored precision. fp32 loses nothing and takes 10 GB; official inference computes in fp16."""
    tokenizer: Annotated[str | None, _optional("DIR|FILE|HUB-ID")] = None
    """The CLIP vocabulary: a folder with vocab.json and merges.txt or tokenizer.json, bpe_simple_vocab_16e6.txt.gz, the
    open_clip_torch wheel with this file inside, or a hub id. Default: that of an installed open_clip."""
    layout: Literal["auto", "256", "512", "1024"] = "auto"
    """Which published model it is; auto recognises it."""
    config: Annotated[Path | None, _optional("FILE.json")] = None
    """Constructor flags of a model of other sizes."""
    new_channels: Annotated[Literal["zero", "copy"] | None, _optional("{zero,copy}")] = None
    """With --stage dynamicrafter: weights of the input channels it lacks, zero (the default) or those of the image."""
    widen_for: Annotated[
        Literal["trajectory", "video", "both", "none"] | None, _optional("{trajectory,video,both,none}")
    ] = None
    """With --stage dynamicrafter: the stages whose networks are written; none keeps it as it is, an image-to-video
    network to compare with, or to start from (--image-to-video). Default: both."""
    trajectory: Annotated[Path | None, _optional("DIR")] = None
    """Join: the folder with stage 1."""
    video: Annotated[Path | None, _optional("DIR")] = None
    """Join: the folder with stage 2."""

    def run(self) -> None:
        if self.trajectory is not None or self.video is not None:
            self._join()
        else:
            self._import()

    def _join(self) -> None:
        if self.trajectory is None or self.video is None:
            raise InputError("--trajectory and --video are given together: the folders with stage 1 and stage 2")
        if self.checkpoint is not None or self.stage is not None:
            raise InputError("--trajectory and --video join imported folders; import a checkpoint in a call of its own")
        from mask2iv.official.joining import join_stages

        join_stages(self.trajectory, self.video, self.out)
        print(f"{self.out}: stage 1 of {self.trajectory}, stage 2 of {self.video}")

    def _import(self) -> None:
        if self.checkpoint is None:
            raise InputError("CKPT must be given: the checkpoint to import (or --trajectory and --video, to join)")
        if self.stage is None:
            raise InputError(
                "--stage must be given: trajectory-text, trajectory-position, video or dynamicrafter; the checkpoint "
                "itself does not say"
            )
        for flag, value in (("--new-channels", self.new_channels), ("--widen-for", self.widen_for)):
            if value is not None and self.stage != "dynamicrafter":
                raise InputError(f"{flag} {value} is for --stage dynamicrafter; leave it out")
        if self.widen_for == "none" and self.new_channels is not None:
            raise InputError("--widen-for none adds no channels: leave --new-channels out")
        from mask2iv.official.importing import ImportSettings, import_checkpoint
        from mask2iv.official.summary import import_summary

        settings = ImportSettings(
            stage=self.stage,
            dtype=self.dtype,
            tokenizer=self.tokenizer,
            layout=self.layout,
            config=self.config,
            new_channels=self.new_channels or "zero",
            widen_for=self.widen_for or "both",
        )
        report = import_checkpoint(self.checkpoint, self.out, settings)
        print(import_summary(self.out, report))
