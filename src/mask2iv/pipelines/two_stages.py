"""Any predictor and any renderer, chained, with progress bars and callbacks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch
from tqdm import tqdm

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.backbones.dynamicrafter.sharing import SharedEncoder
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.trajectory import DiffusionPredictor
from mask2iv.backbones.dynamicrafter.video import DiffusionRenderer
from mask2iv.backbones.planning.predictor import PlanningPredictor, PlanningStage
from mask2iv.contract import Fit, Placement, Trajectory, UInt8Array
from mask2iv.diffusion.samplers import DDIMScheduler, SamplingStep
from mask2iv.diffusion.solvers import make_sampler
from mask2iv.errors import InputError, warn
from mask2iv.media.fitting import check_fit, place, placed_image
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.prompts.reader import PromptReader
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.interfaces import (
    SamplingOptions,
    TrajectoryPredictor,
    VideoRenderer,
    VideoRequest,
    check_requests,
)
from mask2iv.stages.scene import Scene

T = TypeVar("T")

StepCallback = Callable[[Any, int, int, dict[str, Any]], dict[str, Any]]
"""As diffusers calls it: with the pipeline, the step, the timestep and the latents; what it returns replaces them."""


@dataclass
class Mask2IVOutput:
    """Result of a pipeline call.

    Attributes:
        frames: one video per output, uint8 [T, H, W, 3], or as the call's ``output_type`` asks.
        trajectory: the mask trajectory each was rendered from.
        seconds: duration of each stage.
    """

    frames: list[Any]
    trajectory: list[Trajectory]
    seconds: dict[str, float] = field(default_factory=dict)


class TwoStages:
    """Stage 1 and stage 2 behind their interfaces.

    Args:
        prompts: reads prompts in the model's words.
    """

    config: PipelineConfig
    encoder: ConditionEncoder
    scheduler: Any
    trajectory_stage: Stage | None
    planning_stage: PlanningStage | None
    video_stage: Stage | None
    reference_decoder: ReferenceDecoder | None

    def __init__(self, prompts: PromptReader) -> None:
        self._predictor: TrajectoryPredictor | None = None
        self._renderer: VideoRenderer | None = None
        self.prompts = prompts
        self._bar: dict[str, Any] = {}

    def set_progress_bar_config(self, **options: Any) -> None:
        """Arguments of tqdm for the progress bars, for example ``disable=True``; as in diffusers."""
        self._bar = options

    @property
    def prompts(self) -> PromptReader:
        """Reads prompts in the model's words."""
        return self._prompts

    @prompts.setter
    def prompts(self, reader: PromptReader) -> None:
        self._prompts = reader
        self._shared = SharedEncoder(self.encoder, reader)

    @property
    def predictor(self) -> TrajectoryPredictor | None:
        """Stage 1: what was assigned, else the model's own; None without one."""
        if self._predictor is not None:
            return self._predictor
        if self.planning_stage is not None:
            return PlanningPredictor(self.planning_stage, self._shared, self.config)
        if self.trajectory_stage is not None:
            return DiffusionPredictor(self.trajectory_stage, self._shared, self.config, self.solver)
        return None

    @predictor.setter
    def predictor(self, predictor: TrajectoryPredictor | None) -> None:
        self._predictor = predictor

    @property
    def renderer(self) -> VideoRenderer | None:
        """Stage 2: what was assigned, else the model's own; None without one."""
        if self._renderer is not None:
            return self._renderer
        if self.video_stage is not None:
            return DiffusionRenderer(self.video_stage, self._shared, self.reference_decoder, self.config, self.solver)
        return None

    @renderer.setter
    def renderer(self, renderer: VideoRenderer | None) -> None:
        self._renderer = renderer

    def render_inputs(self, trajectory: Any, prompt: Any) -> dict[str, Any]:
        """`trajectory` and `prompt` (one or a list of each) as :meth:`render` wants them: None for what is not taken.

        For callers that give different systems the same task.
        """
        renderer = _require(self.renderer, "video")
        return {
            "trajectory": trajectory if renderer.takes_masks else None,
            "prompt": prompt if renderer.takes_text else None,
        }

    def predict(
        self,
        scenes: Sequence[Scene],
        seeds: Sequence[int],
        options: SamplingOptions,
        callback: StepCallback | None = None,
        progress: bool = True,
    ) -> list[Trajectory]:
        """Stage 1 of scenes that are read already.

        Args:
            scenes: at the size to predict at.
            seeds: one per scene.
            options: how to sample; what they have in ``watch`` is replaced.
            callback, progress: as in :meth:`trajectory`.

        Raises:
            InputError: as :meth:`trajectory`.
        """
        with self._call():
            return self._predict(scenes, seeds, options, callback, progress)

    def render_requests(
        self,
        requests: Sequence[VideoRequest],
        seeds: Sequence[int],
        options: SamplingOptions,
        callback: StepCallback | None = None,
        progress: bool = True,
    ) -> list[UInt8Array]:
        """Stage 2 of requests that are read already; arguments as in :meth:`predict`, errors as in :meth:`render`."""
        with self._call():
            return self._render(requests, seeds, options, callback, progress)

    def generate(
        self,
        scenes: Sequence[Scene],
        seeds: Sequence[int],
        options: SamplingOptions,
        video_options: SamplingOptions,
        callback: StepCallback | None = None,
        progress: bool = True,
    ) -> Mask2IVOutput:
        """Both stages of scenes that are read already; each image is encoded once for both.

        Arguments as in :meth:`predict`, `video_options` those of stage 2.

        Raises:
            InputError: as :meth:`__call__`.
        """
        renderer = _require(self.renderer, "video")
        if not renderer.takes_masks:
            raise InputError(
                "model", "its stage 2 takes no masks, so there is nothing to predict for it", "call render instead"
            )
        with self._call():
            started = time.perf_counter()
            trajectories = self._predict(scenes, seeds, options, callback, progress)
            between = time.perf_counter()
            requests = [
                VideoRequest(scene.image, trajectory, scene.prompt if renderer.takes_text else "")
                for scene, trajectory in zip(scenes, trajectories, strict=True)
            ]
            frames = self._render(requests, seeds, video_options, callback, progress)
        seconds = {"trajectory": between - started, "video": time.perf_counter() - between}
        return Mask2IVOutput(frames, trajectories, {name: round(value, 3) for name, value in seconds.items()})

    def solver(self, sampler: str | None = None) -> Any:
        """The scheduler that sampling uses: the one called `sampler`, by default the model's, or a replaced one.

        Raises:
            InputError: an unknown name, or a name although ``scheduler`` was replaced.
        """
        if isinstance(self.scheduler, DDIMScheduler):
            return make_sampler(sampler or self.config.sampler, self.scheduler)
        if sampler is not None:
            raise InputError(
                f"sampler {sampler!r}",
                f"this pipeline's scheduler was replaced by {type(self.scheduler).__name__}, which is used as it is",
                "leave sampler out",
            )
        return self.scheduler

    def size(self, height: int | None = None, width: int | None = None) -> tuple[int, int]:
        """The output size (height, width), with the model's default for what is None.

        Raises:
            InputError: not divisible by what the networks need.
        """
        size = (height or self.config.height, width or self.config.width)
        self._check_size(size)
        return size

    def fitting(self, fit: Fit | None = None, fit_scale: float | None = None) -> tuple[Fit, float]:
        """How pictures of another shape get a result's, with the model's defaults for what is None.

        Raises:
            InputError: an unknown fit, a scale that is not positive, or one for another fit than "centre".
        """
        chosen = fit or self.config.fit
        check_fit(chosen, fit_scale)
        return chosen, fit_scale or self.config.fit_scale

    def first_frame(
        self,
        picture: UInt8Array,
        trajectory: Trajectory | None,
        size: tuple[int, int],
        fit: Fit | None = None,
        fit_scale: float | None = None,
    ) -> tuple[UInt8Array, Placement]:
        """A picture uint8 [H, W, 3] as the first frame of a video of ``size`` (H, W), and what of it that shows.

        If no fit is given, a trajectory that knows which part of a picture of this size it shows decides.

        Raises:
            InputError: as :meth:`fitting` and :meth:`size`.
        """
        self._check_size(size)
        source = (int(picture.shape[0]), int(picture.shape[1]))
        known = None if trajectory is None else trajectory.placement
        if (fit, fit_scale) == (None, None) and known is not None and (known.source, known.size) == (source, size):
            return placed_image(picture, known), known
        placement = place(source, size, *self.fitting(fit, fit_scale))
        if trajectory is not None and fit is None and source[0] * size[1] != source[1] * size[0]:
            problem = "the picture has another shape than the trajectory, which does not say which part of it it shows"
            warn("image", problem, f"it is fitted by {placement.fit}; say which fit is right")
        return placed_image(picture, placement), placement

    def _check_size(self, size: tuple[int, int]) -> None:
        stages = [stage.size_multiple for stage in (self.predictor, self.renderer) if stage is not None]
        multiple = math.lcm(*stages)
        if size[0] % multiple or size[1] % multiple:
            raise InputError(
                f"size {size[0]}x{size[1]}", f"height and width must be multiples of {multiple} for this model"
            )

    @contextmanager
    def _call(self) -> Iterator[None]:
        """One call: what is encoded in it is shared within it."""
        try:
            yield
        finally:
            self._shared.forget()

    def _predict(
        self,
        scenes: Sequence[Scene],
        seeds: Sequence[int],
        options: SamplingOptions,
        callback: StepCallback | None,
        progress: bool,
    ) -> list[Trajectory]:
        predictor = _require(self.predictor, "trajectory")
        if any(scene.object_path is not None for scene in scenes) and not getattr(
            predictor, "takes_object_path", False
        ):
            raise InputError(
                "object_path",
                "this model's stage 1 draws object and actor at once, and cannot fit an actor to a given path",
                "take a model with a planner, such as the embedded one, or edit its trajectory (mask2iv edit, path)",
            )
        with self._watched("trajectory", len(scenes), options, callback, progress) as watched:
            found = predictor.predict(scenes, seeds, watched)
        return [replace(one, placement=scene.placement) for one, scene in zip(found, scenes, strict=True)]

    def _render(
        self,
        requests: Sequence[VideoRequest],
        seeds: Sequence[int],
        options: SamplingOptions,
        callback: StepCallback | None,
        progress: bool,
    ) -> list[UInt8Array]:
        renderer = _require(self.renderer, "video")
        check_requests(renderer, requests)
        for request in requests:
            self._check_size(request.size)
        with self._watched("video", len(requests), options, callback, progress) as watched:
            return renderer.render(requests, seeds, watched)

    @contextmanager
    def _watched(
        self, name: str, outputs: int, options: SamplingOptions, callback: StepCallback | None, progress: bool
    ) -> Iterator[SamplingOptions]:
        """The options with a watch that moves a progress bar and calls the user's callback after each step."""
        with tqdm(**{"desc": name, "unit": "step", "disable": not progress, **self._bar}) as bar:

            def watch(step: SamplingStep, count: int) -> torch.Tensor | None:
                bar.total = step.num_steps * outputs
                bar.update(count)
                if callback is None:
                    return None
                returned = callback(self, step.index, int(step.timestep), {"latents": step.latents})
                replaced: torch.Tensor | None = returned.get("latents")
                return replaced

            yield replace(options, watch=watch)


def _require(stage: T | None, name: str) -> T:
    if stage is None:
        raise InputError("model", f"it has no {name} stage", "load one that has, or train it")
    return stage
