"""``mask2iv evaluate``: scores of a model, or of any program's videos, on held-out clips, beside trivial baselines."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mask2iv.errors import InputError, within
from mask2iv.generation.values import parse_size
from mask2iv.pipelines.folder import model_folder, read_index

if TYPE_CHECKING:
    import torch

    from mask2iv.data.store import ClipSet
    from mask2iv.evaluation.per_clip.measure import Measurer
    from mask2iv.evaluation.per_clip.outputs import EvaluationConfig
    from mask2iv.evaluation.per_clip.predictions import PredictedOutputs


def _optional(metavar: str) -> Any:
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


@dataclass(frozen=True)
class Evaluate:
    """Measure a model on held-out clips, beside trivial baselines, or score the videos of another program.

    Stage 1 predicts from the target position, from the text, and from both; stage 2 renders along the true
    trajectories, or end to end along the predicted ones. Writes metrics.json, per_clip.parquet, report.html, report.md
    and filmstrips/, and prints the main figures. An interrupted evaluation resumes when called again with the same
    arguments. docs/evaluation.md defines every measure.

        mask2iv evaluate --data held-out --out results
        mask2iv evaluate --predictions their-videos --data held-out --out their-results
    """

    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Clip set on which the model was not trained."""
    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the figures."""
    model: Annotated[str | None, _optional("embedded|FOLDER")] = None
    """The weights that come with the package (the default), or a model folder."""
    predictions: Annotated[Path | None, _optional("DIR")] = None
    """In place of a model: a folder with CLIP_ID.mp4 (or webm, mov, ...) for each clip, and CLIP_ID/labels.npz or
    CLIP_ID/trajectory/ where the video was to follow a trajectory other than the true one; or seed-0/, seed-1/, ...
    with the same."""
    allow_missing: bool = False
    """With --predictions: score only the clips that have a video. The protocol names the others."""
    split: Annotated[str | None, _optional("NAME")] = None
    """Part of the data: the clip set DIR/NAME, or the clips whose metadata says split NAME."""
    stage: Literal["trajectory", "video", "both", "end-to-end"] = "both"
    """What to evaluate: stage 1, stage 2 along true trajectories, both separately, or stage 2 along predicted ones."""
    condition: Annotated[Literal["position", "text", "position-and-text"] | None, _optional("KIND")] = None
    """Conditions of stage 1 end to end: position, text or position-and-text. Default: all that the model takes."""
    metrics: Annotated[str | None, _optional("NAME,NAME")] = None
    """Of psnr, ssim, lpips, fvd, fvd-sim, fid, v2v, t2v, interaction. Default: all but fid. Those without weights are
    reported as not measured."""
    weights: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=PLACE", help_behavior_hint="")] = ()
    """Weights of fvd, fid (a file, or OWNER/REPOSITORY/FILE on the hub; TorchScript, so as NAME=FILE@sha256:DIGEST) and
    of video-text, sam2 (a folder or hub name); and, in place of the shipped ones, of lpips (a file: torchvision's
    AlexNet) and fvd-sim (a folder). Separate several by spaces."""
    protocol: Literal["own", "paper"] = "own"
    """By whose rules PSNR and FVD are taken: own, or the paper's (PSNR as the mean of the frames' dB with the first
    frame counted; FVD of the middle square, as in StyleGAN-V), which adds the official code's validation mIoU to stage
    1. mask2iv compare keeps the two apart."""
    limit: Annotated[int | None, _optional("N")] = None
    """Only the first N clips. Default: all."""
    steps: Annotated[int | None, _optional("K")] = None
    """Sampling steps of each stage. Default: the model's."""
    sampler: Annotated[Literal["ddim", "dpmsolver++", "unipc"] | None, _optional("NAME")] = None
    """Solver: ddim, dpmsolver++ or unipc. Default: the model's."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """The same seed gives the same figures on the same machine."""
    seeds: Annotated[int, tyro.conf.arg(metavar="K")] = 1
    """Samples per clip, with seeds N, N+1, ...; two or more measure the diversity."""
    batch_size: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Samples that go through the networks together."""
    frames: Annotated[int | None, _optional("T")] = None
    """With --predictions: frames of each video. Default: the data's. A model has its own."""
    size: Annotated[str | None, _optional("HxW")] = None
    """With --predictions: height x width at which videos are scored. Default: the data's. A model has its own."""
    stride: Annotated[int | None, _optional("N")] = None
    """Take every N-th frame of a clip, from the first. Default: spaced evenly over the clip."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU where there is one."""
    threads: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """CPU threads; 0 for PyTorch's choice."""

    def run(self) -> None:
        self._check()
        from mask2iv.data.splits import open_split
        from mask2iv.evaluation.networks.weights import choose_metrics, parse_weights
        from mask2iv.evaluation.per_clip.outputs import EvaluationConfig

        settings = EvaluationConfig(
            self.stage,
            self.steps,
            self.seed,
            seeds=self.seeds,
            sampler=self.sampler,
            batch_size=self.batch_size,
            condition=None if self.condition is None else self.condition.replace("-", " "),
            stride=self.stride,
        )
        wanted, given = choose_metrics(self.metrics), parse_weights(self.weights)
        with within("data"):
            clips = open_split(self.data, self.split)
        clips = clips.first(self.limit)
        if self.predictions is None:
            source = None
            read_index(model_folder(self.model or "embedded"))
        else:
            from mask2iv.evaluation.per_clip.predictions import PredictedOutputs

            everything = type(clips)(clips.directory).ids
            source = PredictedOutputs(self.predictions, clips.ids, everything, self.allow_missing)

        import torch

        from mask2iv.devices import pick_device
        from mask2iv.evaluation.per_clip.measure import Measurer
        from mask2iv.evaluation.reports.report import brief, markdown
        from mask2iv.files import atomic_write, sha256_file

        device = pick_device(self.device)
        if self.threads:
            torch.set_num_threads(self.threads)
        sources = {
            "data": str(self.data),
            "split": self.split,
            "data_index_sha256": sha256_file(clips.directory / "index.jsonl"),
        }
        measurer = Measurer.load(wanted, given, device, self.protocol)
        if source is None:
            result = self._of_model(clips, settings, sources, measurer, device)
        else:
            result = self._of_predictions(source, clips, settings, sources, measurer)
        with atomic_write(self.out / "report.md") as temporary:
            temporary.write_text(markdown(result), encoding="utf-8")
        print("\n".join([*brief(result), f"All figures: {self.out / 'report.html'} (as Markdown: report.md)"]))

    def _of_model(
        self,
        clips: ClipSet,
        settings: EvaluationConfig,
        sources: dict[str, Any],
        measurer: Measurer,
        device: torch.device,
    ) -> dict[str, Any]:
        from mask2iv.evaluation.runs.runner import evaluate
        from mask2iv.manifest import weights_digest
        from mask2iv.pipelines.pipeline import Mask2IVPipeline

        model = self.model or "embedded"
        pipeline = Mask2IVPipeline.from_pretrained(model).to(device)
        named = {"model": model, "model_sha256": weights_digest(model_folder(model))}
        return evaluate(pipeline, clips, settings, self.out, {**named, **sources}, measurer)

    def _of_predictions(
        self,
        source: PredictedOutputs,
        clips: ClipSet,
        settings: EvaluationConfig,
        sources: dict[str, Any],
        measurer: Measurer,
    ) -> dict[str, Any]:
        from mask2iv.evaluation.runs.runner import evaluate_predictions

        size = clips.size if self.size is None else parse_size(self.size)
        named = {"predictions": str(self.predictions), **sources}
        scored = clips.where(source.clip_ids)
        frames = self.frames or clips.num_frames
        return evaluate_predictions(source, scored, size, frames, settings, self.out, named, measurer)

    def _check(self) -> None:
        """Whether the flags belong together."""
        for name, least in {"frames": 1, "threads": 0}.items():
            number = getattr(self, name)
            if number is not None and number < least:
                raise InputError(name, f"must be at least {least}, found {number}")
        if self.size is not None:
            parse_size(self.size)
        if self.predictions is not None:
            given = {"model": self.model, "steps": self.steps, "sampler": self.sampler, "condition": self.condition,
                     "stage": None if self.stage == "both" else self.stage, "seed": self.seed or None,
                     "seeds": None if self.seeds == 1 else self.seeds}  # fmt: skip
            why, remedy = "is of no use with --predictions, whose videos exist already", "leave it out"
        else:
            given = {"frames": self.frames, "size": self.size, "allow_missing": self.allow_missing or None}
            why, remedy = "belongs to --predictions: a model has its own frames and size", "leave it out"
        used = [name for name, value in given.items() if value is not None]
        if used:
            raise InputError(used[0], why, remedy)
