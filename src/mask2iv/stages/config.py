"""Settings of a pipeline that belong to its weights: sizes, layouts, sampling defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import get_args

from mask2iv.contract import Fit
from mask2iv.diffusion.config import SAMPLERS, SamplerName
from mask2iv.errors import InputError
from mask2iv.stages.conditioning import MaskLayout, VideoConditioning
from mask2iv.trajectories.labels import Snapping


@dataclass(frozen=True)
class PipelineConfig:
    """Saved in ``model_index.json``.

    Attributes:
        height, width: default output size in pixels.
        num_frames: frames of a clip (T).
        fps: frames per second of the clips the model was trained on.
        mask_layout: how stage 1 gets its mask conditions; see
            :func:`mask2iv.backbones.dynamicrafter.conditions.trajectory_conditions`.
        video_conditioning: the conditions of stage 2; see
            :class:`mask2iv.stages.conditioning.VideoConditioning`.
        latent_patch: see :class:`mask2iv.models.autoencoder.LatentCodec`; 1 in the original models.
        trajectory_change_std, video_change_std: see :class:`mask2iv.backbones.dynamicrafter.stage.Stage`; None in the
            original models.
        text_skip_last: text encoder blocks left out at the end (1: the penultimate layer, as in the original).
        drop_image_in_guidance: the unconditional branch gets an all-zero image too, as in DynamiCrafter.
        num_inference_steps: default sampling steps of stage 1.
        video_num_inference_steps: default sampling steps of stage 2.
        guidance_scale: default text guidance of stage 1; 1 for none.
        target_guidance_scale: default guidance by the target position in stage 1; 1 for none.
        video_guidance_scale: text guidance of a stage 2 that takes a prompt; 1 for none.
        guidance_rescale: default guidance rescale, in [0, 1].
        eta: noise added at each DDIM step, in [0, 1].
        fit: how a picture of another shape gets the result's by default; see :func:`mask2iv.media.fitting.place`.
        fit_scale: of the fit "centre".
        sampler: default solver of both stages; see :func:`mask2iv.diffusion.solvers.make_sampler`.
        snapping: how the colours of mask pictures and labels belong together; see
            :data:`mask2iv.trajectories.labels.Snapping`. "channels" in the original models.
    """

    height: int = 160
    width: int = 256
    num_frames: int = 16
    fps: float = 8.0
    mask_layout: MaskLayout = "joint"
    video_conditioning: VideoConditioning = field(default_factory=VideoConditioning)
    latent_patch: int = 1
    trajectory_change_std: float | None = None
    video_change_std: float | None = None
    text_skip_last: int = 1
    drop_image_in_guidance: bool = False
    num_inference_steps: int = 20
    video_num_inference_steps: int = 20
    guidance_scale: float = 2.0
    target_guidance_scale: float = 1.0
    video_guidance_scale: float = 1.0
    guidance_rescale: float = 0.0
    eta: float = 0.0
    sampler: SamplerName = "ddim"
    snapping: Snapping = "nearest"
    fit: Fit = "crop"
    fit_scale: float = 1.0

    def __post_init__(self) -> None:
        for name in (
            "height",
            "width",
            "num_frames",
            "latent_patch",
            "num_inference_steps",
            "video_num_inference_steps",
        ):
            if getattr(self, name) < 1:
                raise InputError(f"pipeline.{name}", f"must be at least 1, found {getattr(self, name)}")
        if self.mask_layout not in ("joint", "text", "position"):
            raise InputError("pipeline.mask_layout", f"must be joint, text or position, found {self.mask_layout!r}")
        if self.sampler not in SAMPLERS:
            raise InputError("pipeline.sampler", f"must be one of {', '.join(SAMPLERS)}, found {self.sampler!r}")
        if self.snapping not in get_args(Snapping):
            raise InputError("pipeline.snapping", f"must be nearest or channels, found {self.snapping!r}")
        if self.fit not in get_args(Fit):
            raise InputError("pipeline.fit", f"must be one of {', '.join(get_args(Fit))}, found {self.fit!r}")
        if not 0 < self.fit_scale < math.inf:
            raise InputError("pipeline.fit_scale", f"must be a positive number, found {self.fit_scale}")
        if not 0 <= self.guidance_rescale <= 1:
            raise InputError("pipeline.guidance_rescale", f"must be in [0, 1], found {self.guidance_rescale}")
