"""Diffusion: noise schedule, sampling, guidance and losses. The network is always passed in as a callable."""

from mask2iv.diffusion.guidance import (
    active_branches,
    chained_guidance,
    classifier_free,
    multi_condition,
    rescale_guidance,
)
from mask2iv.diffusion.losses import Loss, contact_weight, foreground_weight, mse, weighted_mse, weighted_squares
from mask2iv.diffusion.samplers import (
    DDIMScheduler,
    DDIMSchedulerOutput,
    SamplingStep,
    Scheduler,
    draw_noise,
    sample,
)
from mask2iv.diffusion.schedule import NoiseSchedule, NoiseScheduleConfig, ddim_timesteps

__all__ = [
    "DDIMScheduler",
    "DDIMSchedulerOutput",
    "Loss",
    "NoiseSchedule",
    "NoiseScheduleConfig",
    "SamplingStep",
    "Scheduler",
    "active_branches",
    "chained_guidance",
    "classifier_free",
    "contact_weight",
    "ddim_timesteps",
    "draw_noise",
    "foreground_weight",
    "mse",
    "multi_condition",
    "rescale_guidance",
    "sample",
    "weighted_mse",
    "weighted_squares",
]
