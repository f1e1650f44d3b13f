"""Generates for every clip of a set, measures, and gathers the figures; goes on where it stopped.

Files: ``protocol.json`` says how the figures come about and is written first; ``per_clip.jsonl`` has one line per
finished clip, in the order of the set; ``filmstrips/`` has pictures of the first clips; ``metrics.json`` holds protocol
and figures and is written last.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tqdm import tqdm

from mask2iv import config
from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.data.dataset import resize_clip, select_frames
from mask2iv.errors import InputError
from mask2iv.evaluation import baselines, metrics
from mask2iv.evaluation.report import PREDICTED, TRIVIAL, TRUE, summarise
from mask2iv.files import atomic_write, read_json, write_json
from mask2iv.filmstrip import filmstrip
from mask2iv.manifest import versions
from mask2iv.masks import labels_to_rgb
from mask2iv.media import write_png
from mask2iv.stages.pipeline import Mask2IVPipeline
from mask2iv.stages.video import video_inputs

StageChoice = Literal["trajectory", "video", "both", "end-to-end"]
Row = dict[str, Any]


@dataclass(frozen=True)
class EvaluationConfig:
    """What is generated.

    Attributes:
        stage: "trajectory" (stage 1), "video" (stage 2, along the true trajectories), "both" of these one by one, or
            "end-to-end" (stage 2 along the trajectory that stage 1 predicts).
        steps: sampling steps of either stage; None for the model's defaults.
        seed: each clip's noise depends on it and on the clip's id alone.
        filmstrips: of so many clips, from the first on.
        condition: what stage 1 is told end to end, one of :data:`mask2iv.evaluation.report.PREDICTED`.

    Raises:
        InputError: a negative number, or no steps.
    """

    stage: StageChoice = "both"
    steps: int | None = None
    seed: int = 0
    filmstrips: int = 8
    condition: str = "position and text"

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise InputError(f"steps must be at least 1, found {self.steps}")
        if self.seed < 0 or self.filmstrips < 0:
            raise InputError(f"seed and filmstrips must not be negative, found {self.seed} and {self.filmstrips}")


def evaluate(
    pipeline: Mask2IVPipeline, clips: Sequence[Clip], settings: EvaluationConfig, out: Path, sources: dict[str, Any]
) -> dict[str, Any]:
    """Evaluate a model; see the module's text for what is written.

    Args:
        pipeline: the model, on the device to use.
        clips: held-out clips; brought to the model's size and length.
        settings: what is generated.
        out: a new folder, or the one of an unfinished or finished evaluation under the same protocol.
        sources: ``model``, ``model_sha256``, ``data`` and ``data_index_sha256``, noted in the protocol.

    Returns:
        The content of ``metrics.json``.

    Raises:
        InputError: no clips, the model lacks a stage, `out` holds something else, or a clip does not show its object in
            the first and the last frame or is shorter than the model's.
    """
    if not len(clips):
        raise InputError("there are no clips to evaluate on")
    for name, stage in (("trajectory", pipeline.trajectory_stage), ("video", pipeline.video_stage)):
        if settings.stage in (name, "both", "end-to-end") and stage is None:
            raise InputError(f"stage {settings.stage!r}: the model has no {name} stage; evaluate the other one alone")
    protocol = {**sources, "clips": len(clips), **_protocol(pipeline, settings)}
    rows = _claim(out, protocol)
    per_clip = out / "per_clip.jsonl"
    answers = _answers(pipeline, settings)
    total = len(clips) * (len(answers) + (settings.stage != "trajectory"))
    with tqdm(total=total, desc="evaluate", unit="sample", initial=total // len(clips) * len(rows)) as bar:
        for index in range(len(rows), len(clips)):
            clip = _fitted(clips[index], pipeline)
            row, strip = _evaluate_clip(pipeline, clip, answers, settings, bar)
            if index < settings.filmstrips:
                write_png(out / "filmstrips" / f"{clip.clip_id}.png", filmstrip(strip))
            rows.append(row)
            with atomic_write(per_clip) as temporary:
                temporary.write_text("".join(json.dumps(r, allow_nan=False) + "\n" for r in rows), encoding="utf-8")
    result = {"protocol": protocol, **summarise(rows)}
    write_json(out / "metrics.json", result)
    return result


def _protocol(pipeline: Mask2IVPipeline, settings: EvaluationConfig) -> dict[str, Any]:
    own = pipeline.config
    return {
        "stage": settings.stage,
        **({"condition": settings.condition} if settings.stage == "end-to-end" else {}),
        "seed": settings.seed,
        "num_inference_steps": settings.steps or own.num_inference_steps,
        "video_num_inference_steps": settings.steps or own.video_num_inference_steps,
        "pipeline": config.to_dict(own),
        "definitions": {
            "moving_share": metrics.MOVING_SHARE,
            "touch_kernel": metrics.TOUCH_KERNEL,
            "way_share": metrics.WAY_SHARE,
            "elongated": metrics.ELONGATED,
            "least_turn": metrics.LEAST_TURN,
            "changed_above": metrics.CHANGED_ABOVE,
            "changed_kernel": metrics.CHANGED_KERNEL,
            "psnr_limit": metrics.PSNR_LIMIT,
            "bootstrap_resamples": metrics.RESAMPLES,
            "bootstrap_seed": metrics.BOOTSTRAP_SEED,
        },
        "device": pipeline.encoder.device.type,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _claim(out: Path, protocol: dict[str, Any]) -> list[Row]:
    """The rows that are there already, of an evaluation under this very protocol."""
    path = out / "protocol.json"
    if not path.is_file():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"--out {out} is not empty and holds no evaluation; choose another folder")
        write_json(path, protocol)
        return []
    found = read_json(path)
    wanted = json.loads(json.dumps(protocol))
    # Hashes tell models and data apart; the same ones may be called by other paths.
    keys = {*found, *wanted} - {"model", "data"}
    differing = sorted(key for key in keys if found.get(key) != wanted.get(key))
    if differing:
        raise InputError(
            f"--out {out} holds an evaluation that differs in {', '.join(differing)}; choose another folder"
        )
    lines = out / "per_clip.jsonl"
    return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()] if lines.is_file() else []


def _answers(pipeline: Mask2IVPipeline, settings: EvaluationConfig) -> list[str]:
    """The conditions under which stage 1 is asked: those its mask layout takes."""
    if settings.stage in ("video", "end-to-end"):
        return []
    return {"joint": list(PREDICTED), "text": ["text"], "position": ["position"]}[pipeline.config.mask_layout]


def _fitted(clip: Clip, pipeline: Mask2IVPipeline) -> Clip:
    """The clip at the model's size and length."""
    own = pipeline.config
    frames = select_frames(clip.trajectory.num_frames, own.num_frames)
    video, labels = resize_clip(clip.video[frames], clip.trajectory.labels[frames], (own.height, own.width))
    fps = clip.fps * (len(frames) - 1) / max(frames[-1] - frames[0], 1)
    fitted = replace(clip, video=video, trajectory=Trajectory(labels, fps), contact=None)
    for name, mask in (("first", fitted.object_mask), ("last", fitted.target_mask)):
        if not mask.any():
            raise InputError(
                f"clip {clip.clip_id}: its object is not visible in the {name} frame at {own.height}x{own.width}; "
                "evaluate on clips that show it there"
            )
    return fitted


