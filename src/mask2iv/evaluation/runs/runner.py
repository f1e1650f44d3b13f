"""Generates or reads the outputs for every clip of a set, measures it, and summarises; resumes where it stopped.

Files: ``protocol.json``, written first, says how figures are made; ``per_clip.jsonl``, the journal, has one line per
finished clip, in the order of the set; ``features/`` holds the features behind the Frechet distances; ``filmstrips/``
has pictures of the first, the best and the worst clips. Written last: ``per_clip.parquet``, a table with a column per
measure; ``report.html``; and ``metrics.json`` with protocol and figures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from tqdm import tqdm

from mask2iv import config
from mask2iv.contract import Clip, Trajectory
from mask2iv.data.dataset import resize_clip, select_frames
from mask2iv.errors import InputError
from mask2iv.evaluation.measures import fidelity, metrics, scorecard
from mask2iv.evaluation.per_clip.measure import Measurer
from mask2iv.evaluation.per_clip.outputs import EvaluationConfig, ModelOutputs, Outputs
from mask2iv.evaluation.per_clip.predictions import PredictedOutputs
from mask2iv.evaluation.per_clip.rows import clip_row, ranking
from mask2iv.evaluation.reports.summary import summarise
from mask2iv.evaluation.runs.journal import Journal
from mask2iv.files import claimed, write_json
from mask2iv.manifest import versions
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.measures import PIECE
from mask2iv.trajectories.scoring import movement
from mask2iv.trajectories.scoring.score import AREA_FACTOR

__all__ = ["EvaluationConfig", "evaluate", "evaluate_predictions"]

DEFAULT_METRICS = ("psnr", "ssim", "lpips")


class _Source(Protocol):
    @property
    def systems(self) -> Sequence[str]: ...
    @property
    def conditions(self) -> Sequence[str]: ...
    def outputs(self, clips: Sequence[Clip]) -> list[Outputs]: ...


def evaluate(
    pipeline: Mask2IVPipeline,
    clips: Sequence[Clip],
    settings: EvaluationConfig,
    out: Path,
    sources: Mapping[str, Any],
    measurer: Measurer | None = None,
) -> dict[str, Any]:
    """Evaluate a model; the module's docstring lists the files written.

    Args:
        pipeline: the model, on the device to use.
        clips: held-out clips; brought to the model's size and length. Videos are segmented by SAM 2, or without it if
            the clips are a simulated :class:`~mask2iv.data.store.ClipSet`.
        settings: what is generated.
        out: a new folder, or that of a finished or unfinished evaluation under the same protocol.
        sources: ``model``, ``model_sha256``, ``data`` and ``data_index_sha256``, noted in the protocol.
        measurer: the metrics; PSNR, SSIM and LPIPS where None.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: no clips, the model lacks a stage, `out` holds something else, or a clip does not show its object in
            the first and the last frame or has fewer frames than the model.
    """
    source, own = ModelOutputs(pipeline, settings), pipeline.config
    scoring = _scoring(own.num_frames, (own.height, own.width), settings.stride)
    generation = {
        "stage": settings.stage,
        "condition": source.condition if settings.stage == "end-to-end" else None,
        "seed": settings.seed,
        "seeds": settings.seeds,
        "sampler": settings.sampler or own.sampler,
        "batch_size": settings.batch_size,
        "num_inference_steps": settings.steps or own.num_inference_steps,
        "video_num_inference_steps": settings.steps or own.video_num_inference_steps,
        "pipeline": config.to_dict(own),
        "device": pipeline.encoder.device.type,
    }
    return _run(source, clips, scoring, settings, out, {**sources, **generation}, measurer)


def evaluate_predictions(
    source: PredictedOutputs,
    clips: Sequence[Clip],
    size: tuple[int, int],
    num_frames: int,
    settings: EvaluationConfig,
    out: Path,
    sources: Mapping[str, Any],
    measurer: Measurer | None = None,
) -> dict[str, Any]:
    """Score videos of another program; the module's docstring lists the files written.

    Args:
        source: the videos.
        clips: those of ``source.clip_ids``, in that order; brought to `size` and `num_frames`.
        size, num_frames: (H, W) and T of the scored clips; the videos must have them.
        settings: of which ``batch_size``, ``filmstrips``, ``keep`` and ``stride`` matter.
        out, measurer: as in :func:`evaluate`.
        sources: ``predictions``, ``data`` and ``data_index_sha256``, noted in the protocol.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: as in :func:`evaluate`, or a video of another shape.
    """
    digest = hashlib.sha256("\n".join(source.digest_lines()).encode()).hexdigest()
    generation = {
        "stage": "predictions",
        "predictions_sha256": digest,
        "seeds": len(source.folders),
        "missing": source.missing,
    }
    scoring = _scoring(num_frames, size, settings.stride)
    return _run(source, clips, scoring, settings, out, {**sources, **generation}, measurer)


def _run(
    source: _Source,
    clips: Sequence[Clip],
    scoring: dict[str, Any],
    settings: EvaluationConfig,
    out: Path,
    sources: Mapping[str, Any],
    measurer: Measurer | None,
) -> dict[str, Any]:
    if not len(clips):
        raise InputError("clips", "there are none to evaluate on")
    measurer = measurer or Measurer.load(DEFAULT_METRICS)
    measurer.fit(scoring["num_frames"], not source.systems or getattr(clips, "simulated", False))
    if measurer.convention == "paper":
        scoring["first_frame"] += ", PSNR and the mIoU over colour channels, by the paper's protocol"
    rank = ranking(source.systems, source.conditions, measurer.of_pictures)
    protocol = {
        **sources,
        "clips": len(clips),
        "clip_ids_sha256": _digest_of_ids(clips),
        "scoring": scoring,
        **measurer.protocol(),
        "definitions": _definitions(),
        "ranked_by": rank.name,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }
    journal = Journal(out, protocol, rank, settings.filmstrips, settings.keep)
    with claimed(out):
        for batch in _batches(clips, len(journal.rows), settings.batch_size, scoring):
            for clip, outputs in zip(batch, source.outputs(batch), strict=True):
                journal.add(*clip_row(measurer, clip, outputs))
            journal.save()
        result = {
            "protocol": protocol,
            **summarise(journal.rows, settings.seeds),
            **journal.distributions(measurer.distributions),
            **journal.ranked(),
        }
        journal.finish(result)
        write_json(out / "metrics.json", result)
    return result


def _batches(clips: Sequence[Clip], done: int, size: int, scoring: Mapping[str, Any]) -> Iterator[list[Clip]]:
    """The clips that are not done yet, as they are scored, with a progress bar."""
    with tqdm(total=len(clips), desc="evaluate", unit="clip", initial=done) as bar:
        for start in range(done, len(clips), size):
            batch = [_fitted(clips[index], scoring) for index in range(start, min(start + size, len(clips)))]
            yield batch
            bar.update(len(batch))


def _scoring(num_frames: int, size: tuple[int, int], stride: int | None) -> dict[str, Any]:
    return {
        "num_frames": num_frames,
        "stride": stride if stride is not None else "evenly spread",
        "height": size[0],
        "width": size[1],
        "resize": "bicubic, antialiased; labels by the nearest pixel",
        "first_frame": "an input: left out of all but the Frechet distances of videos",
        "intervals": "95 % percentile bootstrap over clips; jackknife over groups of clips for Frechet distances",
    }


def _definitions() -> dict[str, Any]:
    return {
        "moving_share": movement.MOVING_SHARE,
        "touch_kernel": movement.TOUCH_KERNEL,
        "way_share": movement.WAY_SHARE,
        "elongated": movement.ELONGATED,
        "least_turn": movement.LEAST_TURN,
        "changed_above": metrics.CHANGED_ABOVE,
        "changed_kernel": metrics.CHANGED_KERNEL,
        "psnr_limit": metrics.PSNR_LIMIT,
        "success": scorecard.SUCCESS,
        "area_factor": AREA_FACTOR,
        "piece": PIECE,
        "margin": scorecard.MARGIN,
        "moved_share": fidelity.MOVED_SHARE,
        "actor_piece": fidelity.ACTOR_PIECE,
        "bootstrap_resamples": metrics.RESAMPLES,
        "bootstrap_seed": metrics.BOOTSTRAP_SEED,
    }


def _digest_of_ids(clips: Sequence[Clip]) -> str:
    ids = getattr(clips, "ids", None) or [clip.clip_id for clip in clips]
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def _fitted(clip: Clip, scoring: Mapping[str, Any]) -> Clip:
    """The clip at the size and length that are scored."""
    stride = scoring["stride"] if isinstance(scoring["stride"], int) else None
    size = (scoring["height"], scoring["width"])
    frames = select_frames(clip.trajectory.num_frames, scoring["num_frames"], stride)
    video, labels = resize_clip(clip.video[frames], clip.trajectory.labels[frames], size)
    fps = clip.fps * (len(frames) - 1) / max(frames[-1] - frames[0], 1)
    fitted = replace(clip, video=video, trajectory=Trajectory(labels, fps), contact=None)
    for name, mask in (("first", fitted.object_mask), ("last", fitted.target_mask)):
        if not mask.any():
            raise InputError(
                f"clip {clip.clip_id}",
                f"its object is not visible in the {name} frame at {size[0]}x{size[1]}",
                "evaluate on clips that show it there",
            )
    return fitted
