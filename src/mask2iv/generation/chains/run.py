"""``mask2iv plan``: a chain of interactions, made step by step."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mask2iv.contract import BoolArray, Placement, Trajectory, UInt8Array
from mask2iv.devices import pick_device
from mask2iv.errors import InputError, within
from mask2iv.files import disk_faults, sha256_file, write_json
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.candidates import check_candidates, write_candidates
from mask2iv.generation.chains.drift import Drift, Thing, drift, joined, laid_over, plate_of, revealed
from mask2iv.generation.chains.naming import FoundObject, with_boxes
from mask2iv.generation.chains.plan_file import read_plan
from mask2iv.generation.inputs import (
    SceneInputs,
    check_fitting,
    check_sampling,
    check_size_and_scales,
    file_record,
    read_scene,
)
from mask2iv.generation.loaded import LoadedModel, Made, check_model
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling, SceneOptions
from mask2iv.generation.records import MANIFEST, comment_of, digests
from mask2iv.generation.results import result_folder, write_animations
from mask2iv.generation.run import write_result
from mask2iv.media.filmstrip import filmstrip, overlay
from mask2iv.media.fitting import place, placed_image, placed_mask
from mask2iv.media.images import write_png
from mask2iv.media.videos import write_video
from mask2iv.segmentation.interfaces import Detector
from mask2iv.segmentation.pretrained import load_detector, weight_files
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.alignment import object_transforms
from mask2iv.trajectories.labels import labels_to_rgb

OnDrift = Literal["anchor", "stop", "ignore"]
"""What is done when a chain has drifted: the next step begins from a frame made anew of the first picture, or there is
no next step, or it goes on."""
MOST_COVERED = 0.1
"""An actor may lie over this share of a step's object when the step begins."""
STOPPED = 3
"""Exit status when a chain stopped before its last step."""


@dataclass(frozen=True, eq=False)
class DoneStep:
    """A step that was made.

    Attributes:
        scene: what it began with.
        made: trajectory and video.
        drift: of its last frame.
        anchored: whether the next step begins from a frame made anew.
    """

    scene: Scene
    made: Made
    drift: Drift
    anchored: bool


@dataclass
class Chain:
    """A chain being made: where it stands.

    Attributes:
        first: the picture that it began with, at the result's size, uint8 [H, W, 3].
        first_actor: where that shows an actor, bool [H, W].
        frame: with which the next step begins.
        actor: where that frame shows an actor, bool [H, W].
        masks: where each object is, by the step that named it first.
        things: each object's look and motion, likewise.
        done: the steps so far.
    """

    first: UInt8Array
    first_actor: BoolArray
    frame: UInt8Array
    actor: BoolArray
    masks: dict[int, BoolArray]
    things: dict[int, Thing]
    done: list[DoneStep] = field(default_factory=list)

    def take(self, scene: Scene, made: Made, origin: int, on_drift: OnDrift) -> DoneStep:
        """Goes on with what a step made of an object, and checks it."""
        assert made.video is not None
        trajectory = made.trajectory
        if self.done:
            others = [thing for index, thing in self.things.items() if index != origin]
            plate = plate_of(self.first, self.first_actor, self.things.values(), others)
            made = replace(made, video=revealed(made.video, trajectory.labels, plate))
        assert made.video is not None
        last = made.video[-1]
        motion = object_transforms(trajectory.labels)[-1]
        self.things[origin] = replace(self.things[origin], motion=joined(motion, self.things[origin].motion))
        if trajectory.object[-1].any():
            self.masks[origin] = trajectory.object[-1]
        self.actor = trajectory.actor[-1]
        moved = [mask for thing in self.things.values() for mask in (thing.first, thing.now)]
        found = drift(self.first, last, trajectory.labels[-1], self.things[origin], moved)
        anew = bool(found.problems) and on_drift == "anchor"
        self.frame = last
        if anew:
            things = self.things.values()
            self.frame = plate_of(self.first, self.first_actor, things, things)
            self.frame[self.actor] = last[self.actor]
        step = DoneStep(scene, made, found, anew)
        self.done.append(step)
        return step


