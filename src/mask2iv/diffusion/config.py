"""Plain values, read without loading PyTorch: noise schedules, and the names of solvers and losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mask2iv import config
from mask2iv.errors import InputError

MAX_TIMESTEPS = 100_000
PredictionType = Literal["v_prediction", "epsilon", "sample"]
SamplerName = Literal["ddim", "dpmsolver++", "unipc"]
SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
ForegroundLoss = Literal["squared-error", "error"]
"""What stage 1's weight multiplies: the squared error, as in the official code; or the error, as in earlier versions of
this package."""
ContactMap = Literal["contact", "hand-or-object"]
"""What stage 2's weight lies on: where actor and object touch (the paper); or actor and object themselves, as the
contact maps of the released data sets have it."""


@dataclass(frozen=True)
class NoiseScheduleConfig:
    """Defines a noise schedule. The defaults are those of Mask2IV and DynamiCrafter-512.

    Attributes:
        num_train_timesteps: number of diffusion steps in training, >= 2.
        beta_start: noise variance of the first step, in (0, 1).
        beta_end: noise variance of the last step, in [beta_start, 1); in between, sqrt(beta) is linear.
        rescale_betas_zero_snr: make the last step pure noise (arXiv 2305.08891, algorithm 1).
        prediction_type: what the network predicts: "v_prediction", "epsilon" (the noise) or "sample" (the rescaled
            clean latents).
        base_scale: dynamic rescale: clean latents are multiplied by a factor that falls linearly from 1 to this value,
            in (0, 1], over the first ``turning_step`` steps; None turns the rescale off.
        turning_step: step from which the factor stays at ``base_scale``, >= 1.

    Raises:
        InputError: a value out of range, or "epsilon" together with zero terminal SNR (x0 cannot be recovered from
            pure noise and a noise prediction).
    """

    num_train_timesteps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    rescale_betas_zero_snr: bool = True
    prediction_type: PredictionType = "v_prediction"
    base_scale: float | None = 0.7
    turning_step: int = 400

    def __post_init__(self) -> None:
        if not 2 <= self.num_train_timesteps <= MAX_TIMESTEPS:
            raise InputError(
                "NoiseScheduleConfig.num_train_timesteps",
                f"must be 2 to {MAX_TIMESTEPS}, found {self.num_train_timesteps}",
            )
        if not 0 < self.beta_start <= self.beta_end < 1:
            raise InputError(
                "NoiseScheduleConfig.beta_start",
                "must lie in 0 < beta_start <= beta_end < 1, found beta_start "
                f"{self.beta_start} and beta_end {self.beta_end}",
            )
        if self.prediction_type not in ("v_prediction", "epsilon", "sample"):
            raise InputError(
                "NoiseScheduleConfig.prediction_type",
                f"must be 'v_prediction', 'epsilon' or 'sample', found {self.prediction_type!r}",
            )
        if self.prediction_type == "epsilon" and self.rescale_betas_zero_snr:
            raise InputError(
                "NoiseScheduleConfig.prediction_type",
                "'epsilon' cannot be used with rescale_betas_zero_snr",
                "set rescale_betas_zero_snr to false or predict v",
            )
        if self.base_scale is not None and not 0 < self.base_scale <= 1:
            raise InputError(
                "NoiseScheduleConfig.base_scale",
                f"must be in (0, 1], or null for no dynamic rescale, found {self.base_scale}",
            )
        if self.turning_step < 1:
            raise InputError("NoiseScheduleConfig.turning_step", f"must be at least 1, found {self.turning_step}")

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-serialisable values."""
        return config.to_dict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseScheduleConfig:
        """The inverse of :meth:`to_dict`; absent keys take their defaults.

        Raises:
            InputError: an unknown key, a value of another type, or one out of range.
        """
        return config.from_dict(cls, values, cls.__name__)
