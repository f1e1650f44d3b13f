"""``mask2iv reproduce``: the paper's tables, from training to the finished table."""

from __future__ import annotations

from dataclasses import dataclass

from mask2iv.errors import InputError
from mask2iv.experiments.options import TableOptions

_FULL_SCALE = (
    "--scale full trains DynamiCrafter-512 for each row, 100000 steps of 16 clips of 320x512 or --steps. It needs a "
    "CUDA GPU, for days, and the released weights as --image-to-video (mask2iv import --stage dynamicrafter "
    "--widen-for none --dtype fp32)"
)


@dataclass(frozen=True)
class Reproduce(TableOptions):
    """Make a table of the paper: train each row alike, evaluate all on the same clips, write the table.

    Rows that were trained or evaluated before into the same --out are not touched; one that was interrupted goes on
    from its last checkpoint. Writes TABLE.md, TABLE.csv and TABLE.json (with provenance), models/ and evaluations/.
    Several processes may work on rows of one --out at a time.

        mask2iv reproduce table-systems --data sim-hoi --data-test sim-hoi-test --out tables
    """

    def run(self) -> None:
        import torch

        from mask2iv.experiments.reproduction import Reproduction
        from mask2iv.generation.values import pick_device

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