def _generator(seed: int, clip_id: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed} {clip_id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7]))


def _evaluate_clip(
    pipeline: Mask2IVPipeline, clip: Clip, answers: Sequence[str], settings: EvaluationConfig, bar: Any
) -> tuple[Row, list[tuple[str, UInt8Array]]]:
    """One row of ``per_clip.jsonl`` and the rows of the clip's filmstrip."""
    row: Row = {name: getattr(clip, name) for name in ("clip_id", "caption", "verb", "object_name", "actor")}
    row["seconds"] = {}
    strip = [(f"true video: {clip.caption}", clip.video), ("true trajectory", labels_to_rgb(clip.trajectory.labels))]
    if answers:
        started = time.perf_counter()
        predicted = {name: _predict(pipeline, clip, name, settings, bar) for name in answers}
        row["seconds"]["trajectory"] = round((time.perf_counter() - started) / len(answers), 3)
        row |= _trajectory_measures(clip, predicted)
        strip += [(f"stage 1 from {name}", labels_to_rgb(trajectory.labels)) for name, trajectory in predicted.items()]
    if settings.stage != "trajectory":
        path = clip.trajectory
        if settings.stage == "end-to-end":
            path = _predict(pipeline, clip, settings.condition, settings, None)
            strip.append((f"stage 1 from {settings.condition}", labels_to_rgb(path.labels)))
        started = time.perf_counter()
        [video] = pipeline.render(
            clip.image,
            **video_inputs(pipeline.config, path, clip.caption),
            num_inference_steps=settings.steps,
            generator=_generator(settings.seed, clip.clip_id),
            progress=False,
        )
        row["seconds"]["video"] = round(time.perf_counter() - started, 3)
        bar.update()
        pictures = {"model": video, "still": baselines.repeat_first_frame(clip)}
        row["video"] = {name: _video_measures(clip, answer) for name, answer in pictures.items()}
        strip.append(("video", video))
    return row, strip


def _predict(pipeline: Mask2IVPipeline, clip: Clip, name: str, settings: EvaluationConfig, bar: Any) -> Trajectory:
    actor = clip.trajectory.actor[0]
    [trajectory] = pipeline.trajectory(
        clip.image,
        clip.object_mask,
        prompt=None if name == "position" else clip.caption,
        target_mask=None if name == "text" else clip.target_mask,
        actor_mask=actor if actor.any() else None,
        num_inference_steps=settings.steps,
        generator=_generator(settings.seed, clip.clip_id),
        progress=False,
    )
    if bar is not None:
        bar.update()
    return trajectory


def _trajectory_measures(clip: Clip, predicted: dict[str, Trajectory]) -> Row:
    every = {
        **predicted,
        TRIVIAL[0]: baselines.object_stays(clip),
        TRIVIAL[1]: baselines.object_slides(clip),
        TRUE: clip.trajectory,
    }
    way = metrics.way_of(clip)
    measured: Row = {"trajectory": {}, "way": None}
    for name, trajectory in every.items():
        distance, vanished = metrics.final_distance(trajectory, clip.target_mask, clip.object_mask)
        moving, touching = metrics.moving_and_touching(trajectory)
        measured["trajectory"][name] = {
            "final_distance": distance,
            "vanished": vanished,
            "object_iou": metrics.object_iou(trajectory, clip.trajectory),
            "actor_iou": metrics.actor_iou(trajectory, clip.trajectory),
            "frames": trajectory.num_frames - 1,
            "moving_frames": moving,
            "touching_frames": touching,
        }
    if way is not None:
        told = {name: metrics.goes(trajectory, way.movement) for name, trajectory in every.items()}
        measured["way"] = {"group": way.group, "movement": way.movement, "right": told}
    return measured


def _video_measures(clip: Clip, video: UInt8Array) -> Row:
    return {
        "psnr": metrics.psnr(video, clip.video),
        "psnr_changed": metrics.psnr(video, clip.video, metrics.changed_pixels(clip.video)),
        "ssim": metrics.ssim(video, clip.video),
    }
