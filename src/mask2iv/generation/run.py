"""A model that is loaded once, and what is made with it: trajectories, videos, result folders, manifests."""

from __future__ import annotations

import re
import string
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.generation.acceleration import Acceleration, enough_memory
from mask2iv.generation.inputs import (
    SceneInputs,
    check_sampling,
    check_size_and_scales,
    file_record,
    read_scene,
    read_trajectory,
)
from mask2iv.generation.options import Guidance, Output, Sampling, Scene
from mask2iv.generation.results import disk_faults, input_pictures, result_folder, write_filmstrip, write_trajectory
from mask2iv.generation.values import pick_device
from mask2iv.manifest import versions, weight_hashes
from mask2iv.media import read_image, resize_image, write_png, write_video
from mask2iv.pipelines.components import model_folder
from mask2iv.pipelines.pipeline import Mask2IVPipeline

T = TypeVar("T")

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


def generate(
    scene: Scene,
    guidance: Guidance,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    samples: int = 1,
    batch_size: int = 1,
) -> None:
    """Both stages, as often as there are samples, into one result folder.

    Raises:
        InputError: names the field; most are found before the model is loaded.
    """
    model = partial(LoadedModel, "generate", sampling, acceleration, batch_size)
    _from_scene(model, scene, guidance, sampling, output, samples, batch_size)


def predict(scene: Scene, guidance: Guidance, sampling: Sampling, acceleration: Acceleration, output: Output) -> None:
    """Stage 1 alone. Raises InputError as :func:`generate`."""
    _from_scene(partial(LoadedModel, "trajectory", sampling, acceleration), scene, guidance, sampling, output, 1, 1)


def render(image: Path, trajectory: Path, sampling: Sampling, acceleration: Acceleration, output: Output) -> None:
    """Stage 2 alone. Raises InputError as :func:`generate`."""
    check_sampling(sampling)
    picture = read_image(image, "--image")
    given, record = read_trajectory(trajectory)
    inputs, seed = {"image": file_record(image), "trajectory": record}, sampling.seed
    with result_folder(output, [image, trajectory]) as folder:
        model = LoadedModel("render", sampling, acceleration)
        model.settings |= {"height": given.size[0], "width": given.size[1], "fps": given.fps}
        [video] = model.render([picture], [given], [seed], _RENDER_FLAGS)
        with disk_faults(output):
            write_video(folder / "video.mp4", video, given.fps)
            write_filmstrip(folder, ("picture", resize_image(picture, given.size)[None]), given, video)
            model.write_manifest(folder, inputs, {"seed": seed})
    print(f"{output.out}: video.mp4")


def _from_scene(
    load: Callable[[], LoadedModel],
    scene: Scene,
    guidance: Guidance,
    sampling: Sampling,
    output: Output,
    samples: int,
    batch_size: int,
) -> None:
    check_sampling(sampling, samples, batch_size)
    size = check_size_and_scales(guidance, scene)
    read = read_scene(scene)
    with result_folder(output, scene.files) as folder:
        model = load()
        model.settle(guidance, size)
        model.tell_of_prompts([read.prompt])
        prompt = model.prompt_record(read.prompt)
        started = time.perf_counter()
        if read.found_mask:
            with disk_faults(output):
                write_png(folder / "object_mask.png", read.object_mask)
        seeds = [sampling.seed + index for index in range(samples)]
        parts = [f"sample-{index:03d}" for index in range(samples)] if samples > 1 else ["."]
        for batch in batched(zip(parts, seeds, strict=True), batch_size):
            if samples > 1:
                print("; ".join(f"{part}, seed {seed}" for part, seed in batch), file=sys.stderr)
            made = model.make([read] * len(batch), [seed for _, seed in batch])
            with disk_faults(output):
                for (part, seed), (trajectory, video) in zip(batch, made, strict=True):
                    write_result(folder / part, read, trajectory, video)
                    model.write_manifest(folder / part, read.record, {**prompt, "seed": seed})
        if samples > 1:
            model.seconds = {"load": model.seconds["load"], "samples": round(time.perf_counter() - started, 3)}
            own = {**prompt, "seeds": dict(zip(parts, seeds, strict=True))}
            model.write_manifest(folder, read.record, own)
    written = ["trajectory/", "trajectory.mp4", *(["video.mp4"] if "video" in model.steps else [])]
    print(f"{output.out}: {', '.join(written)}" + (f" in each of {samples} folders" if samples > 1 else ""))


