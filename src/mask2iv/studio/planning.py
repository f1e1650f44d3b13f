"""Stage 1 in the studio: several trajectories of one scene, as many seeds, and what to look at of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from mask2iv.contract import BoolArray, Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import remove_directory
from mask2iv.generation.candidates import Candidate, ranked
from mask2iv.generation.inputs import SceneInputs, check_sampling, complete_prompt, read_scene
from mask2iv.generation.options import Fitting, GuidanceOptions, Sampling, SceneOptions
from mask2iv.media.animations import write_animation
from mask2iv.media.filmstrip import overlay
from mask2iv.media.images import write_png
from mask2iv.stages.scene import Scene
from mask2iv.studio.drawing import Drawing
from mask2iv.studio.worker import Job

if TYPE_CHECKING:
    from mask2iv.generation.loaded import LoadedModel

Actor = Literal["hand", "robot"]

MOST_CANDIDATES = 12
MOST_INFERENCE_STEPS = 100
_TINT = 0.55
"""Share of the label colours in previews."""
_STAYS = 4
"""Frames for which the last one stays."""


@dataclass(frozen=True)
class Wish:
    """What is asked of stage 1 beside the drawing.

    Attributes:
        prompt: the instruction; "" for none.
        actor: who acts, where the prompt begins with the action.
        seed: of the first candidate; the next ones' are counted up.
        steps: sampling steps of both stages; None for the model's.
        candidates: how many.

    Raises:
        InputError: a number out of its range, or a prompt that begins with the other actor.
    """

    prompt: str = ""
    actor: Actor | None = None
    seed: int = 0
    steps: int | None = None
    candidates: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= MOST_CANDIDATES:
            raise InputError("candidates", f"must be 1 to {MOST_CANDIDATES}, found {self.candidates}")
        if self.steps is not None and not 1 <= self.steps <= MOST_INFERENCE_STEPS:
            raise InputError("steps", f"must be 1 to {MOST_INFERENCE_STEPS}, found {self.steps}")
        check_sampling(Sampling(seed=self.seed, steps=self.steps), self.candidates)
        if len(self.prompt) > 1000:
            raise InputError("prompt", f"has {len(self.prompt)} letters", "say it in fewer than 1000")
        complete_prompt(self.prompt, self.actor)


@dataclass(frozen=True, eq=False)
class Previewed(Candidate):
    """A candidate with a preview: a moving WebP of its trajectory over the picture."""

    preview: bytes


@dataclass(eq=False)
class Plan:
    """Stage 1 of one scene: what was asked, and the candidates so far.

    Attributes:
        wish: what was asked.
        folder: with the files of the scene, which a command line may name.
        options: those files and words.
        inputs: as they were read.
        scene: at the result's size, once the model has said it.
        candidates: in the order of their seeds.
        reading: how the model reads the prompt, and what it does not know of it; "" where there is nothing to say.
    """

    wish: Wish
    folder: Path
    options: SceneOptions
    inputs: SceneInputs
    scene: Scene | None = None
    candidates: list[Previewed] = field(default_factory=list)
    reading: str = ""

    @classmethod
    def write(cls, drawing: Drawing, wish: Wish, folder: Path) -> Plan:
        """Writes the files of a scene into a new folder and reads them back as the command line would.

        Raises:
            InputError: no object, or no condition; then nothing is left of the folder.
        """
        object_mask, target, actor = drawing.mask(), drawing.target, drawing.mask("actor")
        if object_mask is None:
            raise InputError("object", "nothing is selected", "click on it, draw a box around it, or paint it")
        if not wish.prompt.strip() and target is None:
            raise InputError(
                "prompt", "nothing says what shall happen", "write it, or drag the object to where it ends"
            )
        folder.mkdir(parents=True)
        try:
            options = SceneOptions(
                image=_written(folder / "image.png", drawing.picture),
                object_mask=_written(folder / "object_mask.png", object_mask),
                target_mask=None if target is None else _written(folder / "target_mask.png", target),
                actor_mask=None if actor is None else _written(folder / "actor_mask.png", actor),
                prompt=wish.prompt.strip() or None,
                actor=wish.actor if wish.prompt.strip() else None,
            )
            return cls(wish, folder, options, read_scene(options))
        except BaseException:
            remove_directory(folder)
            raise

    def work(self, sampling: Sampling) -> Callable[[LoadedModel, Job], None]:
        """The job of this plan: candidates appear one by one.

        Args:
            sampling: of the run.
        """

        def predict(model: LoadedModel, job: Job) -> None:
            run = model.again("trajectory", sampling)
            run.settle(GuidanceOptions(), None)
            self.reading = reading_of(run, self.inputs.scene.prompt)
            self.scene = scene = run.fitted(self.inputs.scene, Fitting())
            steps, count = run.steps["trajectory"], self.wish.candidates
            job.begin("Predicting trajectories", steps * count)
            for index in range(count):
                done = index * steps

                def told(
                    _: object, step: int, __: int, values: dict[str, object], done: int = done
                ) -> dict[str, object]:
                    job.step(done + step + 1, steps * count)
                    return values

                [trajectory] = run.predict([scene], [self.wish.seed + index], told)
                job.step(done + steps, steps * count)
                preview = self.folder / f"candidate-{index}.webp"
                write_animation(preview, moving_frames(scene.image, trajectory), trajectory.fps)
                self._add(trajectory, preview.read_bytes(), scene, run.pipeline.prompts.read(scene.prompt))

        return predict

    @property
    def ranked(self) -> list[tuple[int, Previewed]]:
        """The candidates with their indices, best first."""
        return sorted(enumerate(self.candidates), key=lambda pair: -pair[1].scores.total)

    def _add(self, trajectory: Trajectory, preview: bytes, scene: Scene, prompt: str) -> None:
        """Adds a candidate, and scores all anew: some scores are of a candidate beside the others."""
        drawn = [*(one.trajectory for one in self.candidates), trajectory]
        previews = [*(one.preview for one in self.candidates), preview]
        seeds = range(self.wish.seed, self.wish.seed + len(drawn))
        scores = {one.seed: one.scores for one in ranked(drawn, seeds, scene, prompt)}
        parts = zip(seeds, drawn, previews, strict=True)
        self.candidates = [Previewed(seed, one, scores[seed], shown) for seed, one, shown in parts]


def reading_of(model: LoadedModel, prompt: str) -> str:
    """How a model reads a prompt and what it does not know of it, for people; "" where there is nothing to say."""
    if not prompt:
        return ""
    prompts = model.pipeline.prompts
    read = prompts.read(prompt)
    said = [f"Read as “{read}”."] if read != prompt else []
    return " ".join([*said, *(f"{problem[0].upper()}{problem[1:]}." for problem in prompts.problems([prompt]))])


def moving_frames(image: UInt8Array, trajectory: Trajectory) -> UInt8Array:
    """A trajectory over its picture, uint8 [T + 4, H, W, 3]: the last frame stays a moment, so that the end is seen.

    Args:
        image: uint8 [H, W, 3], of the trajectory's size.
        trajectory: T frames.
    """
    frames = overlay(np.repeat(image[None], trajectory.num_frames, axis=0), trajectory.labels, _TINT)
    return np.concatenate([frames, np.repeat(frames[-1:], _STAYS, axis=0)])


def _written(path: Path, array: UInt8Array | BoolArray) -> Path:
    write_png(path, array)
    return path
