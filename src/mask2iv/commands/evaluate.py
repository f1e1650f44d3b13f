"""``mask2iv evaluate``: figures of a model on held-out clips, beside trivial answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from mask2iv.errors import InputError


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on held-out clips, beside trivial answers.

    Stage 1 is asked with the target position, with the text, and with both; stage 2 renders along the true
    trajectories. Writes metrics.json, per_clip.jsonl and filmstrips/, and prints Markdown tables. Called again with the
    same arguments, an interrupted evaluation goes on where it stopped.

        mask2iv evaluate --data held-out --out results
    """

    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Clip set that the model was not trained on."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the figures."""
    model: Annotated[str, tyro.conf.arg(metavar="embedded|FOLDER")] = "embedded"
    """The weights that come with the package, or a model folder."""
    stage: Literal["trajectory", "video", "both"] = "both"
    """What to evaluate."""
    limit: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="")] = None
    """Only the first N clips. Default: all."""
    steps: Annotated[int | None, tyro.conf.arg(metavar="K", help_behavior_hint="")] = None
    """Sampling steps of each stage. Default: the model's."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """The same seed gives the same figures on the same machine."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """CPU threads; 0 for PyTorch's choice."""

    def run(self) -> None:
        import torch

        from mask2iv.commands.arguments import pick_device
        from mask2iv.data.store import ClipSet
        from mask2iv.evaluation.report import markdown
        from mask2iv.evaluation.runner import EvaluationConfig, evaluate
        from mask2iv.files import sha256_file
        from mask2iv.manifest import weights_digest
        from mask2iv.stages.components import model_folder
        from mask2iv.stages.pipeline import Mask2IVPipeline

        for flag, number, least in (("limit", self.limit, 1), ("steps", self.steps, 1), ("threads", self.threads, 0)):
            if number is not None and number < least:
                raise InputError(f"--{flag} must be at least {least}, found {number}")
        settings = EvaluationConfig(self.stage, self.steps, self.seed)
        clips = ClipSet(self.data)
        if self.limit is not None:
            clips = clips.subset(0, self.limit)
        device = pick_device(self.device)
        if self.threads:
            torch.set_num_threads(self.threads)
        pipeline = Mask2IVPipeline.from_pretrained(self.model).to(device)
        sources = {
            "model": self.model,
            "model_sha256": weights_digest(model_folder(self.model)),
            "data": str(self.data),
            "data_index_sha256": sha256_file(self.data / "index.jsonl"),
        }
        print(markdown(evaluate(pipeline, clips, settings, self.out, sources)), end="")
