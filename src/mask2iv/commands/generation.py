"""``mask2iv generate``, ``trajectory`` and ``render``: what they do."""

from __future__ import annotations

import re
import string
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mask2iv.commands.arguments import pick_device
from mask2iv.commands.generate import Generate, PredictTrajectory, Render, Sampling
from mask2iv.commands.inputs import (
    SceneInputs,
    check_sampling,
    check_size_and_scales,
    file_record,
    read_scene,
    read_trajectory,
)
from mask2iv.commands.outputs import disk_faults, input_pictures, result_folder, write_filmstrip, write_trajectory
from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.manifest import versions, weight_hashes
from mask2iv.media import read_image, resize_image, write_png, write_video
from mask2iv.stages.components import model_folder
from mask2iv.stages.pipeline import Mask2IVPipeline

_STAGES = {"generate": ("trajectory", "video"), "trajectory": ("trajectory",), "render": ("video",)}
# What the pipeline's names for its inputs are called here.
_FLAGS = {
    "size": "--size",
    "prompt": "--prompt",
    "object_mask": "--object-mask",
    "target_mask": "--target-mask",
    "actor_mask": "--actor-mask",
    "num_inference_steps": "--steps",
}
_RENDER_FLAGS = {**_FLAGS, "size": "--trajectory of size", "trajectory": "--trajectory"}


def generate(command: Generate) -> None:
    """Both stages, as often as there are samples.

    Raises:
        InputError: names the flag; most are found before the model is loaded.
    """
    _from_scene("generate", command, command.samples)


def predict(command: PredictTrajectory) -> None:
    """Stage 1 alone. Raises InputError as :func:`generate`."""
    _from_scene("trajectory", command, 1)


def render(command: Render) -> None:
    """Stage 2 alone. Raises InputError as :func:`generate`."""
    check_sampling(command.sampling)
    image = read_image(command.image, "--image")
    trajectory, record = read_trajectory(command.trajectory)
    with result_folder(command.output, [command.image, command.trajectory]) as folder:
        run = _Run("render", command.sampling, {"image": file_record(command.image), "trajectory": record})
        run.settings |= {"height": trajectory.size[0], "width": trajectory.size[1], "fps": trajectory.fps}
        video = run.render(image, trajectory, command.sampling.seed, _RENDER_FLAGS)
        with disk_faults(command.output):
            write_video(folder / "video.mp4", video, trajectory.fps)
            write_filmstrip(folder, ("picture", resize_image(image, trajectory.size)[None]), trajectory, video)
            run.write_manifest(folder, {"seed": command.sampling.seed})
    print(f"{command.output.out}: video.mp4")


def _from_scene(name: str, command: Generate | PredictTrajectory, samples: int) -> None:
    check_sampling(command.sampling, samples)
    size = check_size_and_scales(command.guidance, command.scene)
    scene = read_scene(command.scene)
    with result_folder(command.output, command.scene.files) as folder:
        run = _Run(name, command.sampling, scene.record)
        run.settle(command, scene.prompt, size)
        started = time.perf_counter()
        if scene.found_mask:
            with disk_faults(command.output):
                write_png(folder / "object_mask.png", scene.object_mask)
        seeds = [command.sampling.seed + index for index in range(samples)]
        parts = [f"sample-{index:03d}" for index in range(samples)] if samples > 1 else ["."]
        for part, seed in zip(parts, seeds, strict=True):
            if samples > 1:
                print(f"{part}, seed {seed}", file=sys.stderr)
            trajectory = run.predict(scene, seed)
            video = run.render(scene.image, trajectory, seed, _FLAGS) if name == "generate" else None
            with disk_faults(command.output):
                write_trajectory(folder / part, trajectory)
                if video is not None:
                    write_video(folder / part / "video.mp4", video, trajectory.fps)
                write_filmstrip(folder / part, input_pictures(scene, trajectory.size), trajectory, video)
                run.write_manifest(folder / part, {"seed": seed})
        if samples > 1:
            run.seconds = {"load": run.seconds["load"], "samples": round(time.perf_counter() - started, 3)}
            run.write_manifest(folder, {"seeds": dict(zip(parts, seeds, strict=True))})
    written = ["trajectory/", "trajectory.mp4", *(["video.mp4"] if name == "generate" else [])]
    print(f"{command.output.out}: {', '.join(written)}" + (f" in each of {samples} folders" if samples > 1 else ""))


