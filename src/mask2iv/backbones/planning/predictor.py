"""Stage 1 in two levels: a planner draws where object and actor go, a painter turns that into masks.

An extension of the paper, whose stage 1 (:mod:`mask2iv.backbones.dynamicrafter.trajectory`) draws the masks themselves.
A network of embedded size predicts the average of all outcomes: no arm, and half an object. A plan has some twenty
numbers per frame, of which even a small network draws a sample and not an average. The object's mask is the first
frame's, moved, so that it cannot vanish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mask2iv.backbones.planning.conditions import (
    SceneFacts,
    given_motion,
    join_facts,
    join_maps,
    known_maps,
    scene_facts,
    without,
)
from mask2iv.backbones.planning.painter import MaskPainter
from mask2iv.backbones.planning.planner import InteractionPlanner, PlannerConditions, on_border
from mask2iv.contract import BoolArray, Label, Trajectory, UInt8Array
from mask2iv.diffusion.guidance import active_branches, chained_guidance
from mask2iv.diffusion.samplers import SamplingStep, draw_noise
from mask2iv.errors import InputError
from mask2iv.stages.config import PipelineConfig
from mask2iv.stages.interfaces import SamplingOptions, TextEncoder
from mask2iv.stages.sampling import OnStep, sample_in_batches, stage_generator
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.alignment import warp_mask
from mask2iv.trajectories.distances import enlarge_maps
from mask2iv.trajectories.measures import without_islands
from mask2iv.trajectories.morphology import contact_map
from mask2iv.trajectories.plan import ACTOR_NUMBERS, ACTORS, OBJECT_NUMBERS, InteractionPlan, actor_numbers

LEAST_SEEN = 0.2
"""Of the moved object at least this share is seen in each frame; where less would be, it lies in front of the actor."""
ISLAND = 0.1
"""Pieces of a mask below this share of its largest piece are not kept."""
MOST_GAP = 0.2
"""A gap between an object that moves and its actor is closed up to this share of the picture's height."""


class PlanningStage(nn.Module):
    """The trained networks of this stage 1.

    Raises:
        InputError: they do not belong together, or not to a model of `num_frames`.
    """

    def __init__(self, planner: InteractionPlanner, painter: MaskPainter, num_frames: int) -> None:
        super().__init__()
        if planner.num_frames != num_frames:
            raise InputError(
                "planner",
                f"it draws {planner.num_frames} frames, the model's config says num_frames {num_frames}",
                "the folder's model_index.json and its weights do not belong together; train the model again",
            )
        self.planner, self.painter = planner, painter
        if planner.code != painter.code:
            raise InputError(
                "planner",
                f"its shape code has {planner.code} numbers, the painter's {painter.code}",
                "the two do not belong together; train the planner after the painter",
            )

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the networks."""
        return next(self.parameters()).dtype


@dataclass(frozen=True, eq=False)
class DrawnPlan:
    """A plan and what it is painted with.

    Attributes:
        plan: of T frames.
        code: of the actors' shape, float [code].
        labels: of the first frame, uint8 [H, W].
        prompt: "" for none.
    """

    plan: InteractionPlan
    code: torch.Tensor
    labels: UInt8Array
    prompt: str


@dataclass(frozen=True, eq=False)
class PlanningPredictor:
    """The :class:`~mask2iv.stages.interfaces.TrajectoryPredictor` that draws plans and paints them.

    Attributes:
        stage: the trained networks.
        encoder: encodes prompts.
        config: sizes and sampling defaults.
    """

    stage: PlanningStage
    encoder: TextEncoder
    config: PipelineConfig

    takes_object_path = True

    @property
    def size_multiple(self) -> int:
        """See the interface."""
        return self.stage.painter.size_multiple

    def predict(self, scenes: Sequence[Scene], seeds: Sequence[int], options: SamplingOptions) -> list[Trajectory]:
        """See the interface."""
        return self.paint(self.draw(scenes, seeds, options))

    @torch.no_grad()
    def draw(self, scenes: Sequence[Scene], seeds: Sequence[int], options: SamplingOptions) -> list[DrawnPlan]:
        """One plan per scene, each from its own seed.

        Where a scene has the object's path, the object's numbers are those, from noise to data: they follow the
        straight line that flow matching has for known data, and the rest of the plan is drawn to go with them.

        Raises:
            InputError: a scene without a condition, or a path beside a target or beyond the frames.
        """
        for scene in scenes:
            scene.require_condition()
        steps = options.steps or self.config.num_inference_steps
        scales = options.guidance.scales(self.config)
        planner, encoder = self.stage.planner, self.encoder

        def draw(batch: list[int], on_step: OnStep) -> list[DrawnPlan]:
            chosen = [scenes[index] for index in batch]
            paths = [given_motion(scene, self.config.num_frames) for scene in chosen]
            facts = [
                scene_facts(scene.image, scene.labels, scene.target_mask, path)
                for scene, path in zip(chosen, paths, strict=True)
            ]
            text = torch.cat([encoder.text(scene.prompt) for scene in chosen]).to(self.stage.dtype)
            shape = (1, planner.state_size)
            noise = [draw_noise(shape, stage_generator(seeds[i], 1), encoder.device, text.dtype) for i in batch]
            conditions = join_facts(facts, text)
            empty = encoder.text("").to(text).expand_as(text)
            branches, guiding = _branches(conditions, empty, bool(chosen[0].prompt), scales)
            start = torch.cat(noise)
            # Of a batch, all scenes have a path or none has.
            known = None if paths[0] is None else planner.known_object(np.stack(paths), start)  # type: ignore[arg-type]
            states = _solve(planner, branches, guiding, scales[2], start, steps, on_step, known)
            plans, codes = planner.decode(states.float())
            drawn = zip(plans.cpu().double().numpy(), codes, facts, chosen, paths, strict=True)
            return [
                DrawnPlan(_settled(plan, one, _aspect(scene.labels), path), code, scene.labels, scene.prompt)
                for plan, code, one, scene, path in drawn
            ]

        keys = [
            (scene.size, bool(scene.prompt), scene.target_mask is not None, scene.object_path is not None)
            for scene in scenes
        ]
        return sample_in_batches(keys, options, draw)

    @torch.no_grad()
    def paint(self, drawn: Sequence[DrawnPlan]) -> list[Trajectory]:
        """The masks of plans, one plan at a time; the first frame's are those given."""
        return [_paint(self.stage.painter, self.encoder, one, self.config.fps) for one in drawn]


