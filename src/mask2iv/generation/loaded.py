"""A model that is loaded once, and the record of what is made with it."""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mask2iv.contract import Placement, Trajectory, UInt8Array
from mask2iv.devices import pick_device
from mask2iv.errors import InputError, warn
from mask2iv.generation.acceleration import Acceleration, enough_memory
from mask2iv.generation.candidates import Candidate, draw_candidates
from mask2iv.generation.options import Fitting, GuidanceOptions, Sampling
from mask2iv.manifest import hardware, versions, weight_hashes
from mask2iv.pipelines.folder import model_folder, read_index
from mask2iv.stages.interfaces import Guidance, SamplingOptions, VideoRequest
from mask2iv.stages.scene import Scene

if TYPE_CHECKING:
    from mask2iv.pipelines.two_stages import StepCallback

_NETWORKS = {
    "trajectory": ({"planner", "painter"}, {"trajectory_unet", "trajectory_resampler"}),
    "video": ({"video_unet", "video_resampler"},),
}
"""What makes a stage: one of these sets of components."""
_STAGES = {"generate": ("trajectory", "video"), "trajectory": ("trajectory",), "render": ("video",)}


def check_model(command: str, name: str) -> None:
    """Whether a model folder has the stages of a command; its weights are not read.

    Raises:
        InputError: no model folder, or a stage is missing.
    """
    _, components = read_index(model_folder(name))
    for stage in _STAGES[command]:
        if not any(networks <= components.keys() for networks in _NETWORKS[stage]):
            raise InputError("model", f"{name} has no {stage} stage, which {command} needs")


@dataclass(frozen=True, eq=False)
class Made:
    """One result.

    Attributes:
        seed: with it alone, the same is made.
        trajectory: T frames of the settled size.
        video: uint8 [T, H, W, 3]; None where the command has no stage 2.
        candidates: what the trajectory was chosen from, best first; empty where there was no choice.
    """

    seed: int
    trajectory: Trajectory
    video: UInt8Array | None = None
    candidates: Sequence[Candidate] = ()

    @property
    def record(self) -> dict[str, Any]:
        """How it was chosen, for a manifest; empty where there was no choice."""
        if not self.candidates:
            return {}
        chosen = next(one for one in self.candidates if one.seed == self.seed)
        return {"score": round(chosen.scores.total, 5)}


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
        self.pipeline.prompts.warns = False  # tell_of_prompts says it
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
            warn("prompt", problem)

    def prompt_record(self, prompt: str | None) -> dict[str, Any]:
        """A prompt for the manifest: as given, and where that differs as it is read and what of it is cut off."""
        record: dict[str, Any] = {"prompt": prompt or None}
        if prompt:
            read, cut = self.pipeline.prompts.read(prompt), self.pipeline.prompts.cut_off(prompt)
            record |= {"prompt_read_as": read} if read != prompt else {}
            record |= {"prompt_cut_off": cut} if cut else {}
        return record

    def make(self, scenes: Sequence[Scene], seeds: Sequence[int], candidates: int = 1) -> list[Made]:
        """Trajectory and, where the command has stage 2, video of each scene, which is of the settled size.

        With several candidates it is the best of those with the seeds from the scene's on.
        """
        if candidates > 1:
            return [self.best(scene, seed, candidates)[0] for scene, seed in zip(scenes, seeds, strict=True)]
        if "video" not in self.steps:
            return [Made(seed, one) for seed, one in zip(seeds, self.predict(scenes, seeds), strict=True)]
        options = replace(self._options, steps=self.steps["trajectory"], guidance=self._guidance)
        with enough_memory():
            video = replace(options, steps=self.steps["video"])
            output = self.pipeline.generate(scenes, seeds, options, video, progress=self._progress)
        self.seconds |= output.seconds
        return [Made(*parts) for parts in zip(seeds, output.trajectory, output.frames, strict=True)]

    def best(self, scene: Scene, seed: int, candidates: int, keep: int = 1) -> list[Made]:
        """The best `keep` of candidates with the seeds from `seed` on, best first; all candidates go with each.

        Trajectory and video are those that :meth:`make` makes with the candidate's seed.
        """
        seeds = range(seed, seed + candidates)
        drawn = draw_candidates(self.predict, scene, seeds, self.pipeline.prompts.read)
        kept = drawn[:keep]
        if "video" not in self.steps:
            return [Made(one.seed, one.trajectory, None, drawn) for one in kept]
        renderer = self.pipeline.renderer
        prompt = scene.prompt if renderer is not None and renderer.takes_text else ""
        requests = [VideoRequest(scene.image, one.trajectory, prompt) for one in kept]
        videos = self.render(requests, [one.seed for one in kept])
        return [Made(one.seed, one.trajectory, video, drawn) for one, video in zip(kept, videos, strict=True)]

    def predict(
        self, scenes: Sequence[Scene], seeds: Sequence[int], callback: StepCallback | None = None
    ) -> list[Trajectory]:
        """Stage 1 of scenes of the settled size; `callback` is called after each step, as by the pipeline."""
        options = replace(self._options, steps=self.steps["trajectory"], guidance=self._guidance)
        with self._timed("trajectory"), enough_memory():
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
