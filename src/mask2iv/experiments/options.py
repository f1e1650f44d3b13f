"""Options of ``mask2iv reproduce``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.data.index import read_header
from mask2iv.errors import InputError, within
from mask2iv.pipelines.folder import model_folder, read_index


@dataclass(frozen=True)
class TableOptions:
    """Which table, of which clips, how trained and evaluated."""

    table: Annotated[Literal["table-systems", "table-ablation"], tyro.conf.Positional]
    """The systems that the paper compares, or what each part of the method adds."""
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Clip set to train on."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of everything that is made."""
    scale: Literal["tiny", "embedded", "full"] = "embedded"
    """Sizes: tiny finishes in seconds and claims nothing; full is the paper's, for a GPU and released weights."""
    data_test: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Clip set to evaluate on. Default: the last 5 % of --data (1 to 64 clips), which are then not trained on."""
    data_other: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Clip set of another benchmark, on which the zero-shot row is trained. Without it or --image-to-video that row is
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
    repeated. What defines a row stays."""
    rows: Annotated[tuple[str, ...], tyro.conf.arg(metavar="ROW ...")] = ()
    """Only these rows, by name; the table also shows those that were run before."""
    pretrain: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Train an image-to-video network on --data-other for N steps first and start all others from it, as the paper's
    start from DynamiCrafter; it is also the zero-shot row. 0: all start from random weights."""
    image_to_video: Annotated[Path | None, tyro.conf.arg(metavar="DIR", help_behavior_hint="")] = None
    """Start all from the image-to-video network of this folder instead: an imported DynamiCrafter, or one trained as
    variant dynamicrafter. It is the zero-shot row as it is, and all rows share its autoencoder and encoders."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Training steps of every network. Default: the recipe's."""
    sampling_steps: Annotated[int | None, tyro.conf.arg(metavar="K", help_behavior_hint="")] = None
    """Sampling steps of each stage. Default: the recipe's."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Evaluate on the first N clips only. Default: all."""
    metrics: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="")] = None
    """As in mask2iv evaluate. Default: all but fid; those without weights are reported as not measured."""
    measures: Annotated[str | None, tyro.conf.arg(metavar="NAME,NAME", help_behavior_hint="")] = None
    """Columns of the Markdown tables, for example psnr,ssim,object_iou. Default: all. CSV and JSON hold all."""
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=PLACE", help_behavior_hint="")] = ()
    """Weights of metrics, as in mask2iv evaluate."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of training and of sampling."""
    sharpen: bool = False
    """Use the base's reference decoder, which also sees a row's masks. Otherwise the autoencoder alone decodes."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """CPU threads; 0 for PyTorch's choice."""

    def __post_init__(self) -> None:
        least = {"limit": 1, "steps": 1, "sampling_steps": 1, "threads": 0, "pretrain": 0, "seed": 0}
        for name, lowest in least.items():
            number = getattr(self, name)
            if number is not None and number < lowest:
                raise InputError(name, f"must be at least {lowest}, found {number}")
        if self.pretrain and self.data_other is None:
            raise InputError("data_other", "must be given: the clips to pretrain on")
        for name in ("pretrain", "base", "data_other"):
            if self.image_to_video is not None and getattr(self, name):
                raise InputError(name, "the given image-to-video network is what the rows start from", "leave it out")

    def check(self) -> None:
        """Whether the folders are there, without loading PyTorch.

        Raises:
            InputError: a folder is missing, or is no clip set or model folder.
        """
        # Slow to import, and flags are declared here.
        from mask2iv.data.splits import holds_shards

        for name in ("data", "data_test", "data_other", "held_out"):
            folder = getattr(self, name)
            if folder is not None and not holds_shards(folder):
                with within(name):
                    read_header(folder)
        for name in ("base", "image_to_video"):
            folder = getattr(self, name)
            if folder is not None:
                read_index(model_folder(folder, name), name)
