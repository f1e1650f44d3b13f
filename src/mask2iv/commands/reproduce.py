"""``mask2iv reproduce``: the paper's tables, from training to the finished table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.errors import InputError

_FULL_SCALE = (
    "--scale full trains DynamiCrafter-512 for each row, 100000 steps of 16 clips of 320x512 or --steps. It needs a "
    "CUDA GPU, for days, and the released weights as --image-to-video (mask2iv import --stage dynamicrafter "
    "--widen-for none --dtype fp32)"
)


@dataclass(frozen=True)
class Reproduce:
    """Make a table of the paper: train each row alike, evaluate all on the same clips, write the table.

    Rows that were trained or evaluated before into the same --out are not touched; one that was interrupted goes on
    from its last checkpoint. Writes TABLE.md, TABLE.csv and TABLE.json (with provenance), models/ and evaluations/.
    Several processes may work on rows of one --out at a time.

        mask2iv reproduce table-systems --data sim-hoi --data-test sim-hoi-test --out tables
    """

    table: Annotated[Literal["table-systems", "table-ablation"], tyro.conf.Positional]
    """The systems that the paper compares, or what each part of the method adds."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Clip set to train on."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of everything that is made."""
    scale: Literal["tiny", "embedded", "full"] = "embedded"
    """Sizes: tiny runs through in seconds and claims nothing; full is the paper's, for a GPU and released weights."""
    data_test: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Clip set to evaluate on. Default: the last 5 % of --data (1 to 64 clips), which are then not trained on."""
    data_other: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Clip set of another benchmark, on which the zero-shot row is trained. Without it and --image-to-video that row is
    not run."""
    held_out: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Clip set for the filmstrips and losses during training; needs --data-test. Default: the last 5 % of --data."""
    base: Annotated[str | None, tyro.conf.arg(metavar="embedded|FOLDER", help_behavior_hint="")] = None
    """Model whose autoencoder and encoders all rows share. Default: that of --image-to-video; without it the shipped
    one; at tiny scale, trained first."""
    recipe: Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="")] = None
    """Recipe the rows derive from. Default: by scale tiny; embedded on a GPU, embedded-cpu without; dynamicrafter-512.
    """
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Override a setting of the recipe that the rows derive from: key=value, e.g. pipeline.num_frames=8; may be
    repeated. What a row is about stays."""
    rows: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ROW ...")] = ()
    """Only these rows, by name; the table shows the others as far as they were run before."""
    pretrain: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Train an image-to-video network on --data-other for N steps first and start all others from it, as the paper's
    start from DynamiCrafter; it is also the zero-shot row. 0: all start from random weights."""
    image_to_video: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Start all from the image-to-video network of this folder instead: an imported DynamiCrafter, or one trained as
    variant dynamicrafter. It is the zero-shot row as it is, and its autoencoder and encoders are everybody's."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Training steps of every network. Default: the recipe's."""
    sampling_steps: Annotated[int | None, tyro.conf.arg(metavar="K", help_behavior_hint="")] = None
    """Sampling steps of each stage. Default: the recipe's."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Evaluate on the first N clips only. Default: all."""
    metrics: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="")] = None
    """As of mask2iv evaluate. Default: all but fid; what lacks its weights is not measured, and said."""
    measures: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="")] = None
    """Columns of the Markdown tables, for example psnr,ssim,object_iou. Default: all. CSV and JSON hold all."""
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=PLACE", help_behavior_hint="")] = ()
    """Weights of metrics, as of mask2iv evaluate."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of training and of sampling."""
    sharpen: bool = False
    """Use the base's reference decoder, which sees a row's masks too. Without it, the autoencoder alone decodes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """CPU threads; 0 for PyTorch's choice."""

    def run(self) -> None:
        import torch

        from mask2iv.commands.arguments import pick_device
        from mask2iv.commands.reproduction import Reproduction

        for flag, number, least in (
            ("limit", self.limit, 1),
            ("steps", self.steps, 1),
            ("sampling-steps", self.sampling_steps, 1),
            ("threads", self.threads, 0),
            ("pretrain", self.pretrain, 0),
            ("seed", self.seed, 0),
        ):
            if number is not None and number < least:
                raise InputError(f"--{flag} must be at least {least}, found {number}")
        if self.pretrain and self.data_other is None:
            raise InputError("--pretrain needs the clips to pretrain on: give --data-other")
        others = {"--pretrain": self.pretrain, "--base": self.base, "--data-other": self.data_other}
        for flag, value in others.items():
            if self.image_to_video is not None and value:
                raise InputError(f"--image-to-video brings the network that others start from: leave {flag} out")
        device = pick_device(self.device)
        if self.scale == "full":
            lacking = [
                *([] if device.type == "cuda" else ["no CUDA device"]),
                *([] if self.image_to_video is not None else ["no --image-to-video"]),
            ]
            if lacking:
                raise InputError(f"{_FULL_SCALE}; found {' and '.join(lacking)}. Else use --scale embedded")
        if self.threads:
            torch.set_num_threads(self.threads)
        print(Reproduction(self, device).run(), end="")