def run_plan(
    path: Path,
    fitting: Fitting,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    candidates: int = 1,
    on_drift: OnDrift = "anchor",
    detector_weights: str | None = None,
) -> int:
    """Makes the steps of a plan, each from the last frame of the one before, and one video of them all.

    Args:
        path: of the plan.
        fitting, guidance, sampling, acceleration, output: for all steps.
        candidates: trajectories drawn for each step; on_drift: see :data:`OnDrift`.
        detector_weights: folder or hub name of Grounding DINO, for objects that are named in words alone.

    Returns:
        0, or :data:`STOPPED`.

    Raises:
        InputError: a plan or options that cannot be used; nothing is written then.
    """
    check_candidates(candidates, 1)
    plan, options, origins, sought = read_plan(path)
    check_sampling(sampling, candidates + len(options))
    check_fitting(fitting)
    size = check_size_and_scales(guidance, None)
    check_model("generate", sampling.model)
    detector = _detector(detector_weights, sampling.device) if sought else None
    with within(f"plan: {path}"):
        options, found = with_boxes(options, sought, detector)
    read = [_read(one, index, origins) for index, one in enumerate(options)]
    files = [path, *dict.fromkeys(file for one in options for file in one.files)]
    with result_folder(output, files) as folder:
        model = LoadedModel("generate", sampling, acceleration)
        model.settle(guidance, size)
        model.tell_of_prompts(one.scene.prompt for one in read)
        chain, placement = _begin([one.scene for one in read], origins, model, fitting)
        for index, (one, origin) in enumerate(zip(read, origins, strict=True)):
            own_seed = plan.steps[index].seed
            seed = sampling.seed + index if own_seed is None else own_seed
            print(f"step {index + 1} of {len(read)}: {one.scene.prompt or 'no prompt'}, seed {seed}", file=sys.stderr)
            scene = _scene_of(one.scene, chain, origin, placement)
            [made] = model.make([scene], [seed], candidates)
            step = chain.take(scene, made, origin, on_drift)
            with disk_faults(output.out):
                _write_step(folder / f"step-{index + 1:02d}", model, output, one.record, step, fitting)
            for problem in step.drift.problems:
                done = {"anchor": "begin anew from the picture", "stop": "stop", "ignore": "go on"}[on_drift]
                print(f"mask2iv: warning: step {index + 1}: {problem}; {done}", file=sys.stderr)
            if step.drift.problems and on_drift == "stop":
                break
        with disk_faults(output.out):
            about = {"plan": file_record(path), **_detections(found, detector_weights)}
            _write_chain(folder, output, chain, model, about, len(read), on_drift)
    print(f"{output.out}: video.mp4, trajectory.mp4, filmstrip.png, {len(chain.done)} of {len(read)} steps")
    return 0 if len(chain.done) == len(read) else STOPPED


def _read(options: SceneOptions, index: int, origins: Sequence[int]) -> SceneInputs:
    """A step's inputs at the picture's size. One of an earlier object gets a mask when that is known."""
    with within(f"steps[{index}]"):
        return read_scene(options, needs_object=origins[index] == index)


def _begin(
    scenes: Sequence[Scene], origins: Sequence[int], model: LoadedModel, fitting: Fitting
) -> tuple[Chain, Placement]:
    """The chain before its first step: one part of the picture for all of them."""
    named = {index: scene for index, scene in enumerate(scenes) if origins[index] == index}
    masks = [scene.object_mask for scene in named.values()]
    masks += [scene.target_mask for scene in scenes if scene.target_mask is not None]
    fit, scale = model.pipeline.fitting(fitting.fit, fitting.fit_scale)
    placement = place(scenes[0].size, model.size, fit, scale, masks)
    first = placed_image(scenes[0].image, placement)
    actor = scenes[0].actor_mask
    placed: dict[int, BoolArray] = {index: placed_mask(scene.object_mask, placement) for index, scene in named.items()}
    for index, mask in placed.items():
        if not mask.any():
            raise InputError(f"steps[{index}].object_mask", "it is not in the part of the picture that is used")
    things = {index: Thing(mask, np.eye(2, 3)) for index, mask in placed.items()}
    begun = np.zeros(model.size, dtype=np.bool_) if actor is None else placed_mask(actor, placement)
    return Chain(first, begun, first, begun, placed, things), placement


