"""The DDIM scheduler of the model family, and a sampling loop for it and every other diffusers scheduler.

``DDIMScheduler`` (arXiv 2010.02502) has diffusers' scheduler interface. It differs from ``diffusers.DDIMScheduler`` in
how DynamiCrafter-style models were trained and published: the last step ends at ``alphas_cumprod[0]`` and not at 1, the
predicted x0 is rescaled between steps (dynamic rescale), and noise is drawn at every step whatever eta is.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import KarrasDiffusionSchedulers, SchedulerMixin
from diffusers.utils.outputs import BaseOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from mask2iv.diffusion.config import NoiseScheduleConfig, PredictionType
from mask2iv.diffusion.schedule import (
    DDIMTables,
    NoiseSchedule,
    at_least_float32,
    ddim_timesteps,
    diffusers_spacing,
)
from mask2iv.errors import InputError

Generators = torch.Generator | list[torch.Generator] | None


def draw_noise(
    shape: Sequence[int],
    generator: Generators = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard normal noise [B, ...], drawn in float32 so that a seed gives the same noise at every precision.

    Args:
        shape: of the result, batch first.
        generator: one generator for the whole batch, or a list with one per sample, so that the noise of a sample does
            not depend on the rest of the batch. CPU generators give the same noise on every device.
        device, dtype: of the result.

    Raises:
        InputError: a list of generators whose length is not B.
    """
    if isinstance(generator, list) and len(generator) != shape[0]:
        raise InputError(
            "generator", f"found a list of {len(generator)} for a batch of {shape[0]}", "give one per sample"
        )
    noise: Tensor = randn_tensor(tuple(shape), generator=generator, device=torch.device(device), dtype=torch.float32)
    return noise.to(dtype)


@dataclass
class DDIMSchedulerOutput(BaseOutput):
    """Result of one step.

    Attributes:
        prev_sample: latents of the next, less noisy step, with the shape and dtype of the given sample.
        pred_original_sample: the clean latents predicted at this step, after the dynamic rescale; for previews.
    """

    prev_sample: Tensor
    pred_original_sample: Tensor


class DDIMScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """DDIM with zero terminal SNR, dynamic rescale and eta, behind diffusers' scheduler interface.

    ``UniPCMultistepScheduler.from_config(scheduler.config)`` (or any other diffusers scheduler) gives a drop-in
    replacement on the same betas and the same prediction type; the dynamic rescale of x0 between steps exists only
    here.

    Args:
        num_train_timesteps, beta_start, beta_end, prediction_type, rescale_betas_zero_snr, base_scale, turning_step:
            fields of :class:`NoiseScheduleConfig`.
        beta_schedule: "scaled_linear", the only one; stored for other schedulers built from the configuration.
        timestep_spacing: "uniform_trailing" (alias "trailing") or "uniform" (alias "leading"), see
            :func:`ddim_timesteps`. ``config.timestep_spacing`` holds the alias, which is diffusers' own name.
        steps_offset: added to every timestep of uniform spacing, >= 0.
        eta: amount of noise added at each step, in [0, 1]: 0 is deterministic, 1 is ancestral.

    Raises:
        InputError: a value out of range.
    """

    _compatibles = [scheduler.name for scheduler in KarrasDiffusionSchedulers]  # noqa: RUF012
    order = 1

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "scaled_linear",
        prediction_type: PredictionType = "v_prediction",
        rescale_betas_zero_snr: bool = True,
        timestep_spacing: str = "uniform_trailing",
        steps_offset: int = 1,
        eta: float = 1.0,
        base_scale: float | None = 0.7,
        turning_step: int = 400,
    ) -> None:
        if beta_schedule != "scaled_linear":
            raise InputError("beta_schedule", f"must be 'scaled_linear', found {beta_schedule!r}")
        if steps_offset < 0:
            raise InputError("steps_offset", f"must not be negative, found {steps_offset}")
        self._spacing = diffusers_spacing(timestep_spacing)
        self._steps_offset = steps_offset
        self._eta = _check_eta(eta)
        self.register_to_config(  # type: ignore[no-untyped-call]
            timestep_spacing=self._spacing,
            # For schedulers built from this configuration: latents are not clipped, the end is at alphas_cumprod[0].
            clip_sample=False,
            set_alpha_to_one=False,
            # diffusers would replace values listed here by the other scheduler's defaults, which differ.
            _use_default_values=[],
        )
        self.schedule = NoiseSchedule(
            NoiseScheduleConfig(
                num_train_timesteps=num_train_timesteps,
                beta_start=beta_start,
                beta_end=beta_end,
                rescale_betas_zero_snr=rescale_betas_zero_snr,
                prediction_type=prediction_type,
                base_scale=base_scale,
                turning_step=turning_step,
            )
        )
        self.init_noise_sigma = 1.0
        self.num_inference_steps: int | None = None
        self.timesteps = torch.arange(num_train_timesteps - 1, -1, -1)
        self.tables: DDIMTables | None = None
        self._index: dict[int, int] = {}

    @classmethod
    def from_schedule(
        cls, config: NoiseScheduleConfig, timestep_spacing: str = "uniform_trailing", eta: float = 1.0
    ) -> DDIMScheduler:
        """The scheduler for a model trained with this noise schedule."""
        scheduler: DDIMScheduler = cls(timestep_spacing=timestep_spacing, eta=eta, **config.to_dict())
        return scheduler

    @property
    def alphas_cumprod(self) -> Tensor:
        """float32 [num_train_timesteps]."""
        return self.schedule.alphas_cumprod

    def __len__(self) -> int:
        return self.schedule.config.num_train_timesteps

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Choose the sampling steps; call it before sampling.

        Sets ``timesteps`` (int64, descending, on ``device``), ``num_inference_steps`` and ``tables``.

        Raises:
            InputError: as :func:`ddim_timesteps`.
        """
        steps = ddim_timesteps(num_inference_steps, self._spacing, len(self), self._steps_offset)
        self.num_inference_steps = num_inference_steps
        self.tables = DDIMTables.build(self.schedule, steps)
        self._index = {int(t): i for i, t in enumerate(steps)}
        self.timesteps = torch.from_numpy(steps[::-1].copy()).to(device)

    def scale_model_input(self, sample: Tensor, timestep: int | Tensor | None = None) -> Tensor:
        """Returns the sample: DDIM gives the network the latents unscaled."""
        return sample

    def step(
        self,
        model_output: Tensor,
        timestep: int | Tensor,
        sample: Tensor,
        eta: float | None = None,
        generator: Generators = None,
        variance_noise: Tensor | None = None,
        return_dict: bool = True,
    ) -> DDIMSchedulerOutput | tuple[Tensor, Tensor]:
        """One DDIM step (arXiv 2010.02502, equation 12), from ``timestep`` to the next less noisy one.

        Args:
            model_output: the network's (guided) prediction [B, C, T, h, w].
            timestep: one of ``timesteps``.
            sample: noisy latents, same shape.
            eta: amount of noise in [0, 1]; None: the configured one.
            generator: of the noise, one for the batch or a list with one per sample. Noise is drawn even for eta = 0.
            variance_noise: standard normal to use instead of drawing, same shape as sample; not together with
                generator.
            return_dict: False returns ``(prev_sample, pred_original_sample)``.

        Returns:
            :class:`DDIMSchedulerOutput` in the sample's dtype; the arithmetic is at least float32.

        Raises:
            InputError: ``set_timesteps`` was not called, the timestep is not one of them, eta is out of range, or
                shapes disagree.
        """
        if self.tables is None:
            raise InputError(
                "timesteps", "DDIMScheduler.step found none", "call set_timesteps(num_inference_steps) first"
            )
        i = self._index.get(int(timestep))
        if i is None:
            raise InputError(
                "timestep", f"{int(timestep)} is not one of the {len(self._index)} chosen by set_timesteps"
            )
        eta = _check_eta(self._eta if eta is None else eta)
        noise = self._step_noise(sample, generator, variance_noise)

        # Clean latents and noise, both from the prediction.
        x = at_least_float32(sample)
        t = torch.full((x.shape[0],), int(timestep), dtype=torch.int64, device=x.device)
        x0, eps = self.schedule.to(x.device).x0_and_eps(x, model_output.to(x.dtype), t)

        # Dynamic rescale: x0 is scaled to this step; the next step expects its own scale. eps is not scaled.
        x0 = x0 * float(self.tables.scale_prev[i] / self.tables.scale[i])

        # Towards x0, along eps, plus fresh noise.
        a_prev = float(self.tables.alphas_prev[i])
        direction = float(self.tables.directions(eta)[i])
        sigma = float(self.tables.sigmas(eta)[i])
        x_prev = a_prev**0.5 * x0 + direction * eps + sigma * noise

        x_prev, x0 = x_prev.to(sample.dtype), x0.to(sample.dtype)
        return DDIMSchedulerOutput(prev_sample=x_prev, pred_original_sample=x0) if return_dict else (x_prev, x0)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """:meth:`NoiseSchedule.add_noise`: takes unscaled clean latents and applies the dynamic rescale."""
        return self.schedule.to(original_samples.device).add_noise(original_samples, noise, timesteps)

    def get_velocity(self, sample: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """v for :meth:`add_noise` of the same arguments: takes unscaled clean latents."""
        schedule = self.schedule.to(sample.device)
        scaled = schedule.rescale_latents(at_least_float32(sample), timesteps)
        return schedule.velocity(scaled, noise, timesteps).to(sample.dtype)

    def _step_noise(self, sample: Tensor, generator: Generators, variance_noise: Tensor | None) -> Tensor:
        if variance_noise is None:
            return draw_noise(sample.shape, generator, sample.device)
        if generator is not None:
            raise InputError(
                "variance_noise",
                "DDIMScheduler.step takes either generator or variance_noise, found both",
                "leave one of them out",
            )
        if variance_noise.shape != sample.shape:
            raise InputError(
                "variance_noise",
                f"must have the sample's shape {list(sample.shape)}, found {list(variance_noise.shape)}",
            )
        return variance_noise


class Scheduler(Protocol):
    """The interface that :func:`sample` requires; every diffusers scheduler has it."""

    timesteps: Any
    init_noise_sigma: Any

    @property
    def scale_model_input(self) -> Callable[..., Any]: ...

    @property
    def step(self) -> Callable[..., Any]: ...


@dataclass(frozen=True, eq=False)
class SamplingStep:
    """Passed to the callback of :func:`sample` after each step.

    Attributes:
        index: 0 for the first, noisiest step.
        num_steps: number of steps in all.
        timestep: the timestep just completed, scalar tensor.
        latents: result of the step [B, C, T, h, w].
        pred_original_sample: the clean latents predicted at this step; None with schedulers that do not report them.
    """

    index: int
    num_steps: int
    timestep: Tensor
    latents: Tensor
    pred_original_sample: Tensor | None


@torch.no_grad()
def sample(
    denoise: Callable[[Tensor, Tensor], Tensor],
    scheduler: Scheduler,
    latents: Tensor,
    generator: Generators = None,
    callback: Callable[[SamplingStep], Tensor | None] | None = None,
    progress: Callable[[Iterable[Any]], Iterable[Any]] | None = None,
    eta: float | None = None,
    start: int = 0,
) -> Tensor:
    """Turn noise into latents with the given scheduler.

    Args:
        denoise: the network with its conditions bound and guidance applied: (x [B, C, T, h, w], t [B]) -> prediction of
            the scheduler's prediction type, shaped like x.
        scheduler: :class:`DDIMScheduler` or a diffusers scheduler, with ``set_timesteps`` just called.
        latents: standard normal noise [B, C, T, h, w] (:func:`draw_noise`); with ``start`` > 0, latents already at the
            noise level of that step.
        generator: of the noise added at each step, if any; one for the batch or a list with one per sample.
        callback: called after each step; a tensor it returns replaces the latents.
        progress: wraps the iterable of steps, e.g. ``tqdm.tqdm``; ``len`` of the iterable works.
        eta: overrides the scheduler's own; only for schedulers whose step accepts it.
        start: number of leading steps to skip, in [0, number of steps).

    Returns:
        Latents like the input. With a dynamic rescale they are still multiplied by its factor at the last timestep
        (0.9857 with 50 trailing steps), as the original decodes them.

    Raises:
        InputError: set_timesteps was not called before this run, the scheduler takes no eta, or start is out of range.
    """
    step_options = _step_options(scheduler, generator, eta)
    timesteps = _ready_timesteps(scheduler, start)

    # Start from noise at the level the scheduler expects.
    x = latents * float(scheduler.init_noise_sigma) if start == 0 else latents
    steps: Iterable[Any] = range(start, len(timesteps))
    for i in progress(steps) if progress is not None else steps:
        t = timesteps[i]

        # Predict with the network.
        prediction = denoise(scheduler.scale_model_input(x, t), t.to(x.device).expand(x.shape[0]))

        # Move to the next less noisy step.
        result = scheduler.step(prediction, t, x, **step_options)
        x = result.prev_sample

        # Let the caller observe or intervene.
        if callback is not None:
            preview = cast("Tensor | None", getattr(result, "pred_original_sample", None))
            replaced = callback(SamplingStep(i, len(timesteps), t, x, preview))
            x = x if replaced is None else replaced
    return x


def _step_options(scheduler: Scheduler, generator: Generators, eta: float | None) -> dict[str, Any]:
    """The optional arguments of step that this scheduler accepts; deterministic ones need no generator."""
    accepted = inspect.signature(scheduler.step).parameters
    options: dict[str, Any] = {}
    if "generator" in accepted:
        options["generator"] = generator
    if eta is not None:
        if "eta" not in accepted:
            raise InputError("eta", f"{type(scheduler).__name__} takes none, found {eta}", "leave it out")
        options["eta"] = eta
    return options


def _ready_timesteps(scheduler: Scheduler, start: int) -> Tensor:
    """The timesteps of a scheduler that has not stepped yet, which is moved to ``start``."""
    name = type(scheduler).__name__
    if getattr(scheduler, "num_inference_steps", None) is None or getattr(scheduler, "step_index", None) is not None:
        raise InputError(
            "scheduler",
            "its timesteps are not set, or already used",
            f"call {name}.set_timesteps(num_inference_steps) before every run of the sampling loop",
        )
    timesteps = cast(Tensor, scheduler.timesteps)
    if not 0 <= start < len(timesteps):
        raise InputError("start", f"must be in [0, {len(timesteps)}), the number of sampling steps, found {start}")
    if start and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(start)
    return timesteps


def _check_eta(eta: float) -> float:
    if not 0.0 <= eta <= 1.0:
        raise InputError("eta", f"must be in [0, 1], found {eta}")
    return eta
