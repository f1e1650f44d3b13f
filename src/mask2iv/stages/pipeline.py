"""Mask2IVPipeline: image and object mask in, mask trajectory and video out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPVisionModel, PreTrainedTokenizerBase

from mask2iv.conditions import ConditionEncoder
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.diffusion.samplers import DDIMScheduler, SamplingStep
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory
from mask2iv.models.autoencoder import Autoencoder, LatentCodec
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.models.resampler import Resampler
from mask2iv.models.text import unknown_words
from mask2iv.models.unet import VideoUNet
from mask2iv.stages.components import load_component, model_folder, read_index, save_component, write_index
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.inputs import as_list, check_image, sample_seeds
from mask2iv.stages.stage import Stage
from mask2iv.stages.trajectory import Guidance, OnStep, TrajectoryRequest, predict_trajectory
from mask2iv.stages.video import render_video

Generators = torch.Generator | Sequence[torch.Generator | int] | None
StepCallback = Callable[["Mask2IVPipeline", int, int, dict[str, Any]], dict[str, Any]]


@dataclass
class Mask2IVOutput:
    """Result of a pipeline call.

    Attributes:
        frames: one video per output, uint8 [T, H, W, 3].
        trajectory: the mask trajectory each was rendered from.
    """

    frames: list[UInt8Array]
    trajectory: list[Trajectory]


class Mask2IVPipeline:
    """Both stages behind diffusers' conventions.

    Every output is computed by itself, so it does not depend on what else is in the batch: same seed, same machine,
    same result. Components that a folder lacks (a folder may hold one stage only) are None.

    Args:
        config: sizes, layouts, sampling defaults.
        vae: autoencoder.
        tokenizer, text_encoder, image_encoder: CLIP's.
        scheduler: any diffusers scheduler fitting the networks; `DDIMScheduler` by default.
        trajectory_unet, trajectory_resampler: stage 1.
        video_unet, video_resampler: stage 2.
        reference_decoder: sharpens decoded videos with the first frame.
    """

    def __init__(
        self,
        config: PipelineConfig,
        vae: Autoencoder,
        tokenizer: PreTrainedTokenizerBase,
        text_encoder: CLIPTextModel,
        image_encoder: CLIPVisionModel,
        scheduler: DDIMScheduler,
        trajectory_unet: VideoUNet | None = None,
        trajectory_resampler: Resampler | None = None,
        video_unet: VideoUNet | None = None,
        video_resampler: Resampler | None = None,
        reference_decoder: ReferenceDecoder | None = None,
    ) -> None:
        self.config = config
        self.encoder = ConditionEncoder(
            LatentCodec(vae, config.latent_patch), tokenizer, text_encoder, image_encoder, config.text_skip_last
        ).eval()
        self.scheduler: Any = scheduler
        self.trajectory_stage = _stage(trajectory_unet, trajectory_resampler, config.trajectory_change_std)
        self.video_stage = _stage(video_unet, video_resampler, config.video_change_std)
        self.reference_decoder = reference_decoder

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, torch_dtype: torch.dtype = torch.float32) -> Mask2IVPipeline:
        """Load a pipeline.

        Args:
            name_or_path: "embedded" for the weights that ship with the package, or a model folder.
            torch_dtype: precision of the networks.

        Raises:
            InputError: not a model folder, or a component is missing or damaged.
        """
        folder = model_folder(name_or_path)
        pipeline_config, names = read_index(folder)
        missing = {"vae", "tokenizer", "text_encoder", "image_encoder", "scheduler"} - set(names)
        if missing:
            raise InputError(f"--model: {folder} lacks {', '.join(sorted(missing))}; train or import it first")
        loaded = {name: load_component(folder, name, class_name, torch_dtype) for name, class_name in names.items()}
        return cls(pipeline_config, **loaded)

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a model folder: ``model_index.json`` and one folder per component, weights as safetensors.

        Args:
            folder: replaced as a whole.
            dtype: precision of the stored weights; None keeps theirs.
        """
        components = self.components
        with atomic_directory(folder, overwrite=True) as target:
            for name, component in components.items():
                save_component(target, name, component, dtype)
            write_index(target, self.config, {name: type(part).__name__ for name, part in components.items()})

    @property
    def components(self) -> dict[str, Any]:
        """Components by the name of their folder; absent ones are left out."""
        found = {
            "vae": self.encoder.codec.autoencoder,
            "tokenizer": self.encoder.tokenizer,
            "text_encoder": self.encoder.text_encoder,
            "image_encoder": self.encoder.image_encoder,
            "scheduler": self.scheduler,
            "reference_decoder": self.reference_decoder,
        }
        for name, stage in (("trajectory", self.trajectory_stage), ("video", self.video_stage)):
            if stage is not None:
                found |= {f"{name}_unet": stage.unet, f"{name}_resampler": stage.resampler}
        return {name: component for name, component in found.items() if component is not None}

    def to(self, *args: Any, **kwargs: Any) -> Mask2IVPipeline:
        """Move all networks to a device or precision, as ``torch.nn.Module.to``. Returns self."""
        for module in (self.encoder, self.trajectory_stage, self.video_stage, self.reference_decoder):
            if module is not None:
                module.to(*args, **kwargs)
        return self

    def unknown_words(self, prompt: str) -> list[str]:
        """Words the text encoder has never seen; empty for an open vocabulary."""
        return unknown_words(self.encoder.tokenizer, prompt)

    def trajectory(
        self,
        image: Any,
        object_mask: Any,
        prompt: str | Sequence[str | None] | None = None,
        target_mask: Any = None,
        actor_mask: Any = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        target_guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
        generator: Generators = None,
        num_videos_per_prompt: int = 1,
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
    ) -> list[Trajectory]:
        """Stage 1: predict mask trajectories.

        Args:
            image: uint8 [H, W, 3] or PIL image; or a list of them.
            object_mask: bool [H, W], the object to be handled in the image; or a list.
            prompt: instruction; None or "" for none; or a list.
            target_mask: bool [H, W], where the object shall end; None for none; or a list.
            actor_mask: bool [H, W], the actor where the image shows it; None if absent or not known; or a list.
            height, width: output size in pixels; the model's default where None.
            num_inference_steps: sampling steps; the model's default where None.
            guidance_scale, target_guidance_scale: guidance by text and by target; 1 for none.
            guidance_rescale: share of rescaled guidance, in [0, 1].
            generator: one, or a list with a generator or an integer seed per output.
            num_videos_per_prompt: outputs per image.
            callback_on_step_end: called as ``(pipeline, step, timestep, {"latents": ...})``; may return other latents.
            progress: show a progress bar.

        Returns:
            Images times `num_videos_per_prompt` trajectories of T frames at (height, width); outputs of one image are
            neighbours.

        Raises:
            InputError: no stage 1, no condition, or an unusable image, mask, size or number.
        """
        _positive(num_videos_per_prompt, 1, "num_videos_per_prompt")
        stage, config = self._require(self.trajectory_stage, "trajectory"), self.config
        images = [check_image(one) for one in _listed(image)]
        size = self._size(height, width)
        columns = {"object_mask": object_mask, "prompt": prompt, "target_mask": target_mask, "actor_mask": actor_mask}
        lists = [as_list(value, len(images), field) for field, value in columns.items()]
        requests = [
            TrajectoryRequest(picture, mask, text or "", target, actor, size)
            for picture, mask, text, target, actor in zip(images, *lists, strict=True)
            for _ in range(num_videos_per_prompt)
        ]
        seeds = sample_seeds(generator, len(requests))
        guidance = Guidance(
            text=config.guidance_scale if guidance_scale is None else guidance_scale,
            target=config.target_guidance_scale if target_guidance_scale is None else target_guidance_scale,
            rescale=config.guidance_rescale if guidance_rescale is None else guidance_rescale,
        )
        steps = _positive(num_inference_steps, config.num_inference_steps, "num_inference_steps")
        results = []
        with tqdm(total=steps * len(requests), desc="trajectory", unit="step", disable=not progress) as bar:
            for request, seed in zip(requests, seeds, strict=True):
                self.scheduler.set_timesteps(steps)
                watch = self._watcher(bar, callback_on_step_end)
                results.append(
                    predict_trajectory(stage, self.encoder, self.scheduler, config, request, guidance, seed, watch)
                )
        return results

    def render(
        self,
        image: Any,
        trajectory: Trajectory | Sequence[Trajectory],
        *,
        num_inference_steps: int | None = None,
        generator: Generators = None,
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
    ) -> list[UInt8Array]:
        """Stage 2: render videos along mask trajectories.

        Args:
            image: first frame, uint8 [H, W, 3] or PIL image; or a list with one per trajectory.
            trajectory: of T frames; its size is the video's.
            num_inference_steps, generator, callback_on_step_end, progress: as in :meth:`trajectory`.

        Returns:
            One video per trajectory, uint8 [T, H, W, 3].

        Raises:
            InputError: no stage 2, or an unusable image, trajectory or number.
        """
        trajectories = [trajectory] if isinstance(trajectory, Trajectory) else list(trajectory)
        seeds = sample_seeds(generator, len(trajectories))
        stage, config = self._require(self.video_stage, "video"), self.config
        images = [check_image(one) for one in as_list(image, len(trajectories), "image")]
        for path in trajectories:
            self._size(*path.size)
        steps = _positive(num_inference_steps, config.video_num_inference_steps, "video_num_inference_steps")
        results = []
        with tqdm(total=steps * len(trajectories), desc="video", unit="step", disable=not progress) as bar:
            for picture, path, seed in zip(images, trajectories, seeds, strict=True):
                self.scheduler.set_timesteps(steps)
                watch = self._watcher(bar, callback_on_step_end)
                results.append(
                    render_video(
                        stage,
                        self.encoder,
                        self.reference_decoder,
                        self.scheduler,
                        config,
                        picture,
                        path,
                        seed,
                        watch,
                    )
                )
        return results

    def __call__(
        self,
        image: Any,
        object_mask: Any,
        prompt: str | Sequence[str | None] | None = None,
        target_mask: Any = None,
        actor_mask: Any = None,
        *,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        video_num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        target_guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
        generator: Generators = None,
        num_videos_per_prompt: int = 1,
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
        return_dict: bool = True,
    ) -> Mask2IVOutput | tuple[list[UInt8Array], list[Trajectory]]:
        """Both stages. Arguments as in :meth:`trajectory` and :meth:`render`, and:

        Args:
            video_num_inference_steps: sampling steps of stage 2.
            return_dict: False returns the tuple ``(frames, trajectory)``.
        """
        _positive(num_videos_per_prompt, 1, "num_videos_per_prompt")
        seeds = sample_seeds(generator, len(_listed(image)) * num_videos_per_prompt)
        trajectories = self.trajectory(
            image,
            object_mask,
            prompt,
            target_mask,
            actor_mask,
            height=height,
            width=width,
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            target_guidance_scale=target_guidance_scale,
            guidance_rescale=guidance_rescale,
            generator=seeds,
            num_videos_per_prompt=num_videos_per_prompt,
            callback_on_step_end=callback_on_step_end,
            progress=progress,
        )
        frames = self.render(
            [one for one in _listed(image) for _ in range(num_videos_per_prompt)],
            trajectories,
            num_inference_steps=video_num_inference_steps,
            generator=seeds,
            callback_on_step_end=callback_on_step_end,
            progress=progress,
        )
        return Mask2IVOutput(frames, trajectories) if return_dict else (frames, trajectories)

    def _watcher(self, bar: tqdm, callback: StepCallback | None) -> OnStep:
        """Moves the progress bar and calls the user's callback after each step."""

        def watch(step: SamplingStep) -> torch.Tensor | None:
            bar.update()
            if callback is None:
                return None
            replaced: torch.Tensor | None = callback(
                self, step.index, int(step.timestep), {"latents": step.latents}
            ).get("latents")
            return replaced

        return watch

    def _size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """The output size.

        Raises:
            InputError: not divisible by what the networks need.
        """
        size = (height or self.config.height, width or self.config.width)
        stage = self.trajectory_stage or self.video_stage
        multiple = self.encoder.codec.factor * (stage.unet.config.size_multiple if stage is not None else 1)
        if size[0] % multiple or size[1] % multiple:
            raise InputError(
                f"size {size[0]}x{size[1]}: height and width must be multiples of {multiple} for this model"
            )
        return size

    @staticmethod
    def _require(stage: Stage | None, name: str) -> Stage:
        if stage is None:
            raise InputError(f"this model folder has no {name} stage; train or import it, or join two folders")
        return stage


def _listed(image: Any) -> list[Any]:
    return list(image) if isinstance(image, (list, tuple)) else [image]


def _positive(value: int | None, default: int, field: str) -> int:
    if value is not None and value < 1:
        raise InputError(f"{field} must be at least 1, found {value}")
    return default if value is None else value


def _stage(unet: VideoUNet | None, resampler: Resampler | None, change_std: float | None) -> Stage | None:
    return None if unet is None or resampler is None else Stage(unet, resampler, change_std).eval()
