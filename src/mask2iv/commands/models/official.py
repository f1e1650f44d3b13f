"""``mask2iv import`` and ``export-official``: model folders from checkpoints of the original code, and back.

Slow imports are made when a command runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from mask2iv.errors import InputError
from mask2iv.files import require_file
from mask2iv.pipelines.folder import model_folder, read_index


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Import:
    """Import a checkpoint of the original code, or join two imported stages.

    The folder works with `mask2iv generate --model` (with one stage only: `mask2iv trajectory` or `mask2iv render`);
    import_report.json records where it came from. A plain DynamiCrafter is widened, to start training from, or kept as
    it is.

        mask2iv import stage1.ckpt --stage trajectory-text --tokenizer open_clip_torch.whl --out stage1
        mask2iv import stage2.ckpt --stage video --out stage2
        mask2iv import --trajectory stage1 --video stage2 --out model
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The model folder to write; must not exist or be empty."""
    checkpoint: Annotated[Path | None, tyro.conf.Positional, _optional("CKPT")] = None
    """The checkpoint: .ckpt, .pt or .safetensors. No code in it is run."""
    stage: Annotated[
        Literal["trajectory-text", "trajectory-position", "video", "dynamicrafter"] | None,
        _optional("{trajectory-text,trajectory-position,video,dynamicrafter}"),
    ] = None
    """Kind of checkpoint: stage 1 of Mask2IV with text or with target positions, stage 2, or DynamiCrafter."""
    dtype: Literal["fp16", "bf16", "fp32"] = "fp16"
    """Stored precision. fp32 is lossless and takes 10 GB; the official inference computes in fp16."""
    tokenizer: Annotated[str | None, _optional("DIR|FILE|HUB-ID")] = None
    """The CLIP vocabulary: a folder with vocab.json and merges.txt or tokenizer.json, bpe_simple_vocab_16e6.txt.gz, the
    open_clip_torch wheel with this file inside, or a hub id. Default: that of an installed open_clip."""
    layout: Literal["auto", "256", "512", "1024"] = "auto"
    """Which published model it is; auto detects it."""
    config: Annotated[Path | None, _optional("FILE.json")] = None
    """Constructor arguments of a model of another size."""
    ignore_keys: Annotated[tuple[str, ...], tyro.conf.arg(metavar="GROUP", help_behavior_hint="")] = ()
    """Groups of keys that no network here has a place for and that may be left out, such as attn2_mask or obj_embedder.
    Without this, such keys are an error that lists the groups. Separate several by spaces."""
    new_channels: Annotated[Literal["zero", "copy"] | None, _optional("{zero,copy}")] = None
    """With --stage dynamicrafter: weights of the input channels that it lacks, the last ones: zero (the default), or
    copies of the image's."""
    widen_for: Annotated[
        Literal["trajectory", "video", "both", "none"] | None, _optional("{trajectory,video,both,none}")
    ] = None
    """With --stage dynamicrafter: the stages whose networks are written. none keeps it as it is: an image-to-video
    network to compare with, or to start from (--image-to-video). Default: both."""
    trajectory: Annotated[Path | None, _optional("DIR")] = None
    """To join: the folder with stage 1."""
    video: Annotated[Path | None, _optional("DIR")] = None
    """To join: the folder with stage 2."""

    def run(self) -> None:
        if self.trajectory is not None or self.video is not None:
            self._join()
        else:
            self._import()

    def _join(self) -> None:
        if self.trajectory is None:
            raise InputError("trajectory", "must be given with --video: the folder with stage 1")
        if self.video is None:
            raise InputError("video", "must be given with --trajectory: the folder with stage 2")
        for name in ("checkpoint", "stage"):
            if getattr(self, name) is not None:
                raise InputError(name, "--trajectory and --video join imported folders", "import it in a separate call")
        for name, folder in (("trajectory", self.trajectory), ("video", self.video)):
            read_index(model_folder(folder, name), name)
        from mask2iv.official.joining import join_stages

        join_stages(self.trajectory, self.video, self.out)
        print(f"{self.out}: stage 1 of {self.trajectory}, stage 2 of {self.video}")

    def _import(self) -> None:
        if self.checkpoint is None:
            raise InputError(
                "checkpoint",
                "must be given: the checkpoint to import",
                "to join two stages, give --trajectory and --video",
            )
        if self.stage is None:
            raise InputError(
                "stage",
                "must be given: the checkpoint itself does not say",
                "choose from trajectory-text, trajectory-position, video and dynamicrafter",
            )
        for name, value in (("new_channels", self.new_channels), ("widen_for", self.widen_for)):
            if value is not None and self.stage != "dynamicrafter":
                raise InputError(f"{name} {value}", "is for --stage dynamicrafter", "leave it out")
        if self.widen_for == "none" and self.new_channels is not None:
            raise InputError("new_channels", "--widen-for none adds no channels", "leave it out")
        require_file(self.checkpoint, "checkpoint")
        if self.config is not None:
            require_file(self.config, "config")
        from mask2iv.official.importing import ImportSettings, import_checkpoint
        from mask2iv.official.summary import import_summary

        settings = ImportSettings(
            stage=self.stage,
            dtype=self.dtype,
            tokenizer=self.tokenizer,
            layout=self.layout,
            config=self.config,
            ignore_keys=self.ignore_keys,
            new_channels=self.new_channels or "zero",
            widen_for=self.widen_for or "both",
        )
        report = import_checkpoint(self.checkpoint, self.out, settings)
        print(import_summary(self.out, report))


@dataclass(frozen=True)
class ExportOfficial:
    """Write a stage in the layout of the original code's checkpoints.

    For an imported model these are the tensors it came from. For a model trained here, tensors of the layout that no
    network uses are copies of the text encoder's where the layout repeats it, and zeros elsewhere.

        mask2iv export-official model --stage video --out stage2.ckpt
    """

    model: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """The model folder."""
    stage: Literal["trajectory", "video"]
    """The stage whose networks are written."""
    out: Annotated[Path, tyro.conf.arg(metavar="X.ckpt|X.safetensors")]
    """The file to write; .ckpt holds {'state_dict': ...}."""
    dtype: Annotated[Literal["fp16", "bf16", "fp32"] | None, _optional("{fp16,bf16,fp32}")] = None
    """Precision of the weights. Default: the stored one."""

    def run(self) -> None:
        read_index(model_folder(self.model))
        from mask2iv.official.exporting import export_checkpoint
        from mask2iv.official.summary import export_summary

        print(export_summary(self.out, export_checkpoint(self.model, self.stage, self.out, self.dtype)))
