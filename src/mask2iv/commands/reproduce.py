"""``mask2iv reproduce``: the paper's tables, from training to the finished table."""

from __future__ import annotations

from dataclasses import dataclass

from mask2iv.errors import InputError
from mask2iv.experiments.options import TableOptions

_FULL_SCALE = (
    "trains DynamiCrafter-512 for each row, 100000 steps of 16 clips of 320x512 or --steps. It needs a CUDA GPU, for "
    "days, and the released weights as --image-to-video (mask2iv import --stage dynamicrafter --widen-for none "
    "--dtype fp32)"
)


@dataclass(frozen=True)
class Reproduce(TableOptions):
    """Make a table of the paper: train all rows alike, evaluate them on the same clips, write the table.

    Rows already trained or evaluated in the same --out are kept; an interrupted one resumes from its last checkpoint.
    Writes TABLE.md, TABLE.csv and TABLE.json (with provenance), models/ and evaluations/. Several processes may work on
    rows of one --out at a time.

        mask2iv reproduce table-systems --data sim-hoi --data-test sim-hoi-test --out tables
    """

    def run(self) -> None:
        import torch

        from mask2iv.experiments.reproduction import Reproduction
        from mask2iv.generation.values import pick_device

        least = {"limit": 1, "steps": 1, "sampling_steps": 1, "threads": 0, "pretrain": 0, "seed": 0}
        for name, lowest in least.items():
            number = getattr(self, name)
            if number is not None and number < lowest:
                raise InputError(name, f"must be at least {lowest}, found {number}")
        if self.pretrain and self.data_other is None:
            raise InputError("pretrain", "needs the clips to pretrain on", "give --data-other")
        for name in ("pretrain", "base", "data_other"):
            if self.image_to_video is not None and getattr(self, name):
                raise InputError(name, "--image-to-video brings the network that the rows start from", "leave it out")
        device = pick_device(self.device)
        if self.scale == "full":
            lacking = [
                *([] if device.type == "cuda" else ["no CUDA device"]),
                *([] if self.image_to_video is not None else ["no --image-to-video"]),
            ]
            if lacking:
                raise InputError(
                    "scale full", f"{_FULL_SCALE}; found {' and '.join(lacking)}", "or use --scale embedded"
                )
        if self.threads:
            torch.set_num_threads(self.threads)
        print(Reproduction(self, device).run(), end="")