class LoadedModel:
    """A loaded model, and the record of what is done with it.

    Args:
        name: of the command.
        sampling, acceleration: its flags.
        batch_size: outputs that go through the networks together, at most.
        progress: whether the stages show progress bars.

    Raises:
        InputError: the device or the model cannot be used, or not with these numbers.
    """

    def __init__(
        self, name: str, sampling: Sampling, acceleration: Acceleration, batch_size: int = 1, progress: bool = True
    ) -> None:
        self.name = name
        self.seconds: dict[str, float] = {}
        if sampling.threads:
            torch.set_num_threads(sampling.threads)
        device = pick_device(sampling.device)
        acceleration.check(device)
        with self._timed("load"):
            with in_flags({}, "--model"):
                self.pipeline = Mask2IVPipeline.from_pretrained(sampling.model, acceleration.torch_dtype)
            there = {
                "trajectory": self.pipeline.predicts_trajectories,
                "video": self.pipeline.video_stage is not None,
            }
            for stage in _STAGES[name]:
                if not there[stage]:
                    raise InputError(f"--model: {sampling.model} has no {stage} stage, which mask2iv {name} needs")
            with enough_memory():
                acceleration.apply(self.pipeline.requires_grad_(False), device)
        config = self.pipeline.config
        defaults = {"trajectory": config.num_inference_steps, "video": config.video_num_inference_steps}
        self.steps = {stage: sampling.steps or defaults[stage] for stage in _STAGES[name]}
        sampler = sampling.sampler or config.sampler
        with in_flags(_FLAGS):
            self.pipeline.solver(sampler).set_timesteps(max(self.steps.values()))
        self._options: dict[str, Any] = {"batch_size": batch_size, "sampler": sampler, "progress": progress}
        self.settings: dict[str, Any] = {
            "model": {"name": sampling.model, "sha256": weight_hashes(model_folder(sampling.model))},
            "device": str(device),
            **acceleration.settings,
            "threads": torch.get_num_threads(),
            "batch_size": batch_size,
            "sampler": sampler,
            "steps": self.steps,
            "num_frames": config.num_frames,
        }

    def settle(self, guidance: Guidance, size: tuple[int, int] | None) -> None:
        """Resolves the settings of stage 1.

        Raises:
            InputError: the model cannot make this size.
        """
        config = self.pipeline.config
        with in_flags(_FLAGS):
            height, width = self.pipeline.size(*(size or (None, None)))
        scales = {name: getattr(guidance, name) for name in ("guidance_scale", "target_guidance_scale")}
        self.settings |= {"height": height, "width": width, "fps": config.fps}
        self.settings |= {name: getattr(config, name) if scale is None else scale for name, scale in scales.items()}

    def tell_of_prompts(self, prompts: Iterable[str | None]) -> None:
        """Says how prompts are read, names the words that the model does not know, and what is cut off."""
        given = list(dict.fromkeys(prompt for prompt in prompts if prompt))
        for prompt in given:
            read = self.pipeline.prompts.read(prompt)
            if read != prompt:
                print(f'mask2iv: prompt: "{prompt}" read as "{read}"', file=sys.stderr)
        found = {word: None for prompt in given for word in self.pipeline.prompts.unknown(prompt)}
        if found:
            words = ", ".join(word.strip(string.punctuation) or word for word in found)
            print(f"mask2iv: warning: --prompt: words that mean nothing to this model: {words}", file=sys.stderr)
        for prompt in given:
            cut = self.pipeline.prompts.cut_off(prompt)
            if cut:
                limit = f"longer than the {self.pipeline.prompts.limit} tokens that this model takes"
                print(f'mask2iv: warning: --prompt: {limit}; it does not see "{cut}"', file=sys.stderr)

    def prompt_record(self, prompt: str | None) -> dict[str, Any]:
        """A prompt for the manifest: as given, and where that differs as it is read and what of it is cut off."""
        record: dict[str, Any] = {"prompt": prompt}
        if prompt is not None:
            read, cut = self.pipeline.prompts.read(prompt), self.pipeline.prompts.cut_off(prompt)
            record |= {"prompt_read_as": read} if read != prompt else {}
            record |= {"prompt_cut_off": cut} if cut else {}
        return record

    def make(self, scenes: Sequence[SceneInputs], seeds: Sequence[int]) -> list[tuple[Trajectory, UInt8Array | None]]:
        """Trajectory and, where the command has stage 2, video of each scene."""
        trajectories = self.predict(scenes, seeds)
        if "video" not in self.steps:
            return [(trajectory, None) for trajectory in trajectories]
        videos = self.render([scene.image for scene in scenes], trajectories, seeds, _FLAGS)
        return list(zip(trajectories, videos, strict=True))

    def predict(self, scenes: Sequence[SceneInputs], seeds: Sequence[int]) -> list[Trajectory]:
        """Stage 1."""
        keys = ("height", "width", "guidance_scale", "target_guidance_scale")
        with self._timed("trajectory"), in_flags(_FLAGS), enough_memory():
            return self.pipeline.trajectory(
                [scene.image for scene in scenes],
                [scene.object_mask for scene in scenes],
                [scene.prompt for scene in scenes],
                [scene.target_mask for scene in scenes],
                [scene.actor_mask for scene in scenes],
                num_inference_steps=self.steps["trajectory"],
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                **{key: self.settings[key] for key in keys},
                **self._options,
            )

    def render(
        self,
        images: Sequence[UInt8Array],
        trajectories: Sequence[Trajectory],
        seeds: Sequence[int],
        flags: Mapping[str, str],
    ) -> list[UInt8Array]:
        """Stage 2: uint8 [T, H, W, 3] each. ``flags`` are the names its complaints use."""
        with self._timed("video"), in_flags(flags), enough_memory():
            return self.pipeline.render(
                list(images),
                trajectories,
                num_inference_steps=self.steps["video"],
                generator=[torch.Generator().manual_seed(seed) for seed in seeds],
                **self._options,
            )

    def write_manifest(self, folder: Path, inputs: Mapping[str, Any], own: Mapping[str, Any]) -> None:
        """Writes ``manifest.json``: what was given, what it resolved to, what the last stages took.

        Args:
            folder: where to.
            inputs: record of what was read.
            own: settings of this result beside the common ones.
        """
        failure = self.pipeline.compile_failure
        write_json(
            folder / "manifest.json",
            {
                "command": self.name,
                "inputs": inputs,
                "settings": {**self.settings, **own},
                "seconds": self.seconds,
                **({} if failure is None else {"not_compiled": failure}),
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
                "versions": versions(),
            },
        )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)


def write_result(folder: Path, scene: SceneInputs, trajectory: Trajectory, video: UInt8Array | None) -> None:
    """Writes trajectory, filmstrip and, where there is one, the video."""
    write_trajectory(folder, trajectory)
    if video is not None:
        write_video(folder / "video.mp4", video, trajectory.fps)
    write_filmstrip(folder, input_pictures(scene, trajectory.size), trajectory, video)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


@contextmanager
def in_flags(flags: Mapping[str, str], default: str | None = None) -> Iterator[None]:
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