def _branches(
    conditions: PlannerConditions, empty: torch.Tensor, prompted: bool, scales: tuple[float, float, float]
) -> tuple[list[PlannerConditions], list[float]]:
    """Conditions from least to most, and the guidance scale of each step between them."""
    branches: list[PlannerConditions] = [conditions]
    steps: list[float] = []
    if prompted:
        branches.insert(0, without(conditions, text=empty))
        steps.insert(0, scales[0])
    if bool(conditions.has_target.any()):
        branches.insert(0, without(conditions, text=empty, target=True))
        steps.insert(0, scales[1])
    return branches, steps


def _solve(
    planner: InteractionPlanner,
    branches: list[PlannerConditions],
    scales: list[float],
    rescale: float,
    states: torch.Tensor,
    steps: int,
    on_step: OnStep,
    known: tuple[torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor:
    """States [B, S] from noise to data, by Heun's method: two evaluations a step.

    Of `known` numbers (bool [S] which, and their velocities [B, S]) the velocity is not asked for.
    """
    kept, chain = active_branches(scales)

    def velocity(states: torch.Tensor, time: float) -> torch.Tensor:
        times = torch.full((len(states),), time, device=states.device, dtype=states.dtype)
        drawn = chained_guidance([planner(states, times, branches[index]) for index in kept], chain, rescale)
        return drawn if known is None else torch.where(known[0], known[1], drawn)

    for index in range(steps):
        now, then = index / steps, (index + 1) / steps
        first = velocity(states, now)
        second = velocity(states + first / steps, then)
        states = states + (first + second) / (2 * steps)
        replaced = on_step(SamplingStep(index, steps, torch.tensor(round(999 * (1 - now))), states, None))
        states = states if replaced is None else replaced
    return states


def _aspect(labels: UInt8Array) -> float:
    """The width of a picture [H, W] in units of its height."""
    return (labels.shape[1] - 1) / (labels.shape[0] - 1)


def _settled(
    values: NDArray[np.float64], facts: SceneFacts, width: float, path: NDArray[np.float64] | None = None
) -> InteractionPlan:
    """The plan of drawn numbers [T, NUMBERS], with what is known put in.

    It begins at the first frame, and ends at the target, where there is one; the object stays in the picture, which is
    `width` wide, and actors reach its border. Corrections fade over the clip. A given `path`, the object's numbers
    [T, 4], is taken as it is.
    """
    values = values.copy()
    count = len(values)
    fade = np.linspace(1, 0, count)[:, None]
    thing = values[:, :OBJECT_NUMBERS]
    thing -= fade * thing[:1]
    ends = np.zeros((1, OBJECT_NUMBERS))
    if facts.has_target:
        thing += (1 - fade) * (facts.target - thing[-1:])
        ends = np.stack([ends[0], facts.target])
    if facts.has_actor:
        values[:, OBJECT_NUMBERS:] = _from_known_actors(values[:, OBJECT_NUMBERS:], facts.actors)
    # Within the picture and half to double size, or as far as start and target are.
    least, most = (
        np.array([*corner, np.log(size)]) for corner, size in (((0.03, 0.03), 0.5), ((width - 0.03, 0.97), 2))
    )
    least[:2] -= facts.start[:2]
    most[:2] -= facts.start[:2]
    thing[:, :3] = thing[:, :3].clip(
        np.minimum(least, ends[:, :3].min(axis=0)), np.maximum(most, ends[:, :3].max(axis=0))
    )
    if path is not None:
        thing[:] = path
    for slot in range(ACTORS):
        actor = actor_numbers(values, slot)
        tips = facts.start[:2] + thing[:, :2] + actor[:, 1:3]
        given = (torch.from_numpy(one) for one in (tips, actor[:, 3:5], actor[:, 5], np.full(count, width)))
        actor[:, 3:5] = on_border(*given).numpy()  # of one that is not there it is not read
    return InteractionPlan.from_array(values, (float(facts.start[0]), float(facts.start[1])))


def _from_known_actors(values: NDArray[np.float64], known: NDArray[np.float32]) -> NDArray[np.float64]:
    """Actors' numbers [T, 18] that begin as known [18], of one actor; what differs fades over a quarter of the clip.

    One that is drawn later only stays as it was until then. Where two are drawn to begin with, the one that is known is
    both of them in one mask, and says nothing of either.
    """
    first, second = values[:, :ACTOR_NUMBERS].copy(), values[:, ACTOR_NUMBERS:]
    if second[0, 0] > 0.5:
        return values
    quarter = max(len(values) // 4, 1)
    begins = int(np.argmax(first[:, 0] > 0.5)) if (first[:, 0] > 0.5).any() else len(values)
    start = min(begins, quarter)
    known = known[:ACTOR_NUMBERS]
    if begins <= quarter:
        fade = np.clip(1 - np.arange(len(values) - start) / quarter, 0, 1)[:, None]
        first[start:] += fade * (known - first[start])
    first[:start] = known
    return np.concatenate([first, second], axis=1)


# --- masks


def _paint(painter: MaskPainter, encoder: TextEncoder, drawn: DrawnPlan, fps: float) -> Trajectory:
    text = encoder.text(drawn.prompt).to(next(painter.parameters()).dtype)
    transforms = drawn.plan.transforms(drawn.labels.shape[0])
    known = join_maps([known_maps(drawn.labels, transforms)], text)
    numbers = torch.from_numpy(drawn.plan.to_array()).to(text)[None]
    start = torch.tensor([drawn.plan.start]).to(text)
    painted = painter(numbers, start, known, drawn.code.to(text)[None], text)
    maps = torch.stack([painted.actor[0], painted.thing[0]], dim=1).float()
    actors, things = enlarge_maps(maps).cpu().unbind(dim=1)
    first = drawn.labels == Label.OBJECT
    moved = [warp_mask(first, transform) for transform in transforms]
    frames = [drawn.labels]
    for index in range(1, len(moved)):
        frames.append(_composed(actors[index].numpy(), things[index].numpy(), moved[index], moved[index - 1]))
    return Trajectory(np.stack(frames), fps)


def _composed(
    actor: NDArray[np.float32], thing: NDArray[np.float32], moved: BoolArray, before: BoolArray
) -> UInt8Array:
    """Labels of a frame, from distances. A pixel inside both goes to the one with the larger distance."""
    seen = without_islands((thing > 0) & (thing >= actor), ISLAND)
    if seen.sum() < LEAST_SEEN * moved.sum():
        seen = moved
    arm = without_islands(actor > 0, ISLAND)
    if arm.any() and seen.any() and _shifted(moved, before):
        arm = _touching(arm, seen)
    labels = np.zeros(arm.shape, dtype=np.uint8)
    labels[arm] = Label.ACTOR
    labels[seen] = Label.OBJECT
    return labels


def _shifted(moved: BoolArray, before: BoolArray) -> bool:
    return bool((moved ^ before).sum() > 0.02 * max(int(before.sum()), 1))


def _touching(arm: BoolArray, thing: BoolArray) -> BoolArray:
    """The actor moved to the object, where a small gap is between them: no object moves untouched."""
    if contact_map(arm, thing).any():
        return arm
    rows, columns = np.nonzero(arm)
    away = cv2.distanceTransform((~thing).astype(np.uint8), cv2.DIST_L2, 5)[rows, columns]
    nearest = int(np.argmin(away))
    if away[nearest] > MOST_GAP * arm.shape[0]:
        return arm
    point = np.array([rows[nearest], columns[nearest]])
    others = np.argwhere(thing)
    goal = others[np.argmin(np.square(others - point).sum(axis=1))]
    down, right = (float(value) for value in goal - point)
    height, width = arm.shape
    shift = np.array([[1.0, 0.0, right], [0.0, 1.0, down]])
    # An arm goes on outside of the picture.
    moved = cv2.warpAffine(arm.astype(np.uint8), shift, (width, height), borderMode=cv2.BORDER_REPLICATE) > 0
    return moved & ~thing
