"""Mask2IVPipeline: image and object mask in, mask trajectory and video out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import CLIPTextModel, CLIPVisionModel, PreTrainedTokenizerBase

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.stage import Stage
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.backbones.dynamicrafter.video import check_video_networks
from mask2iv.backbones.planning.painter import MaskPainter
from mask2iv.backbones.planning.planner import InteractionPlanner
from mask2iv.backbones.planning.predictor import PlanningStage
from mask2iv.contract import Fit, Trajectory
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.files import atomic_directory
from mask2iv.models.autoencoder import Autoencoder, LatentCodec
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.pipelines.accelerated import Accelerated
from mask2iv.pipelines.calls import as_output, check_call, explains_keywords, one_each
from mask2iv.pipelines.components import load_components, save_component
from mask2iv.pipelines.folder import write_index
from mask2iv.pipelines.hub import fetch_folder
from mask2iv.pipelines.two_stages import Mask2IVOutput, StepCallback, TwoStages
from mask2iv.prompts.reader import PromptReader
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.interfaces import (
    Guidance,
    SamplingOptions,
    VideoRequest,
)
from mask2iv.stages.sampling import Generators, sample_seeds
from mask2iv.stages.scene import as_list, check_image, listed, read_scenes
from mask2iv.trajectories.editing.path import ObjectPath


class Mask2IVPipeline(TwoStages, Accelerated):
    """Both stages behind diffusers' conventions.

    Every output has its own seed and noise. Computed by itself (``batch_size=1``) it does not depend on what else is
    in the call: same seed, same machine, same result, to the bit. In larger batches it is the same up to rounding.
    Components that a folder lacks (a folder may hold one stage only) are None. Speed and memory are set by the methods
    of :class:`~mask2iv.pipelines.accelerated.Accelerated`.

    The stages themselves stand behind two interfaces (:mod:`mask2iv.stages.interfaces`): assign another implementation
    to :attr:`predictor` or :attr:`renderer` and the rest stays as it is.

    Args:
        config: sizes, layouts, sampling defaults.
        vae: autoencoder.
        tokenizer, text_encoder, image_encoder: CLIP's.
        scheduler: the networks' noise schedule, from which solvers are made by name. Any diffusers scheduler fitting
            the networks may replace it afterwards, and is then used as it is.
        trajectory_unet, trajectory_resampler: stage 1.
        video_unet, video_resampler: stage 2.
        reference_decoder: sharpens decoded videos with the first frame.
        video_controlnet: feeds the masks to stage 2, where ``config.video_conditioning`` asks for it.
        planner, painter: stage 1 by plans (:mod:`mask2iv.backbones.planning.predictor`), in place of a U-Net and before
            one.

    Raises:
        InputError: stage 2's networks are not those that ``config.video_conditioning`` asks for.
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
        video_controlnet: ControlNet | None = None,
        planner: InteractionPlanner | None = None,
        painter: MaskPainter | None = None,
    ) -> None:
        self.config = config
        self.encoder = ConditionEncoder(
            LatentCodec(vae, config.latent_patch),
            tokenizer,
            text_encoder,
            image_encoder,
            config.text_skip_last,
            config.snapping,
        ).eval()
        self.scheduler: Any = scheduler
        self.trajectory_stage = self.video_stage = None
        if trajectory_unet is not None and trajectory_resampler is not None:
            self.trajectory_stage = Stage(trajectory_unet, trajectory_resampler, config.trajectory_change_std).eval()
        if video_unet is not None and video_resampler is not None:
            check_video_networks(config, video_unet, video_controlnet)
            self.video_stage = Stage(video_unet, video_resampler, config.video_change_std, video_controlnet).eval()
        self.planning_stage: PlanningStage | None = None
        if planner is not None and painter is not None:
            self.planning_stage = PlanningStage(planner, painter, config.num_frames).eval()
        self.reference_decoder = reference_decoder
        TwoStages.__init__(self, PromptReader(tokenizer))
        Accelerated.__init__(self)

    @classmethod
    @explains_keywords
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        torch_dtype: torch.dtype = torch.float32,
        *,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
    ) -> Mask2IVPipeline:
        """Load a pipeline.

        Args:
            name_or_path: "embedded" for the weights that ship with the package, a model folder, or the name OWNER/NAME
                of one on the Hugging Face hub. Only safetensors and JSON are read, and no code is run.
            torch_dtype: precision of the networks; see :func:`~mask2iv.pipelines.components.load_components`.
            revision, token, local_files_only: see :func:`~mask2iv.pipelines.hub.fetch_folder`.

        Raises:
            InputError: not a model folder, or a component is missing or damaged.
        """
        folder = fetch_folder(name_or_path, revision, token, local_files_only)
        pipeline_config, loaded = load_components(folder, torch_dtype)
        pipeline = cls(pipeline_config, **loaded)
        pipeline.prompts = PromptReader.load(folder, loaded["tokenizer"])
        return pipeline

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write a model folder: ``model_index.json`` and one folder per component, weights as safetensors.

        Args:
            folder: replaced as a whole.
            dtype: precision of the stored weights; None keeps theirs.

        Raises:
            InputError: the weights are quantised.
        """
        self._require_unquantised("save_pretrained")
        components = self.components
        with atomic_directory(folder, overwrite=True) as target:
            for name, component in components.items():
                save_component(target, name, component, dtype)
            self.prompts.save(target)
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
        if self.planning_stage is not None:
            found |= {"planner": self.planning_stage.planner, "painter": self.planning_stage.painter}
        for name, stage in (("trajectory", self.trajectory_stage), ("video", self.video_stage)):
            if stage is not None:
                found |= {f"{name}_unet": stage.unet, f"{name}_resampler": stage.resampler}
                found |= {f"{name}_controlnet": stage.controlnet}
        return {name: component for name, component in found.items() if component is not None}

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of a prompt, as it is read, that the text encoder has never seen; empty for an open vocabulary."""
        return self.prompts.unknown(prompt)

    @explains_keywords
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
        fit: Fit | None = None,
        fit_scale: float | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        target_guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
        object_path: ObjectPath | Sequence[ObjectPath | None] | None = None,
        generator: Generators = None,
        seed: int | Sequence[int] | None = None,
        num_frames: int | None = None,
        num_videos_per_prompt: int = 1,
        batch_size: int = 1,
        sampler: str | None = None,
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
    ) -> list[Trajectory]:
        """Stage 1: predict mask trajectories.

        Args:
            image: uint8 [H, W, 3], PIL image or file; or a list of them. One with a list of prompts is used with each.
            object_mask, target_mask, actor_mask: the object to be handled; where it shall end, None for none; the actor
                in the image, None if absent or unknown. Each bool [H, W] or what else
                :func:`~mask2iv.trajectories.masks.load_mask` reads, such as files and PIL images; or a list.
            prompt: instruction; None or "" for none; or a list.
            height, width, fit, fit_scale, num_inference_steps: the model's where None. Output size in pixels; how an
                image of another shape gets it (:func:`mask2iv.media.fitting.place`); sampling steps.
            guidance_scale, target_guidance_scale, guidance_rescale: guidance by text and by target, 1 for none; share
                of rescaled guidance, in [0, 1].
            object_path: where the object shall go, in pixels of the image, in place of a target; or a list. Only
                models with a planner fit an actor to it.
            generator, seed: a generator or an integer, or a list with one of them per output; an integer is counted up.
            num_frames, num_videos_per_prompt: the model's, if given; outputs per image.
            batch_size, sampler: most outputs computed together; "ddim", "dpmsolver++" or "unipc", None for the model's.
            callback_on_step_end, progress: called as ``(pipeline, step, timestep, {"latents": ...})`` for each batch,
                latents [B, C, T, h, w], may return other ones; whether to show a progress bar.

        Returns:
            Images times `num_videos_per_prompt` trajectories at (height, width), image by image.

        Raises:
            InputError: no stage 1, no condition, an unusable input, or a sampler beside a replaced scheduler.
        """
        check_call(None, num_frames, self.config.num_frames)
        size, image = self.size(height, width), one_each(image, prompt)
        inputs = (image, object_mask, prompt, target_mask, actor_mask)
        scenes = read_scenes(*inputs, size, *self.fitting(fit, fit_scale), num_videos_per_prompt, object_path)
        guidance = Guidance(guidance_scale, target_guidance_scale, guidance_rescale)
        options = SamplingOptions(num_inference_steps, batch_size, sampler, guidance)
        seeds = sample_seeds(generator, len(scenes), seed)
        return self.predict(scenes, seeds, options, callback_on_step_end, progress)

    @explains_keywords
    def render(
        self,
        image: Any,
        trajectory: Trajectory | Sequence[Trajectory] | None = None,
        *,
        prompt: str | Sequence[str | None] | None = None,
        height: int | None = None,
        width: int | None = None,
        fit: Fit | None = None,
        fit_scale: float | None = None,
        num_inference_steps: int | None = None,
        generator: Generators = None,
        seed: int | Sequence[int] | None = None,
        batch_size: int = 1,
        sampler: str | None = None,
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
        output_type: str | None = None,
    ) -> list[Any]:
        """Stage 2: render videos along mask trajectories.

        Args:
            image: first frame, uint8 [H, W, 3], PIL image or file; or a list with one per trajectory.
            trajectory: of T frames; its size is the video's. None for a model whose ``config.video_conditioning`` takes
                no masks. A model that takes the actor's masks only does not see the object's.
            prompt: for a model whose ``config.video_conditioning`` takes text; else None; or a list.
            height, width: output size where there is no trajectory; the model's default where None.
            fit, fit_scale: as in :meth:`trajectory`, a crop being of the middle. Where neither is given, a trajectory
                that this model predicted for an image of this size determines which part of it is used.
            num_inference_steps, generator, seed, batch_size, sampler, callback_on_step_end, progress: as in
                :meth:`trajectory`.
            output_type: None for uint8 arrays; "pil", "np" or "pt" as in diffusers, see
                :func:`~mask2iv.pipelines.calls.as_output`.

        Returns:
            One video per trajectory, uint8 [T, H, W, 3] or what `output_type` says.

        Raises:
            InputError: no stage 2, an unusable image, trajectory or number, or a trajectory or prompt that this model
                does not take, or lacks.
        """
        check_call(output_type, None, self.config.num_frames)
        count = len(listed(image)) if trajectory is None else len(listed(trajectory))
        images = [check_image(one) for one in as_list(image, count, "image")]
        paths: list[Trajectory | None] = as_list(trajectory, count, "trajectory")
        prompts: list[str | None] = as_list(prompt, count, "prompt")  # type: ignore[arg-type]
        size = self.size(height, width)
        requests = [
            VideoRequest(
                self.first_frame(picture, path, size if path is None else path.size, fit, fit_scale)[0],
                path,
                text or "",
            )
            for picture, path, text in zip(images, paths, prompts, strict=True)
        ]
        options = SamplingOptions(num_inference_steps, batch_size, sampler)
        seeds = sample_seeds(generator, count, seed)
        videos = self.render_requests(requests, seeds, options, callback_on_step_end, progress)
        return [as_output(video, output_type) for video in videos]

    @explains_keywords
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
        fit: Fit | None = None,
        fit_scale: float | None = None,
        num_inference_steps: int | None = None,
        video_num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        target_guidance_scale: float | None = None,
        guidance_rescale: float | None = None,
        generator: Generators = None,
        seed: int | Sequence[int] | None = None,
        num_frames: int | None = None,
        num_videos_per_prompt: int = 1,
        batch_size: int = 1,
        sampler: str | None = None,
        callback_on_step_end: StepCallback | None = None,
        progress: bool = True,
        output_type: str | None = None,
        return_dict: bool = True,
    ) -> Mask2IVOutput | tuple[list[Any], list[Trajectory]]:
        """Both stages. Arguments as in :meth:`trajectory` and :meth:`render`, and:

        Args:
            video_num_inference_steps: sampling steps of stage 2.
            return_dict: False returns the tuple ``(frames, trajectory)``.

        Raises:
            InputError: as these, or stage 2 takes no masks.
        """
        check_call(output_type, num_frames, self.config.num_frames)
        size, image = self.size(height, width), one_each(image, prompt)
        inputs = (image, object_mask, prompt, target_mask, actor_mask)
        scenes = read_scenes(*inputs, size, *self.fitting(fit, fit_scale), num_videos_per_prompt)
        guidance = Guidance(guidance_scale, target_guidance_scale, guidance_rescale)
        options = SamplingOptions(num_inference_steps, batch_size, sampler, guidance)
        output = self.generate(
            scenes,
            sample_seeds(generator, len(scenes), seed),
            options,
            replace(options, steps=video_num_inference_steps),
            callback_on_step_end,
            progress,
        )
        output.frames = [as_output(video, output_type) for video in output.frames]
        return output if return_dict else (output.frames, output.trajectory)
