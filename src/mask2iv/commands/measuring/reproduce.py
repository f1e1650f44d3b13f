"""``mask2iv reproduce``: the paper's tables, from training to the finished table."""

from __future__ import annotations

from dataclasses import dataclass

from mask2iv.experiments.options import TableOptions


@dataclass(frozen=True)
class Reproduce(TableOptions):
    """Make a table of the paper: train all rows alike, evaluate them on the same clips, write the table.

    Rows already trained or evaluated in the same --out are kept; an interrupted one resumes from its last checkpoint.
    Writes TABLE.md, TABLE.csv and TABLE.json (with provenance), models/ and evaluations/. Several processes may work on
    rows of one --out at a time.

        mask2iv reproduce table-systems --data sim-hoi --data-test sim-hoi-test --out tables
    """

    def run(self) -> None:
        self.check()
        import torch

        from mask2iv.devices import pick_device
        from mask2iv.experiments.reproduction import Reproduction

        device = pick_device(self.device)
        if self.threads:
            torch.set_num_threads(self.threads)
        print(Reproduction(self, device).run(), end="")
