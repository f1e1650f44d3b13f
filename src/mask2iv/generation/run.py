"""A model that is loaded once, and what is made with it: trajectories, videos, result folders, manifests."""

from __future__ import annotations

import copy
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mask2iv.contract import Placement, Trajectory, UInt8Array
from mask2iv.devices import pick_device
from mask2iv.errors import InputError
from mask2iv.files import disk_faults, write_json
from mask2iv.generation.acceleration import Acceleration, enough_memory
from mask2iv.generation.inputs import (
    check_fitting,
    check_same_picture,
    check_sampling,
    check_size_and_scales,
    file_record,
    read_scene,
    read_trajectory,
    with_sample,
)
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling, SceneOptions
from mask2iv.generation.records import MANIFEST, comment_of, digests
from mask2iv.generation.results import (
    input_pictures,
    result_folder,
    write_animations,
    write_filmstrip,
    write_trajectory,
)
from mask2iv.manifest import hardware, versions, weight_hashes
from mask2iv.media.images import read_image, write_png
from mask2iv.media.videos import write_video
from mask2iv.pipelines.folder import model_folder, read_index
from mask2iv.stages.interfaces import Guidance, SamplingOptions, VideoRequest
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.labels import labels_to_rgb

if TYPE_CHECKING:
    from mask2iv.pipelines.two_stages import StepCallback

T = TypeVar("T")

_NETWORKS = {
    "trajectory": ({"planner", "painter"}, {"trajectory_unet", "trajectory_resampler"}),
    "video": ({"video_unet", "video_resampler"},),
}
"""What makes a stage: one of these sets of components."""
_STAGES = {"generate": ("trajectory", "video"), "trajectory": ("trajectory",), "render": ("video",)}


