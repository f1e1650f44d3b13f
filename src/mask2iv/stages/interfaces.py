"""The two stages as interfaces: a predictor of trajectories and a renderer of videos.

The pipeline, the commands and the evaluation use a stage through these alone. :mod:`mask2iv.stages.trivial` holds the
smallest implementations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.scene import Scene

if TYPE_CHECKING:
    import torch

    from mask2iv.diffusion.samplers import SamplingStep

Watch: TypeAlias = "Callable[[SamplingStep, int], torch.Tensor | None]"
"""Called after each sampling step with the step and the number of outputs that took it together. Latents that it
returns replace the step's. To cancel, it raises: nothing is kept of an interrupted call."""


@dataclass(frozen=True)
class Guidance:
    """Guidance of stage 1. None stands for the model's default.

    Attributes:
        text, target: scales of the guidance by text and by target position; 1 for none.
        rescale: share of rescaled guidance, in [0, 1].
    """

    text: float | None = None
    target: float | None = None
    rescale: float | None = None

    def scales(self, config: PipelineConfig) -> tuple[float, float, float]:
        """Text, target and rescale, with a model's defaults for what is not given."""
        text = config.guidance_scale if self.text is None else self.text
        target = config.target_guidance_scale if self.target is None else self.target
        return text, target, config.guidance_rescale if self.rescale is None else self.rescale


@dataclass(frozen=True)
class SamplingOptions:
    """How a stage samples. Implementations without sampling steps ignore what they do not use.

    Attributes:
        steps: sampling steps; None for the model's default.
        batch_size: outputs that go through the networks together, at most.
        sampler: name of the solver; None for the model's default.
        guidance: of stage 1.
        watch: called after each step.

    Raises:
        InputError: a number below 1.
    """

    steps: int | None = None
    batch_size: int = 1
    sampler: str | None = None
    guidance: Guidance = field(default_factory=Guidance)
    watch: Watch | None = None

    def __post_init__(self) -> None:
        for name, value in (("num_inference_steps", self.steps), ("batch_size", self.batch_size)):
            if value is not None and value < 1:
                raise InputError(name, f"must be at least 1, found {value}")


class TextEncoder(Protocol):
    """The part of a model's text encoder that a stage uses."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def text(self, prompt: str) -> torch.Tensor:
        """Text tokens [1, L, D] of a prompt."""


class TrajectoryPredictor(Protocol):
    """Stage 1: scenes to mask trajectories."""

    @property
    def size_multiple(self) -> int:
        """Height and width of a scene must be multiples of this."""

    def predict(self, scenes: Sequence[Scene], seeds: Sequence[int], options: SamplingOptions) -> list[Trajectory]:
        """One trajectory per scene, of the scene's size.

        Args:
            scenes: at the sizes to predict at.
            seeds: one per scene. The same scene and seed give the same trajectory, whatever else is in the call.
            options: how to sample.

        Raises:
            InputError: a scene lacks a condition, or has one that this predictor does not take.
        """


@dataclass(frozen=True, eq=False)
class VideoRequest:
    """One video to render.

    Attributes:
        image: first frame, uint8 [H, W, 3], of the video's size.
        trajectory: T frames of [H, W] to follow; None for a renderer that takes no masks.
        prompt: "" for none.
    """

    image: UInt8Array
    trajectory: Trajectory | None
    prompt: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return int(self.image.shape[0]), int(self.image.shape[1])


class VideoRenderer(Protocol):
    """Stage 2: first frames and mask trajectories to videos."""

    @property
    def size_multiple(self) -> int:
        """Height and width of a video must be multiples of this."""

    @property
    def takes_masks(self) -> bool:
        """Whether a trajectory is needed; else it is refused."""

    @property
    def takes_text(self) -> bool:
        """Whether a prompt is needed; else it is refused."""

    @property
    def num_frames(self) -> int | None:
        """Frames of a trajectory; None for any number."""

    def render(
        self, requests: Sequence[VideoRequest], seeds: Sequence[int], options: SamplingOptions
    ) -> list[UInt8Array]:
        """One video per request, uint8 [T, H, W, 3]; the first frame is the image or close to it.

        Args:
            requests: complete for this renderer, checked by :func:`check_requests`.
            seeds: one per request. The same request and seed give the same video, whatever else is in the call.
            options: how to sample.
        """


def check_requests(renderer: VideoRenderer, requests: Sequence[VideoRequest]) -> None:
    """Check that a renderer takes these requests.

    Raises:
        InputError: a trajectory or prompt is missing, is not taken, or has another number of frames.
    """
    for request in requests:
        trajectory = request.trajectory
        if renderer.takes_masks and trajectory is None:
            raise InputError("trajectory", "this model's stage 2 follows masks", "give a trajectory for every image")
        if trajectory is not None and not renderer.takes_masks:
            raise InputError("trajectory", "this model's stage 2 takes no masks", "leave it out")
        if renderer.takes_text and not request.prompt:
            raise InputError("prompt", "this model's stage 2 takes one", "give a prompt for every image")
        if request.prompt and not renderer.takes_text:
            raise InputError("prompt", "this model's stage 2 takes none", "leave it out")
        if trajectory is not None and renderer.num_frames not in (None, trajectory.num_frames):
            raise InputError(
                "trajectory",
                f"it has {trajectory.num_frames} frames, this model renders {renderer.num_frames}",
                "resample it",
            )
