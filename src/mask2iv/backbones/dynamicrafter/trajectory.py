"""Stage 1 of the paper: from first frame, object mask and instruction and/or target position to a mask trajectory."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mask2iv.backbones.dynamicrafter.conditions import Conditions, trajectory_conditions
from mask2iv.backbones.dynamicrafter.sharing import SharedEncoder, join_conditions, stacked, unprompted
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.contract import Trajectory
from mask2iv.errors import InputError
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.interfaces import SamplingOptions
from mask2iv.stages.sampling import OnStep, sample_in_batches, stage_generator
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.labels import snapped


@dataclass(frozen=True, eq=False)
class DiffusionPredictor:
    """The :class:`~mask2iv.stages.interfaces.TrajectoryPredictor` that samples masks by diffusion.

    Attributes:
        stage: the trained networks.
        encoder: encodes the conditions, and decodes the masks.
        config: sizes, layout, sampling defaults.
        solver: the scheduler of a name, or the model's own for None.
    """

    stage: Stage
    encoder: SharedEncoder
    config: PipelineConfig
    solver: Callable[[str | None], Any]

    @property
    def size_multiple(self) -> int:
        """See the interface."""
        return self.encoder.codec.factor * self.stage.unet.config.size_multiple

    @torch.no_grad()
    def predict(self, scenes: Sequence[Scene], seeds: Sequence[int], options: SamplingOptions) -> list[Trajectory]:
        """See the interface."""
        scheduler, codec = self.solver(options.sampler), self.encoder.codec
        steps = options.steps or self.config.num_inference_steps
        scales = options.guidance.scales(self.config)

        def predict(batch: list[int], on_step: OnStep) -> list[Trajectory]:
            randoms = [stage_generator(seeds[index], 1) for index in batch]
            # Equal keys mean equally many branches with the same scales, so that these can be joined one by one.
            prepared = [
                self._branches(scenes[index], scales, random) for index, random in zip(batch, randoms, strict=True)
            ]
            branches = [join_conditions(parts) for parts in zip(*(found for found, _ in prepared), strict=True)]
            height, width = scenes[batch[0]].size
            rows, columns = height // codec.factor, width // codec.factor
            shape = (len(batch), codec.latent_channels, self.config.num_frames, rows, columns)
            # Solvers of several steps keep what they saw; this makes them forget it.
            scheduler.set_timesteps(steps)
            latents = self.stage.generate(
                scheduler,
                shape,
                branches,
                prepared[0][1],
                scales[2],
                randoms,
                on_step,
                stack=stacked(options, self.encoder),
            )
            return snapped(codec.decode(latents).float(), self.config.snapping, self.config.fps)

        return sample_in_batches([self._checked_key(scene) for scene in scenes], options, predict)

    def _checked_key(self, scene: Scene) -> Hashable:
        """What scenes must share to go through the network together: size and guidance branches.

        Raises:
            InputError: no condition, or one that this model's layout cannot take.
        """
        scene.require_condition()
        has_target = scene.target_mask is not None
        if scene.prompt and self.config.mask_layout == "position":
            raise InputError(
                "prompt", "this model's stage 1 takes a target position only", "give a target mask instead"
            )
        if has_target and self.config.mask_layout == "text":
            raise InputError("target_mask", "this model's stage 1 takes text only", "give a prompt instead")
        return scene.size, bool(scene.prompt), has_target

    def _branches(
        self, scene: Scene, scales: tuple[float, float, float], random: torch.Generator
    ) -> tuple[list[Conditions], list[float]]:
        """Conditions from least to most conditioned, and the guidance scale of each step between them."""
        encoder, config = self.encoder, self.config
        image_latent = encoder.image_latents(scene.image, random)
        mask_latent = encoder.mask_latents(scene.labels, random)
        target_latent = torch.zeros_like(mask_latent)
        has_target = scene.target_labels is not None
        if scene.target_labels is not None:
            target_latent = encoder.mask_latents(scene.target_labels, random)

        def concat(with_target: bool) -> torch.Tensor:
            flag = torch.tensor([with_target], device=encoder.device)
            return trajectory_conditions(
                config.mask_layout, mask_latent, target_latent, flag, image_latent, config.num_frames
            )

        fps = torch.full((1,), config.fps, device=encoder.device)
        features = encoder.image_features(scene.image)
        empty, full = encoder.text(""), encoder.text(scene.prompt)
        first_latent = mask_latent.unsqueeze(2)
        complete = Conditions(concat(has_target), full, features, fps, first_latent)
        branches = [complete]
        steps: list[float] = []
        if scene.prompt:
            branches.insert(0, unprompted(encoder, config, complete, scene.size))
            steps.insert(0, scales[0])
        # In the official position layout the target is part of every training sample: there is no branch without it.
        if has_target and config.mask_layout == "joint":
            branches.insert(0, Conditions(concat(False), empty, features, fps, first_latent))
            steps.insert(0, scales[1])
        return branches, steps