def generate(
    scene: SceneOptions,
    fitting: Fitting,
    guidance: GuidanceOptions,
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
    _from_scene("generate", scene, fitting, guidance, sampling, acceleration, output, samples, batch_size)


def predict(
    scene: SceneOptions,
    fitting: Fitting,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
) -> None:
    """Stage 1 alone. Raises InputError as :func:`generate`."""
    _from_scene("trajectory", scene, fitting, guidance, sampling, acceleration, output, 1, 1)


def render(
    image: Path,
    trajectory: Path,
    fitting: Fitting,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    any_picture: bool = False,
) -> None:
    """Stage 2 alone. With `any_picture` the trajectory may have been made for another picture.

    Raises:
        InputError: as :func:`generate`.
    """
    check_sampling(sampling)
    check_fitting(fitting)
    check_model("render", sampling.model)
    picture = read_image(image, "image")
    given, record = read_trajectory(trajectory)
    if not any_picture:
        check_same_picture(image, trajectory)
    inputs, seed = {"image": file_record(image), "trajectory": record}, sampling.seed
    with result_folder(output, [image, trajectory]) as folder:
        model = LoadedModel("render", sampling, acceleration)
        model.settings |= {"height": given.size[0], "width": given.size[1], "fps": given.fps}
        try:
            frame, placement = model.pipeline.first_frame(picture, given, given.size, fitting.fit, fitting.fit_scale)
            request = VideoRequest(frame, given)
            [video] = model.render([request], [seed])
        except InputError as error:
            # The trajectory sets the size here.
            raise (error.about(f"trajectory of {error.field}") if error.field.startswith("size") else error) from error
        with disk_faults(output.out):
            own = {"seed": seed, "any_picture": any_picture, "fit": fitting.fit, "fit_scale": fitting.fit_scale}
            record = model.record(inputs, own, placement, digests(given, video))
            write_video(folder / "video.mp4", video, given.fps, comment=comment_of(record))
            write_animations(folder, output, "video", video, given.fps)
            write_filmstrip(folder, ("picture", request.image[None]), given, video)
            write_json(folder / MANIFEST, record)
    print(f"{output.out}: {', '.join(['video.mp4', *(f'video{suffix}' for suffix in output.animations)])}")


def _from_scene(
    command: str,
    scene: SceneOptions,
    fitting: Fitting,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    samples: int,
    batch_size: int,
) -> None:
    scene = with_sample(scene)
    check_sampling(sampling, samples, batch_size)
    check_fitting(fitting)
    size = check_size_and_scales(guidance, scene)
    check_model(command, sampling.model)
    read = read_scene(scene)
    with result_folder(output, scene.files) as folder:
        model = LoadedModel(command, sampling, acceleration, batch_size)
        model.settle(guidance, size)
        model.tell_of_prompts([read.scene.prompt])
        common = model.prompt_record(read.scene.prompt) | model.fit_record(fitting)
        resized = model.fitted(read.scene, fitting)
        started = time.perf_counter()
        if read.found_mask:
            with disk_faults(output.out):
                write_png(folder / "object_mask.png", read.scene.object_mask)
        seeds = [sampling.seed + index for index in range(samples)]
        parts = [f"sample-{index:03d}" for index in range(samples)] if samples > 1 else ["."]
        for batch in batched(zip(parts, seeds, strict=True), batch_size):
            if samples > 1:
                print("; ".join(f"{part}, seed {seed}" for part, seed in batch), file=sys.stderr)
            made = model.make([resized] * len(batch), [seed for _, seed in batch])
            with disk_faults(output.out):
                for (part, seed), (trajectory, video) in zip(batch, made, strict=True):
                    own = {**common, "seed": seed}
                    record = model.record(read.record, own, resized.placement, digests(trajectory, video))
                    write_result(folder / part, output, resized, trajectory, video, record)
        if samples > 1:
            model.seconds = {"load": model.seconds["load"], "samples": round(time.perf_counter() - started, 3)}
            own = {**common, "seeds": dict(zip(parts, seeds, strict=True))}
            write_json(folder / MANIFEST, model.record(read.record, own, resized.placement))
    film = "video" if "video" in model.steps else "trajectory"
    written = ["trajectory/", "trajectory.mp4", *(["video.mp4"] if film == "video" else [])]
    written += [f"{film}{suffix}" for suffix in output.animations]
    print(f"{output.out}: {', '.join(written)}" + (f" in each of {samples} folders" if samples > 1 else ""))


def check_model(command: str, name: str) -> None:
    """Whether a model folder has the stages of a command; its weights are not read.

    Raises:
        InputError: no model folder, or a stage is missing.
    """
    _, components = read_index(model_folder(name))
    for stage in _STAGES[command]:
        if not any(networks <= components.keys() for networks in _NETWORKS[stage]):
            raise InputError("model", f"{name} has no {stage} stage, which {command} needs")


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
        import torch

        from mask2iv.pipelines.pipeline import Mask2IVPipeline

        self.name = name
        self.seconds: dict[str, float] = {}
        if sampling.threads:
            torch.set_num_threads(sampling.threads)
        self.device = device = pick_device(sampling.device)
        acceleration.check(device)
        with self._timed("load"):
            try:
                self.pipeline = Mask2IVPipeline.from_pretrained(sampling.model, acceleration.torch_dtype)
            except InputError as error:
                raise (error if error.field.startswith("model") else error.within("model")) from error
            with enough_memory():
                acceleration.apply(self.pipeline.requires_grad_(False), device)
        self._progress = progress
        self.settings: dict[str, Any] = {
            "model": {"name": sampling.model, "sha256": weight_hashes(model_folder(sampling.model))},
            "device": str(device),
            **acceleration.settings,
            "threads": torch.get_num_threads(),
            "batch_size": batch_size,
        }
        self._sample(sampling)

    def _sample(self, sampling: Sampling) -> None:
        config = self.pipeline.config
        defaults = {"trajectory": config.num_inference_steps, "video": config.video_num_inference_steps}
        self.steps = {stage: sampling.steps or defaults[stage] for stage in _STAGES[self.name]}
        sampler = sampling.sampler or config.sampler
        try:
            self.pipeline.solver(sampler).set_timesteps(max(self.steps.values()))
        except InputError as error:
            raise (error.about("steps") if error.field == "num_inference_steps" else error) from error
        self._guidance = Guidance()
        self._options = SamplingOptions(batch_size=self.settings["batch_size"], sampler=sampler)
        self.settings |= {"sampler": sampler, "steps": self.steps, "num_frames": config.num_frames}

    def again(self, name: str, sampling: Sampling) -> LoadedModel:
        """The same networks for another run, with a record of its own; nothing is loaded.

        Args:
            name: of its command.
            sampling: its steps and its sampler; model, device and threads stay.

        Raises:
            InputError: not with these numbers.
        """
        other = copy.copy(self)
        other.name, other.seconds, other.settings = name, {}, dict(self.settings)
        other._sample(sampling)
        return other

    def settle(self, guidance: GuidanceOptions, size: tuple[int, int] | None) -> None:
        """Resolves the settings of stage 1.

        Raises:
            InputError: the model cannot make this size.
        """
        config = self.pipeline.config
        height, width = self.pipeline.size(*(size or (None, None)))
        scales = {name: getattr(guidance, name) for name in ("guidance_scale", "target_guidance_scale")}
        self.settings |= {"height": height, "width": width, "fps": config.fps}
        self.settings |= {name: getattr(config, name) if scale is None else scale for name, scale in scales.items()}
        self._guidance = Guidance(*(self.settings[name] for name in scales))

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of what is made, once that is settled."""
        return self.settings["height"], self.settings["width"]

    def fitted(self, scene: Scene, fitting: Fitting) -> Scene:
        """A scene at the settled size. Raises InputError as :meth:`mask2iv.stages.scene.Scene.at`."""
        return scene.at(self.size, *self.pipeline.fitting(fitting.fit, fitting.fit_scale))

    def fit_record(self, fitting: Fitting) -> dict[str, Any]:
        """The fit for the manifest, with the model's defaults."""
        fit, scale = self.pipeline.fitting(fitting.fit, fitting.fit_scale)
        return {"fit": fit, **({"fit_scale": scale} if fit == "centre" else {})}

    def tell_of_prompts(self, prompts: Iterable[str | None]) -> None:
        """Says how prompts are read, names the words that the model does not know, and what is cut off."""
        given = list(dict.fromkeys(prompt for prompt in prompts if prompt))
        for prompt in given:
            read = self.pipeline.prompts.read(prompt)
            if read != prompt:
                print(f'mask2iv: prompt: "{prompt}" read as "{read}"', file=sys.stderr)
        for problem in self.pipeline.prompts.problems(given):
            print(f"mask2iv: warning: --prompt: {problem}", file=sys.stderr)

    def prompt_record(self, prompt: str | None) -> dict[str, Any]:
        """A prompt for the manifest: as given, and where that differs as it is read and what of it is cut off."""
        record: dict[str, Any] = {"prompt": prompt or None}
        if prompt:
            read, cut = self.pipeline.prompts.read(prompt), self.pipeline.prompts.cut_off(prompt)
            record |= {"prompt_read_as": read} if read != prompt else {}
            record |= {"prompt_cut_off": cut} if cut else {}
        return record

    def make(self, scenes: Sequence[Scene], seeds: Sequence[int]) -> list[tuple[Trajectory, UInt8Array | None]]:
        """Trajectory and, where the command has stage 2, video of each scene, which is of the settled size."""
        if "video" not in self.steps:
            return [(one, None) for one in self.predict(scenes, seeds)]
        options = replace(self._options, steps=self.steps["trajectory"], guidance=self._guidance)
        with enough_memory(), _told_already():
            video = replace(options, steps=self.steps["video"])
            output = self.pipeline.generate(scenes, seeds, options, video, progress=self._progress)
        self.seconds |= output.seconds
        return list(zip(output.trajectory, output.frames, strict=True))

    def predict(
        self, scenes: Sequence[Scene], seeds: Sequence[int], callback: StepCallback | None = None
    ) -> list[Trajectory]:
        """Stage 1 of scenes of the settled size; `callback` is called after each step, as by the pipeline."""
        options = replace(self._options, steps=self.steps["trajectory"], guidance=self._guidance)
        with self._timed("trajectory"), enough_memory(), _told_already():
            return self.pipeline.predict(scenes, seeds, options, callback, self._progress)

    def render(
        self, requests: Sequence[VideoRequest], seeds: Sequence[int], callback: StepCallback | None = None
    ) -> list[UInt8Array]:
        """Stage 2: uint8 [T, H, W, 3] each; `callback` is called after each step, as by the pipeline."""
        options = replace(self._options, steps=self.steps["video"])
        with self._timed("video"), enough_memory():
            return self.pipeline.render_requests(requests, seeds, options, callback, self._progress)

    def record(
        self,
        inputs: Mapping[str, Any],
        own: Mapping[str, Any],
        placement: Placement | None,
        pictures: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """The manifest: what was given, what it resolved to, what the last stages took, what came out.

        Args:
            inputs: record of what was read.
            own: settings of this result beside the common ones.
            placement: which part of the picture it shows.
            pictures: :func:`mask2iv.generation.records.digests` of the result.
        """
        failure = self.pipeline.compile_failure
        return {
            "command": self.name,
            "inputs": inputs,
            "settings": {**self.settings, **own},
            **({} if placement is None else {"placement": placement.record}),
            **({} if pictures is None else {"pictures": pictures}),
            "seconds": self.seconds,
            **({} if failure is None else {"not_compiled": failure}),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
            "hardware": hardware(self.device),
        }

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)


@contextmanager
def _told_already() -> Iterator[None]:
    """Without the pipeline's warnings of prompts, which :meth:`LoadedModel.tell_of_prompts` prints."""
    from mask2iv.prompts.reader import PromptWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PromptWarning)
        yield


def write_result(
    folder: Path,
    output: Output,
    scene: Scene,
    trajectory: Trajectory,
    video: UInt8Array | None,
    record: Mapping[str, Any],
) -> None:
    """Writes trajectory, filmstrip, manifest and, where there is one, the video. The scene is of the result's size.

    The film that was asked for carries its record: the video, or of stage 1 alone that of the trajectory.
    """
    comment = comment_of(record)
    if video is None:
        write_trajectory(folder, trajectory, comment)
        write_animations(folder, output, "trajectory", labels_to_rgb(trajectory.labels), trajectory.fps)
    else:
        write_trajectory(folder, trajectory)
        write_video(folder / "video.mp4", video, trajectory.fps, comment=comment)
        write_animations(folder, output, "video", video, trajectory.fps)
    write_filmstrip(folder, input_pictures(scene), trajectory, video)
    write_json(folder / MANIFEST, record)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