def _scene_of(scene: Scene, chain: Chain, origin: int, placement: Placement) -> Scene:
    """A step's scene, as its turn comes: on the frame that there is by then."""
    thing, frame = chain.masks[origin], chain.frame
    known = chain.things[origin]
    if (known.now & chain.actor).sum() > MOST_COVERED * known.now.sum():
        # A renderer takes an object's look from its first frame: what the actor hides of it is laid over the actor.
        thing, frame = known.now, laid_over(chain.frame, chain.first, known)
    target = None if scene.target_mask is None else placed_mask(scene.target_mask, placement)
    path = None if scene.object_path is None else scene.object_path.placed(placement)
    actor = chain.actor & ~thing
    return Scene(frame, thing, scene.prompt, target, actor if actor.any() else None, placement, path)


def _write_step(
    folder: Path, model: LoadedModel, output: Output, inputs: Any, step: DoneStep, fitting: Fitting
) -> None:
    own = {**model.prompt_record(step.scene.prompt), **model.fit_record(fitting), "seed": step.made.seed}
    made = step.made
    record = model.record(inputs, own | made.record, step.scene.placement, digests(made.trajectory, made.video))
    # The step begins with a frame that no file holds: by itself it cannot be made again.
    record["command"] = "plan step"
    folder.mkdir()
    write_png(folder / "image.png", step.scene.image)
    write_png(folder / "object_mask.png", step.scene.object_mask)
    write_result(folder, output, step.scene, made.trajectory, made.video, record)
    if made.candidates:
        write_candidates(folder, made.candidates)


def _detector(weights: str | None, device: str) -> Detector | None:
    """Grounding DINO, or none without weights. Raises InputError for weights that cannot be used."""
    if weights is None:
        return None
    try:
        return load_detector("grounding-dino", weights, str(pick_device(device)))
    except InputError as error:
        raise error.about("detector_weights") from error


def _detections(found: Mapping[int, FoundObject], weights: str | None) -> dict[str, Any]:
    if not found:
        return {}
    files = {path.name: sha256_file(path) for path in weight_files("grounding-dino", weights)}
    objects = [{"step": step + 1, **one.record} for step, one in found.items()]
    return {"detector": {"weights": weights, "sha256": files, "found": objects}}


def _wish(scene: Scene) -> str:
    return "to the target" if scene.object_path is None else "along the path"


def _write_chain(
    folder: Path, output: Output, chain: Chain, model: LoadedModel, about: Any, steps: int, on_drift: OnDrift
) -> None:
    """The one video, its trajectory, a filmstrip of all steps, and the manifest."""
    videos = [step.made.video for step in chain.done if step.made.video is not None]
    labels = [step.made.trajectory.labels for step in chain.done]
    # A step's first frame is the last one of the step before.
    video = np.concatenate([videos[0], *(one[1:] for one in videos[1:])])
    trajectory = Trajectory(np.concatenate([labels[0], *(one[1:] for one in labels[1:])]), model.settings["fps"])
    told = [
        {
            "prompt": step.scene.prompt or None,
            "seed": step.made.seed,
            "drift": step.drift.record,
            "problems": step.drift.problems,
            "anchored": step.anchored,
        }
        for step in chain.done
    ]
    record = {
        **model.record(about, {"on_drift": on_drift, "steps_asked": steps}, chain.done[0].scene.placement),
        "command": "plan",
        "steps": told,
    }
    write_video(folder / "video.mp4", video, trajectory.fps, comment=comment_of(record))
    write_animations(folder, output, "video", video, trajectory.fps)
    write_video(folder / "trajectory.mp4", labels_to_rgb(trajectory.labels), trajectory.fps)
    rows = []
    for number, step in enumerate(chain.done, 1):
        assert step.made.video is not None
        title = f"{number}. {step.scene.prompt or _wish(step.scene)}"
        rows += [(title, step.made.video), ("", overlay(step.made.video, step.made.trajectory.labels))]
    write_png(folder / "filmstrip.png", filmstrip(rows))
    write_json(folder / MANIFEST, record)
