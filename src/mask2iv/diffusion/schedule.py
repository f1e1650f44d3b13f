"""The noise schedule: zero terminal SNR, dynamic rescale of clean latents, conversions between x0, eps and v.

Notation: a = alphas_cumprod[t]; a noisy latent is ``x = sqrt(a) * x0 + sqrt(1 - a) * eps``. Only this module knows the
parametrisation and the dynamic rescale, so training and sampling cannot drift apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mask2iv.diffusion.config import NoiseScheduleConfig
from mask2iv.errors import InputError

# Original name -> diffusers' name. The configuration stores diffusers' name, since other schedulers are built from it.
_SPACINGS = {"uniform": "leading", "uniform_trailing": "trailing", "leading": "leading", "trailing": "trailing"}


def scaled_linear_betas(config: NoiseScheduleConfig) -> NDArray[np.float64]:
    """Noise variances before any rescale, float64 [num_train_timesteps]: sqrt(beta) rises linearly."""
    return np.linspace(config.beta_start**0.5, config.beta_end**0.5, config.num_train_timesteps, dtype=np.float64) ** 2


def rescale_zero_terminal_snr(betas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and stretch sqrt(alphas_cumprod) so that the last step is pure noise (arXiv 2305.08891, algorithm 1).

    Args:
        betas: float64 [N].

    Returns:
        float64 [N] with a last value of exactly 1.
    """
    root = np.sqrt(np.cumprod(1.0 - betas))
    first, last = root[0], root[-1]
    cumprod = ((root - last) * (first / (first - last))) ** 2
    return 1.0 - np.concatenate([cumprod[:1], cumprod[1:] / cumprod[:-1]])