class _Run:
    """A loaded model, and the record of what is done with it.

    Args:
        name: of the command.
        sampling: its flags.
        inputs: record of what it reads.

    Raises:
        InputError: the device or the model cannot be used.
    """

    def __init__(self, name: str, sampling: Sampling, inputs: dict[str, Any]) -> None:
        self.name, self.inputs = name, inputs
        self.seconds: dict[str, float] = {}
        if sampling.threads:
            torch.set_num_threads(sampling.threads)
        device = pick_device(sampling.device)
        with self._timed("load"), _in_flags({}, "--model"):
            self.pipeline = Mask2IVPipeline.from_pretrained(sampling.model).to(device)
        for stage in _STAGES[name]:
            if getattr(self.pipeline, f"{stage}_stage") is None:
                raise InputError(f"--model: {sampling.model} has no {stage} stage, which mask2iv {name} needs")
        config = self.pipeline.config
        defaults = {"trajectory": config.num_inference_steps, "video": config.video_num_inference_steps}
        self.steps = {stage: sampling.steps or defaults[stage] for stage in _STAGES[name]}
        self.settings: dict[str, Any] = {
            "model": {"name": sampling.model, "sha256": weight_hashes(model_folder(sampling.model))},
            "device": str(device),
            "threads": torch.get_num_threads(),
            "steps": self.steps,
            "num_frames": config.num_frames,
        }

    def settle(self, command: Generate | PredictTrajectory, prompt: str | None, size: tuple[int, int] | None) -> None:
        """Resolves the settings of stage 1; warns of words the model does not know."""
        config, guidance = self.pipeline.config, command.guidance
        height, width = size or (config.height, config.width)
        scales = {name: getattr(guidance, name) for name in ("guidance_scale", "target_guidance_scale")}
        self.settings |= {"prompt": prompt, "height": height, "width": width, "fps": config.fps}
        self.settings |= {name: getattr(config, name) if scale is None else scale for name, scale in scales.items()}
        unknown = self.pipeline.unknown_words(prompt or "")
        if unknown:
            words = ", ".join(word.strip(string.punctuation) or word for word in unknown)
            print(f"mask2iv: warning: --prompt: words that mean nothing to this model: {words}", file=sys.stderr)

    def predict(self, scene: SceneInputs, seed: int) -> Trajectory:
        """Stage 1."""
        keys = ("height", "width", "guidance_scale", "target_guidance_scale")
        with self._timed("trajectory"), _in_flags(_FLAGS):
            return self.pipeline.trajectory(
                scene.image,
                scene.object_mask,
                scene.prompt,
                scene.target_mask,
                scene.actor_mask,
                num_inference_steps=self.steps["trajectory"],
                generator=torch.Generator().manual_seed(seed),
                **{key: self.settings[key] for key in keys},
            )[0]

    def render(self, image: UInt8Array, trajectory: Trajectory, seed: int, flags: Mapping[str, str]) -> UInt8Array:
        """Stage 2: uint8 [T, H, W, 3]. ``flags`` are the names its complaints use."""
        with self._timed("video"), _in_flags(flags):
            return self.pipeline.render(
                image,
                trajectory,
                num_inference_steps=self.steps["video"],
                generator=torch.Generator().manual_seed(seed),
            )[0]

    def write_manifest(self, folder: Path, seeds: Mapping[str, Any]) -> None:
        """Writes ``manifest.json``: what was given, what it resolved to, what the last stages took."""
        write_json(
            folder / "manifest.json",
            {
                "command": self.name,
                "inputs": self.inputs,
                "settings": {**self.settings, **seeds},
                "seconds": self.seconds,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": versions(),
            },
        )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)


@contextmanager
def _in_flags(flags: Mapping[str, str], default: str | None = None) -> Iterator[None]:
    """Names flags in the pipeline's complaints: in place of the input they begin with, or ``default`` in front."""
    try:
        yield
    except InputError as error:
        message = str(error)
        word = re.match(r"\w*", message)
        name = word[0] if word else ""
        if name in flags:
            raise InputError(flags[name] + message[len(name) :]) from error
        if default and not message.startswith(default):
            raise InputError(f"{default}: {message}") from error
        raise
