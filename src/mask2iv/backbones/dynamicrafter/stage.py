"""A stage: UNet and resampler; what they predict, how they learn and generate. Both stages are of this one class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from mask2iv.backbones.dynamicrafter.conditions import Conditions
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sharing import join_conditions
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.diffusion.guidance import active_branches, chained_guidance
from mask2iv.diffusion.losses import Loss, weighted_mse
from mask2iv.diffusion.samplers import SamplingStep, draw_noise, sample
from mask2iv.diffusion.schedule import NoiseSchedule


def draw_timesteps(steps: int, shift: float, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Training timesteps, int64 [B] in [0, steps), each from its sample's generator.

    Args:
        shift: 1 for uniform (the paper); above, more of the noisy end: u -> shift * u / (1 + (shift - 1) * u) of a
            uniform u, as in SD3 (arXiv 2403.03206, section 5.3.2). Where few sampling steps are taken, the fine ones
            are hardly used.
    """
    if shift == 1.0:
        return torch.cat([torch.randint(0, steps, (1,), generator=generator) for generator in generators])
    u = torch.cat([torch.rand(1, generator=generator, dtype=torch.float64) for generator in generators])
    return (steps * (shift * u / (1 + (shift - 1) * u))).long().clamp(max=steps - 1)


class Stage(nn.Module):
    """The trained networks of a stage.

    Args:
        unet: predicts v (or noise) of the latents [B, C, T, h, w].
        resampler: turns CLIP image tokens into the cross-attention's image tokens, some for each frame.
        change_std: for networks that predict clean latents (the original's predict v, None): standard deviation of the
            latents' change against the first frame. The UNet then only corrects the best linear guess from noisy
            latents and first frame, in units of that guess's error: preconditioning as in EDM (Karras et al. 2022,
            section 5), with the first frame as prior mean. Not for schedules with dynamic rescale.
        controlnet: takes the last channels of the conditions, as many as it has control channels, which the UNet then
            does not see; None: the UNet sees all.
    """

    def __init__(
        self,
        unet: VideoUNet,
        resampler: Resampler,
        change_std: float | None = None,
        controlnet: ControlNet | None = None,
    ) -> None:
        super().__init__()
        self.change_std = change_std
        self.unet = unet
        self.resampler = resampler
        self.controlnet = controlnet

    @property
    def blocks(self) -> list[nn.Module]:
        """Of the UNet and of a ControlNet, what gradient checkpointing recomputes."""
        return [block for net in self._nets for block in net.blocks]

    @property
    def _nets(self) -> list[VideoUNet]:
        return [self.unet, *([] if self.controlnet is None else [self.controlnet])]

    def enable_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recompute the blocks in the backward pass instead of keeping their activations: slower, far less memory."""
        for net in self._nets:
            net.enable_gradient_checkpointing(enabled)

    def context(self, text: torch.Tensor, image_features: torch.Tensor) -> torch.Tensor:
        """Cross-attention context [B, L + Q*T, D]: text tokens, then the image tokens frame by frame."""
        return torch.cat([text, self.resampler(image_features)], dim=1)

    def forward(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        conditions: Conditions,
        context: torch.Tensor,
        alphas_cumprod: torch.Tensor,
    ) -> torch.Tensor:
        """What the schedule's prediction type asks for, [B, C, T, h, w].

        Args:
            latents: noisy latents [B, C, T, h, w].
            timesteps: integer [B].
            conditions: B samples.
            context: their :meth:`context`.
            alphas_cumprod: of the schedule, [number of training timesteps].
        """
        output = self._predict(latents, timesteps, conditions, context)
        if self.change_std is None:
            return output
        a = alphas_cumprod.to(latents.device)[timesteps].view(-1, 1, 1, 1, 1)
        variance = self.change_std**2
        total = a * variance + 1 - a
        guess = conditions.first + a.sqrt() * variance / total * (latents - a.sqrt() * conditions.first)
        return guess + ((1 - a) * variance / total).sqrt() * output

    def _predict(
        self,
        latents: torch.Tensor,
        timesteps: torch.Tensor,
        conditions: Conditions,
        context: torch.Tensor,
    ) -> torch.Tensor:
        """The UNet's output, with the ControlNet's help where there is one."""
        concat = conditions.concat.to(latents.dtype)
        if self.controlnet is None:
            output: torch.Tensor = self.unet(torch.cat([latents, concat], dim=1), timesteps, context, conditions.fps)
            return output
        own = self.controlnet.config.control_channels
        joined, control = torch.cat([latents, concat[:, :-own]], dim=1), concat[:, -own:]
        residuals = self.controlnet(joined, control, timesteps, context, conditions.fps)
        output = self.unet(joined, timesteps, context, conditions.fps, residuals)
        return output

    def loss(
        self,
        schedule: NoiseSchedule,
        latents: torch.Tensor,
        conditions: Conditions,
        weight: torch.Tensor,
        generators: Sequence[torch.Generator],
        timestep_shift: float = 1.0,
        criterion: Loss = weighted_mse,
    ) -> torch.Tensor:
        """Weighted denoising loss (paper, contact-weighted loss of stage 2; stage 1 weighs the foreground).

        Args:
            schedule: noise schedule.
            latents: clean scaled latents [B, C, T, h, w].
            conditions: B samples.
            weight: broadcastable to the latents.
            generators: a CPU generator for each sample, of its timestep and noise: a seed means the same on every
                device and in every batch.
            timestep_shift: see :func:`draw_timesteps`.
            criterion: how the weight enters.
        """
        timesteps = draw_timesteps(schedule.config.num_train_timesteps, timestep_shift, generators)
        timesteps = timesteps.to(latents.device)
        noise = draw_noise(latents.shape, list(generators), latents.device, latents.dtype)
        noisy = schedule.add_noise(latents, noise, timesteps)
        target = schedule.training_target(latents, noise, timesteps)
        context = self.context(conditions.text, conditions.image_features)
        prediction = self(noisy, timesteps, conditions, context, schedule.alphas_cumprod)
        return criterion(prediction.float(), target.float(), weight)

    @torch.no_grad()
    def generate(
        self,
        scheduler: Any,
        shape: Sequence[int],
        branches: Sequence[Conditions],
        scales: Sequence[float],
        rescale: float,
        generator: torch.Generator | Sequence[torch.Generator],
        on_step: Callable[[SamplingStep], torch.Tensor | None] | None = None,
        stack: bool = False,
    ) -> torch.Tensor:
        """Sample latents.

        Args:
            scheduler: a diffusers scheduler of a noise schedule, whose timesteps are set.
            shape: of the latents, [B, C, T, h, w].
            branches: conditions from least to most conditioned, B samples each.
            scales: guidance scale of each branch after the first.
            rescale: guidance rescale in [0, 1].
            generator: CPU generators, one per sample (or the one of a single sample); each draws its sample's initial
                noise and step noise, so that these do not depend on what else is in the batch.
            on_step: called after each step; a tensor it returns replaces the latents.
            stack: send the branches through the UNet as one batch of B times their number; else one by one.
        """
        generators = [generator] if isinstance(generator, torch.Generator) else list(generator)
        kept, chain = active_branches(scales)
        used = [branches[index] for index in kept]
        calls = [join_conditions(used)] if stack else used
        copies = len(used) // len(calls)
        # Constant over the steps, so computed once.
        contexts = [self.context(branch.text, branch.image_features) for branch in calls]

        def denoise(latents: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
            repeated, times = latents.repeat(copies, 1, 1, 1, 1), timesteps.repeat(copies)
            predictions = [
                self(repeated, times, branch, context, scheduler.alphas_cumprod)
                for branch, context in zip(calls, contexts, strict=True)
            ]
            return chained_guidance(torch.cat(predictions).chunk(len(used)), chain, rescale)

        reference = branches[0].concat
        noise = draw_noise(shape, generators, reference.device, reference.dtype)
        return sample(denoise, scheduler, noise, generators, on_step)