class NoiseSchedule:
    """The tables of a noise schedule and the conversions that use them.

    All tables are computed in float64 (square roots too) and stored as float32 [num_train_timesteps], on the CPU until
    :meth:`to` moves them.

    Attributes:
        config: the configuration.
        betas: noise variance of each step.
        alphas_cumprod: share of the clean latent's variance left at each step; exactly 0 at the end with zero SNR.
        sqrt_alphas_cumprod, sqrt_one_minus_alphas_cumprod: its coefficients on x0 and on the noise.
        scale_arr: dynamic rescale factors, float32 [turning_step + num_train_timesteps], indexed by t; or None.
    """

    def __init__(self, config: NoiseScheduleConfig | None = None) -> None:
        self.config = config or NoiseScheduleConfig()
        betas = scaled_linear_betas(self.config)
        if self.config.rescale_betas_zero_snr:
            betas = rescale_zero_terminal_snr(betas)
        self._betas64 = betas
        self.alphas_cumprod64: NDArray[np.float64] = np.cumprod(1.0 - betas, dtype=np.float64)
        self.betas = _float32(betas)
        self.alphas_cumprod = _float32(self.alphas_cumprod64)
        self.sqrt_alphas_cumprod = _float32(np.sqrt(self.alphas_cumprod64))
        self.sqrt_one_minus_alphas_cumprod = _float32(np.sqrt(1.0 - self.alphas_cumprod64))
        self.scale_arr: Tensor | None = None
        if self.config.base_scale is not None:
            falling = np.linspace(1.0, self.config.base_scale, self.config.turning_step)
            constant = np.full(self.config.num_train_timesteps, self.config.base_scale)
            self.scale_arr = _float32(np.concatenate([falling, constant]))

    def to(self, device: torch.device | str) -> NoiseSchedule:
        """Move the tables to ``device``, in place; returns self."""
        self.betas = self.betas.to(device)
        self.alphas_cumprod = self.alphas_cumprod.to(device)
        self.sqrt_alphas_cumprod = self.sqrt_alphas_cumprod.to(device)
        self.sqrt_one_minus_alphas_cumprod = self.sqrt_one_minus_alphas_cumprod.to(device)
        if self.scale_arr is not None:
            self.scale_arr = self.scale_arr.to(device)
        return self

    def rescale_latents(self, x0: Tensor, t: Tensor) -> Tensor:
        """Dynamic rescale: x0 * scale_arr[t], or x0 if the schedule has none.

        Args:
            x0: clean latents [B, ...].
            t: timesteps, integer [B].
        """
        if self.scale_arr is None:
            return x0
        return (self._at(self.scale_arr, t, x0) * x0).to(x0.dtype)

    def add_noise(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Noisy latents at t. The clean latents are multiplied by scale_arr[t] BEFORE the noise is added.

        Args:
            x0: clean, unscaled latents [B, C, T, h, w] (any rank >= 1 with B first).
            noise: standard normal, same shape.
            t: timesteps, integer [B], in [0, num_train_timesteps).

        Returns:
            Same shape and dtype as ``x0``; the arithmetic is at least float32.

        Raises:
            InputError: t is not an integer tensor [B], or noise has another shape.
        """
        _check_same_shape("noise", noise, x0)
        scaled = self.rescale_latents(at_least_float32(x0), t)
        noisy = self._signal(t, x0) * scaled + self._noise(t, x0) * noise
        return noisy.to(x0.dtype)

    def velocity(self, x0_scaled: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """v = sqrt(a) * noise - sqrt(1 - a) * x0, with x0 already rescaled (:meth:`rescale_latents`). Shapes as
        :meth:`add_noise`."""
        _check_same_shape("noise", noise, x0_scaled)
        v = self._signal(t, x0_scaled) * noise - self._noise(t, x0_scaled) * x0_scaled
        return v.to(x0_scaled.dtype)

    def training_target(self, x0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """The network's target on :meth:`add_noise` of the same arguments: v, noise or the rescaled x0.

        Args:
            x0: clean, unscaled latents [B, ...]; noise and t as in :meth:`add_noise`.
        """
        if self.config.prediction_type == "epsilon":
            _check_same_shape("noise", noise, x0)
            return noise
        scaled = self.rescale_latents(at_least_float32(x0), t)
        target = scaled if self.config.prediction_type == "sample" else self.velocity(scaled, noise, t)
        return target.to(x0.dtype)

    def x0_from_velocity(self, x: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """x0 = sqrt(a) * x - sqrt(1 - a) * v; still multiplied by scale_arr[t]. Shapes as :meth:`add_noise`."""
        return (self._signal(t, x) * x - self._noise(t, x) * v).to(x.dtype)

    def eps_from_velocity(self, x: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """eps = sqrt(a) * v + sqrt(1 - a) * x. Shapes as :meth:`add_noise`."""
        return (self._signal(t, x) * v + self._noise(t, x) * x).to(x.dtype)

    def x0_and_eps(self, x: Tensor, prediction: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Clean latents and noise implied by a network prediction, for any prediction type.

        Args:
            x: noisy latents [B, ...].
            prediction: the network's output, same shape.
            t: timesteps, integer [B].

        Returns:
            (x0, eps), both like ``x``; x0 is still multiplied by scale_arr[t].
        """
        _check_same_shape("prediction", prediction, x)
        if self.config.prediction_type == "v_prediction":
            return self.x0_from_velocity(x, prediction, t), self.eps_from_velocity(x, prediction, t)
        if self.config.prediction_type == "sample":
            eps = (x - self._signal(t, x) * prediction) / self._noise(t, x)
            return prediction.to(x.dtype), eps.to(x.dtype)
        x0 = (x - self._noise(t, x) * prediction) / self._signal(t, x)
        return x0.to(x.dtype), prediction.to(x.dtype)

    def checkpoint_buffers(self) -> dict[str, Tensor]:
        """The schedule tables under the names of DynamiCrafter-layout checkpoints, float32 on the CPU.

        13 tables with the dynamic rescale, 12 without. The posterior tables belong to ancestral sampling: unused here,
        but needed in a checkpoint for other software.
        """
        betas, cumprod = self._betas64, self.alphas_cumprod64
        previous = np.append(1.0, cumprod[:-1])
        variance = betas * (1.0 - previous) / (1.0 - cumprod)
        tables = {
            "betas": betas,
            "alphas_cumprod": cumprod,
            "alphas_cumprod_prev": previous,
            "sqrt_alphas_cumprod": np.sqrt(cumprod),
            "sqrt_one_minus_alphas_cumprod": np.sqrt(1.0 - cumprod),
            "log_one_minus_alphas_cumprod": np.log(1.0 - cumprod),
            # Checkpoints of v-models hold zeros here: 1 / alphas_cumprod does not exist at zero SNR.
            "sqrt_recip_alphas_cumprod": np.zeros_like(cumprod),
            "sqrt_recipm1_alphas_cumprod": np.zeros_like(cumprod),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": np.log(np.maximum(variance, 1e-20)),
            "posterior_mean_coef1": betas * np.sqrt(previous) / (1.0 - cumprod),
            "posterior_mean_coef2": (1.0 - previous) * np.sqrt(1.0 - betas) / (1.0 - cumprod),
        }
        if self.config.prediction_type == "epsilon":
            tables["sqrt_recip_alphas_cumprod"] = np.sqrt(1.0 / cumprod)
            tables["sqrt_recipm1_alphas_cumprod"] = np.sqrt(1.0 / cumprod - 1.0)
        buffers = {name: _float32(table) for name, table in tables.items()}
        if self.scale_arr is not None:
            buffers["scale_arr"] = self.scale_arr.cpu()
        return buffers

    def _signal(self, t: Tensor, like: Tensor) -> Tensor:
        return self._at(self.sqrt_alphas_cumprod, t, like)

    def _noise(self, t: Tensor, like: Tensor) -> Tensor:
        return self._at(self.sqrt_one_minus_alphas_cumprod, t, like)

    @staticmethod
    def _at(table: Tensor, t: Tensor, like: Tensor) -> Tensor:
        """table[t] as float32 [B, 1, ...] with the rank of ``like``."""
        if t.dtype not in (torch.int64, torch.int32) or t.shape != like.shape[:1]:
            raise InputError(
                "timesteps",
                f"must be an integer tensor of shape [B={like.shape[0]}], found {t.dtype} {list(t.shape)}",
            )
        return table[t].reshape(-1, *[1] * (like.ndim - 1))


def diffusers_spacing(name: str) -> str:
    """diffusers' name, "leading" or "trailing", of a timestep spacing; InputError for an unknown one."""
    if name not in _SPACINGS:
        raise InputError("timestep_spacing", f"must be one of {', '.join(_SPACINGS)}, found {name!r}")
    return _SPACINGS[name]


def ddim_timesteps(
    num_inference_steps: int, spacing: str = "uniform_trailing", num_train_timesteps: int = 1000, steps_offset: int = 1
) -> NDArray[np.int64]:
    """The timesteps DDIM visits, ascending, int64.

    Args:
        num_inference_steps: S, in [1, num_train_timesteps].
        spacing: "uniform_trailing" (or "trailing"): round(N - k * N / S) - 1, S steps, the last one is N - 1.
            "uniform" (or "leading"): every (N // S)-th step plus ``steps_offset``; MORE than S steps if S does not
            divide N, and the noisiest step N - 1 is in general not among them.
        num_train_timesteps: N.
        steps_offset: used only by "uniform"; 1 in the original sampler.

    Raises:
        InputError: S out of range, an unknown spacing, or a last timestep beyond N - 1 (with "uniform", for 27, 333,
            1000 and other step counts).
    """
    if not 1 <= num_inference_steps <= num_train_timesteps:
        raise InputError(
            "num_inference_steps", f"must be between 1 and {num_train_timesteps}, found {num_inference_steps}"
        )
    if diffusers_spacing(spacing) == "trailing":
        # By index: an arange with a fractional stride yields an extra step -1 for some S (61, 103, ...).
        descending = num_train_timesteps - np.arange(num_inference_steps) * (num_train_timesteps / num_inference_steps)
        return descending.round().astype(np.int64)[::-1] - 1
    stride = num_train_timesteps // num_inference_steps
    steps = np.arange(0, num_train_timesteps, stride, dtype=np.int64) + steps_offset
    if steps[-1] >= num_train_timesteps:
        raise InputError(
            "num_inference_steps",
            f"{num_inference_steps} with uniform spacing would visit timestep {steps[-1]}, beyond the last one, "
            f"{num_train_timesteps - 1}",
            "choose another number of steps or uniform_trailing spacing",
        )
    return steps


@dataclass(frozen=True, eq=False)
class DDIMTables:
    """DDIM's coefficients at each step, in ascending time order; float64 [S] unless stated otherwise.

    Attributes:
        timesteps: int64 [S].
        alphas: alphas_cumprod at the step.
        alphas_prev: alphas_cumprod at the next less noisy step; alphas_cumprod[0], not 1, for the last step of
            sampling.
        scale, scale_prev: dynamic rescale factors at the step and at the next less noisy one; both are the same at the
            last step of sampling. All 1 without a dynamic rescale.
    """

    timesteps: NDArray[np.int64]
    alphas: NDArray[np.float64]
    alphas_prev: NDArray[np.float64]
    scale: NDArray[np.float64]
    scale_prev: NDArray[np.float64]

    @classmethod
    def build(cls, schedule: NoiseSchedule, timesteps: NDArray[np.int64]) -> DDIMTables:
        """The tables of a schedule at ascending timesteps, int64 [S]."""
        cumprod = schedule.alphas_cumprod64
        alphas = cumprod[timesteps]
        scale = np.ones(len(timesteps))
        if schedule.scale_arr is not None:
            scale = schedule.scale_arr.cpu().double().numpy()[timesteps]
        return cls(
            timesteps=timesteps,
            alphas=alphas,
            alphas_prev=np.append(cumprod[:1], alphas[:-1]),
            scale=scale,
            scale_prev=np.append(scale[:1], scale[:-1]),
        )

    def sigmas(self, eta: float) -> NDArray[np.float64]:
        """Standard deviation of the noise added at each step, [S]: eta * sqrt((1-a_prev)/(1-a) * (1 - a/a_prev))."""
        a, a_prev = self.alphas, self.alphas_prev
        return eta * np.sqrt((1.0 - a_prev) / (1.0 - a) * (1.0 - a / a_prev))

    def directions(self, eta: float) -> NDArray[np.float64]:
        """Coefficient of the predicted noise at each step, [S]: sqrt(1 - a_prev - sigma^2)."""
        # With eta = 1 the radicand is 0 at the pure-noise step of zero-SNR schedules; with many step counts rounding
        # makes it negative, and the root NaN.
        return np.sqrt(np.maximum(0.0, 1.0 - self.alphas_prev - self.sigmas(eta) ** 2))


def _float32(table: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(table).to(torch.float32)


def at_least_float32(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32, wider types unchanged: coefficients near 0 and 1 need the precision."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _check_same_shape(name: str, tensor: Tensor, like: Tensor) -> None:
    if tensor.shape != like.shape:
        raise InputError(name, f"must have the latents' shape {list(like.shape)}, found {list(tensor.shape)}")
