"""Fast deterministic solvers (DPM-Solver++, UniPC) for the models' own noise schedule, dynamic rescale included.

diffusers' multistep solvers integrate the probability-flow ODE of a variance-preserving schedule with a fixed clean
sample. A model with dynamic rescale was trained on ``x = sqrt(a) * s * x0 + sqrt(1 - a) * eps``, with s falling from 1
to 0.7: its signal is weaker, and its variance is not preserved. Divided by ``k = sqrt(a * s**2 + 1 - a)`` the same
process is variance-preserving, with the cumulative alpha ``a * s**2 / k**2``. So the solvers run on x / k, while the
network still receives x.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from mask2iv.diffusion.config import SAMPLERS
from mask2iv.diffusion.samplers import DDIMScheduler, DDIMSchedulerOutput, Scheduler
from mask2iv.diffusion.schedule import NoiseSchedule, at_least_float32
from mask2iv.errors import InputError


def make_sampler(name: str, scheduler: DDIMScheduler) -> Scheduler:
    """The solver called `name` for the noise schedule of `scheduler`.

    Args:
        name: "ddim" is `scheduler` itself; "dpmsolver++" and "unipc" match 50 DDIM steps in 8 to 20.
        scheduler: the model's.

    Raises:
        InputError: an unknown name.
    """
    if name == "ddim":
        return scheduler
    if name not in SAMPLERS:
        raise InputError("sampler", f"must be one of {', '.join(SAMPLERS)}, found {name!r}")
    return cast(Scheduler, FastSolver(name, scheduler.schedule))


class FastSolver:
    """A diffusers multistep solver of order 2 on a :class:`NoiseSchedule`; a scheduler for :func:`sample`.

    Timesteps have "trailing" spacing, whatever the model's DDIM has: with few steps the first must be pure noise. The
    last step ends at the clean latents, without the last rescale factor (0.9857 at 50 steps) that DDIM leaves.

    Args:
        name: "dpmsolver++" (arXiv 2211.01095) or "unipc" (arXiv 2302.04867).
        schedule: the model's noise schedule.
    """

    init_noise_sigma = 1.0
    order = 1

    def __init__(self, name: str, schedule: NoiseSchedule) -> None:
        self.schedule = schedule
        cumprod = schedule.alphas_cumprod64
        scale = np.ones_like(cumprod)
        if schedule.scale_arr is not None:
            scale = schedule.scale_arr.cpu().double().numpy()[: len(cumprod)]
        signal = cumprod * scale**2
        norm = np.sqrt(signal + 1.0 - cumprod)
        self._scale, self._norm = scale, norm
        solver = DPMSolverMultistepScheduler if name == "dpmsolver++" else UniPCMultistepScheduler
        self._solver: Any = solver(
            num_train_timesteps=len(cumprod),
            trained_betas=_betas(signal / norm**2).tolist(),  # type: ignore[arg-type]
            prediction_type="sample",
            timestep_spacing="trailing",
            # The betas have zero terminal SNR already; this gives the pure-noise step a finite log-SNR.
            rescale_betas_zero_snr=bool(cumprod[-1] == 0.0),
            final_sigmas_type="zero",
        )

    @property
    def alphas_cumprod(self) -> Tensor:
        """float32 [num_train_timesteps], of the model's schedule."""
        return self.schedule.alphas_cumprod

    @property
    def timesteps(self) -> Tensor:
        """int64 [S], descending."""
        return cast(Tensor, self._solver.timesteps)

    @property
    def num_inference_steps(self) -> int | None:
        """Steps chosen by :meth:`set_timesteps`; None before."""
        return cast("int | None", self._solver.num_inference_steps)

    @property
    def step_index(self) -> int | None:
        """Position in the timesteps; None before the first step."""
        return cast("int | None", self._solver.step_index)

    def set_timesteps(self, num_inference_steps: int, device: torch.device | str | None = None) -> None:
        """Choose the sampling steps; call it before sampling.

        Raises:
            InputError: fewer than 1 step, or more than the schedule has.
        """
        count = len(self._norm)
        if not 1 <= num_inference_steps <= count:
            raise InputError("num_inference_steps", f"must be between 1 and {count}, found {num_inference_steps}")
        self._solver.set_timesteps(num_inference_steps, device=device)

    def set_begin_index(self, begin_index: int) -> None:
        """Begin at this index of the timesteps."""
        self._solver.set_begin_index(begin_index)

    def scale_model_input(self, sample: Tensor, timestep: int | Tensor | None = None) -> Tensor:
        """The latents as the network saw them in training, [B, C, T, h, w].

        Raises:
            InputError: no timestep.
        """
        if timestep is None:
            raise InputError("timestep", "FastSolver.scale_model_input needs it, found None")
        return sample * float(self._norm[int(timestep)])

    def step(
        self, model_output: Tensor, timestep: int | Tensor, sample: Tensor, return_dict: bool = True
    ) -> DDIMSchedulerOutput | tuple[Tensor, Tensor]:
        """One step to the next less noisy timestep.

        Args:
            model_output: the network's (guided) prediction [B, C, T, h, w], of the schedule's prediction type.
            timestep: the current one of ``timesteps``.
            sample: this solver's latents, same shape.
            return_dict: False returns ``(prev_sample, pred_original_sample)``.

        Returns:
            :class:`DDIMSchedulerOutput` in the sample's dtype; the arithmetic is at least float32.
        """
        index = int(timestep)
        x = at_least_float32(sample)
        t = torch.full((x.shape[0],), index, dtype=torch.int64, device=x.device)
        noisy = x * float(self._norm[index])
        scaled, _ = self.schedule.to(x.device).x0_and_eps(noisy, model_output.to(x.dtype), t)
        x0 = scaled / float(self._scale[index])
        previous = self._solver.step(x0, timestep, x).prev_sample
        result = previous.to(sample.dtype), x0.to(sample.dtype)
        return DDIMSchedulerOutput(*result) if return_dict else result


def _betas(cumprod: NDArray[np.float64]) -> NDArray[np.float64]:
    """The betas that give these cumulative alphas, float64 [N]."""
    previous = np.append(1.0, cumprod[:-1])
    return 1.0 - cumprod / previous
