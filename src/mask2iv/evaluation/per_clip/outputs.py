"""The outputs to evaluate, clip by clip: those of a model, or of another program."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.seeds import generator_of

if TYPE_CHECKING:
    import torch

    from mask2iv.pipelines.pipeline import Mask2IVPipeline

T = TypeVar("T")
StageChoice = Literal["trajectory", "video", "both", "end-to-end"]
CONDITIONS = ("position", "position and text", "text")
"""The inputs of stage 1 besides the image and its masks."""
VIDEO, END_TO_END, PREDICTIONS = "video", "end_to_end", "predictions"
"""Systems that make videos: stage 2 along true trajectories, both stages, another program."""


@dataclass
class Outputs:
    """All outputs for one clip, one per seed.

    Attributes:
        trajectories: of stage 1, by condition.
        videos: uint8 [T, H, W, 3] and the trajectory each was asked to follow, by system.
        seconds: per output, by stage.
    """

    trajectories: dict[str, list[Trajectory]] = field(default_factory=dict)
    videos: dict[str, list[tuple[UInt8Array, Trajectory]]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationConfig:
    """What to generate, and how.

    Attributes:
        stage: "trajectory" (stage 1), "video" (stage 2, along the true trajectories), "both" of these separately, or
            "end-to-end" (stage 2 along the trajectory that stage 1 predicts).
        steps: sampling steps of either stage; None for the model's defaults.
        seed: a clip's noise depends on it and on the clip's id alone.
        filmstrips: how many clips, from the first on, get one besides the best and the worst.
        seeds: outputs per clip: seed, seed + 1, ...
        sampler: "ddim", "dpmsolver++" or "unipc"; None for the model's default.
        batch_size: outputs that go through the networks together; with 1 each is, to the bit, what it is alone.
        condition: what stage 1 is given end to end, one of :data:`CONDITIONS`; None for all that its layout takes.
        stride: take every stride-th frame of a clip; None spaces the frames evenly over it.
        keep: how many of the best and how many of the worst clips get filmstrips.

    Raises:
        InputError: a number that is too small, an unknown condition, or one where stage 1 is not asked for a video.
    """

    stage: StageChoice = "both"
    steps: int | None = None
    seed: int = 0
    filmstrips: int = 8
    seeds: int = 1
    sampler: str | None = None
    batch_size: int = 1
    condition: str | None = None
    stride: int | None = None
    keep: int = 4

    def __post_init__(self) -> None:
        least = {"steps": 1, "seed": 0, "filmstrips": 0, "keep": 0, "seeds": 1, "batch_size": 1, "stride": 1}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise InputError(name, f"must be at least {lowest}, found {value}")
        if self.condition is not None and self.condition not in CONDITIONS:
            raise InputError("condition", f"must be one of {', '.join(CONDITIONS)}, found {self.condition!r}")
        if self.condition is not None and self.stage != "end-to-end":
            raise InputError(
                "condition",
                f"is for both stages end to end: for stage {self.stage!r} stage 1 is evaluated with all that it takes",
                "leave it out",
            )


class ModelOutputs:
    """Outputs that a pipeline generates.

    Args:
        pipeline: the model, on the device to use.
        settings: what is generated.

    Raises:
        InputError: the model lacks a stage, or does not take the condition.
    """

    def __init__(self, pipeline: Mask2IVPipeline, settings: EvaluationConfig) -> None:
        self.pipeline, self.settings = pipeline, settings
        needed = {"both": ("trajectory", "video"), "end-to-end": ("trajectory", "video")}
        for name, there in (
            ("trajectory", pipeline.predictor is not None),
            ("video", pipeline.renderer is not None),
        ):
            if name in needed.get(settings.stage, (settings.stage,)) and not there:
                raise InputError(
                    f"stage {settings.stage!r}", f"the model has no {name} stage", "evaluate the other one alone"
                )
        takes = {"text": ["text"], "position": ["position"]}.get(pipeline.config.mask_layout, list(CONDITIONS))
        best = "position and text" if len(takes) > 1 else takes[0]
        self.condition = settings.condition or best
        if settings.stage == "end-to-end" and self.condition not in takes:
            raise InputError(f"condition {self.condition!r}", f"this model takes {', '.join(takes)} alone")
        self.conditions = takes if settings.stage in ("trajectory", "both") else []
        self.systems = {"video": [VIDEO], "both": [VIDEO], "end-to-end": [END_TO_END]}.get(settings.stage, [])

    def outputs(self, clips: Sequence[Clip]) -> list[Outputs]:
        """All outputs for some clips, which have the model's size and length."""
        found = [Outputs() for _ in clips]
        started = time.perf_counter()
        for name in self.conditions:
            for outputs, trajectories in zip(found, self._predict(clips, name), strict=True):
                outputs.trajectories[name] = trajectories
        if self.conditions:
            self._note(found, "trajectory", started, len(self.conditions))
        if VIDEO in self.systems:
            started = time.perf_counter()
            self._render(found, clips, [[clip.trajectory] * self.settings.seeds for clip in clips], VIDEO)
            self._note(found, "video", started)
        if END_TO_END in self.systems:
            started = time.perf_counter()
            predicted = self._predict(clips, self.condition)
            self._note(found, "trajectory", started)
            started = time.perf_counter()
            self._render(found, clips, predicted, END_TO_END)
            self._note(found, "video", started)
            for outputs, trajectories in zip(found, predicted, strict=True):
                outputs.trajectories[self.condition] = trajectories
        return found

    def _note(self, found: list[Outputs], stage: str, started: float, times: int = 1) -> None:
        count = len(found) * self.settings.seeds * times
        for outputs in found:
            outputs.seconds[stage] = round((time.perf_counter() - started) / count, 3)

    def _predict(self, clips: Sequence[Clip], name: str) -> list[list[Trajectory]]:
        trajectories = self.pipeline.trajectory(
            [clip.image for clip in clips],
            [clip.object_mask for clip in clips],
            prompt=[None if name == "position" else clip.caption for clip in clips],
            target_mask=[None if name == "text" else clip.target_mask for clip in clips],
            actor_mask=[clip.trajectory.actor[0] if clip.trajectory.actor[0].any() else None for clip in clips],
            num_videos_per_prompt=self.settings.seeds,
            num_inference_steps=self.settings.steps,
            generator=self._generators(clips),
            batch_size=self.settings.batch_size,
            sampler=self.settings.sampler,
            progress=False,
        )
        return self._by_clip(trajectories)

    def _render(
        self, found: list[Outputs], clips: Sequence[Clip], requested: list[list[Trajectory]], system: str
    ) -> None:
        each = [clip for clip in clips for _ in range(self.settings.seeds)]
        trajectories = [trajectory for of_clip in requested for trajectory in of_clip]
        videos = self.pipeline.render(
            [clip.image for clip in each],
            **self.pipeline.render_inputs(trajectories, [clip.caption for clip in each]),
            num_inference_steps=self.settings.steps,
            generator=self._generators(clips),
            batch_size=self.settings.batch_size,
            sampler=self.settings.sampler,
            progress=False,
        )
        for outputs, rendered, asked in zip(found, self._by_clip(videos), requested, strict=True):
            outputs.videos[system] = list(zip(rendered, asked, strict=True))

    def _by_clip(self, outputs: Sequence[T]) -> list[list[T]]:
        seeds = self.settings.seeds
        return [list(outputs[start : start + seeds]) for start in range(0, len(outputs), seeds)]

    def _generators(self, clips: Sequence[Clip]) -> list[torch.Generator]:
        first = self.settings.seed
        return [
            clip_generator(seed, clip.clip_id) for clip in clips for seed in range(first, first + self.settings.seeds)
        ]


def clip_generator(seed: int, clip_id: str) -> torch.Generator:
    """The source of a clip's noise, which depends on both arguments alone."""
    return generator_of(f"{seed} {clip_id}")
