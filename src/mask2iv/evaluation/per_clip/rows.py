"""One clip's outputs as a row of measures, plain JSON values throughout.

A row's measures are means over seeds; counts of frames are sums, so that shares can be computed from them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Required

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.data.index import CLIP_ID
from mask2iv.evaluation.measures import baselines, fidelity, metrics, scorecard
from mask2iv.evaluation.measures.paper import channel_miou
from mask2iv.evaluation.per_clip.catalogue import MEASURES, OBJECT_FATE
from mask2iv.evaluation.per_clip.measure import PASTED, STILL, TRUE_VIDEO, Features, Measurer
from mask2iv.evaluation.per_clip.outputs import END_TO_END, PREDICTIONS, VIDEO, Outputs
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.scoring import movement

Row = dict[str, Any]
_Count = Annotated[int, Field(ge=-(2**53), le=2**53)]
Measures = dict[str, _Count | float | None]


class StoredWay(TypedDict):
    """The movement that the caption names, and the share of seeds in which each trajectory goes that way."""

    group: str
    movement: Literal["left", "right", "up", "down", "clockwise", "counterclockwise"]
    right: dict[str, float]


class StoredRow(TypedDict, total=False):
    """A :data:`Row` in a file: what clip it is, seconds per stage, and measures by system.

    Systems that were not asked for are absent.
    """

    clip_id: Required[Annotated[str, Field(pattern=CLIP_ID)]]
    caption: Required[str]
    verb: Required[str]
    object_name: Required[str]
    actor: Required[str]
    seconds: Required[dict[str, float]]
    trajectory: dict[str, Measures]
    way: StoredWay | None
    reference: dict[str, Measures]
    video: Measures
    end_to_end: Measures
    predictions: Measures


TRIVIAL = ("object stays, no actor", "object slides, no actor")
TRUE = "true trajectories"
SYSTEMS = (VIDEO, END_TO_END, PREDICTIONS)
TITLES = {
    VIDEO: "stage 2, true trajectories",
    END_TO_END: "both stages, end to end",
    PREDICTIONS: "predictions",
    STILL: "first frame repeated",
    PASTED: "pasted object, no actor",
    TRUE_VIDEO: "true video",
}
_COUNTS = ("frames", "moving_frames", "touching_frames")
DETAILS = ("clip_id", "caption", "verb", "object_name", "actor")
"""Attributes of the clip that its row repeats."""


@dataclass(frozen=True)
class Ranking:
    """The measure that ranks clips.

    Attributes:
        name: "system/measure", a key of :func:`flat`.
        better: 1 where larger values are better, -1 where smaller ones are, 0 where clips are not ranked.
    """

    name: str
    better: int = 1

    def __call__(self, row: Row) -> float:
        value = flat(row).get(self.name)
        return -math.inf if value is None else value * self.better


def ranking(systems: Sequence[str], conditions: Sequence[str], chosen: Sequence[str]) -> Ranking:
    """Rank by the first system that makes videos: by PSNR where pixels change, or else by the next chosen metric.

    Without such a system, by the object's IoU in trajectories.
    """
    if not systems:
        return Ranking(f"stage 1 from {conditions[0]}/object_iou")
    measures = {"psnr": "psnr_changed", "ssim": "ssim", "lpips": "lpips", "v2v": "v2v", "t2v": "t2v",
                "interaction": "object_miou"}  # fmt: skip
    measure = next((measure for name, measure in measures.items() if name in chosen), None)
    if measure is None:
        return Ranking(f"{systems[0]}/psnr_changed", 0)
    return Ranking(f"{systems[0]}/{measure}", MEASURES[measure].better)


def clip_row(
    measurer: Measurer, clip: Clip, outputs: Outputs
) -> tuple[Row, dict[str, list[Features]], list[tuple[str, UInt8Array]]]:
    """Measure one clip's outputs.

    Returns:
        The row; features of its videos by system, one entry per seed; and the rows of its filmstrip.
    """
    row: Row = {**{name: getattr(clip, name) for name in DETAILS}, "seconds": outputs.seconds}
    strip = [(f"true video: {clip.caption}", clip.video), ("true trajectory", labels_to_rgb(clip.trajectory.labels))]
    if outputs.trajectories:
        row |= _trajectory_row(measurer, clip, outputs.trajectories)
        strip += [
            (f"stage 1 from {name}", labels_to_rgb(of_seeds[0].labels))
            for name, of_seeds in outputs.trajectories.items()
        ]
    features: dict[str, list[Features]] = {}
    if outputs.videos:
        reference, of_reference = measurer.references(clip)
        features |= {name: [found] for name, found in of_reference.items()}
        row["reference"] = reference
        for system, of_seeds in outputs.videos.items():
            row[system], features[system] = _video_row(measurer, clip, of_seeds)
            strip.append((TITLES[system], of_seeds[0][0]))
    return row, features, strip


def _trajectory_row(measurer: Measurer, clip: Clip, predicted: Mapping[str, list[Trajectory]]) -> Row:
    every = {
        **predicted,
        TRIVIAL[0]: [baselines.object_stays(clip)],
        TRIVIAL[1]: [baselines.object_slides(clip)],
        TRUE: [clip.trajectory],
    }
    direction = str(clip.metadata.get("direction", ""))
    way = movement.way_of(clip.verb, clip.object_name, direction, clip.object_mask)
    measured: Row = {"trajectory": {}, "way": None}
    for name, of_seeds in every.items():
        found = means([_trajectory_measures(measurer, clip, one) for one in of_seeds])
        if len(of_seeds) > 1:
            found["diversity"] = scorecard.trajectory_diversity(of_seeds)
        measured["trajectory"][name] = found
    if way is not None:
        right = {
            name: float(np.mean([movement.goes(one, way.movement) for one in of_seeds]))
            for name, of_seeds in every.items()
        }
        measured["way"] = {"group": way.group, "movement": way.movement, "right": right}
    return measured


def _trajectory_measures(measurer: Measurer, clip: Clip, trajectory: Trajectory) -> Row:
    distance, vanished = movement.final_distance(trajectory, clip.target_mask, clip.object_mask)
    moving, touching = movement.moving_and_touching(trajectory)
    measured: Row = {
        "final_distance": distance,
        "vanished": float(vanished),
        "object_iou": metrics.object_iou(trajectory, clip.trajectory),
        "actor_iou": metrics.actor_iou(trajectory, clip.trajectory),
        "frames": trajectory.num_frames - 1,
        "moving_frames": moving,
        "touching_frames": touching,
        **fidelity.actor_components(trajectory, clip.trajectory),
    }
    if measurer.convention == "paper":
        measured["channel_miou"] = channel_miou(trajectory, clip.trajectory)
    if "interaction" in measurer.chosen:
        card = scorecard.of_trajectory(trajectory, clip.target_mask, clip.object_mask)
        measured |= {name: card[name] for name in OBJECT_FATE}
    return measured


def _video_row(
    measurer: Measurer, clip: Clip, of_seeds: Sequence[tuple[UInt8Array, Trajectory]]
) -> tuple[Row, list[Features]]:
    measured = [measurer.of_video(clip, video, asked) for video, asked in of_seeds]
    found = means([one for one, _ in measured])
    if len(of_seeds) > 1:
        found["diversity"] = scorecard.video_diversity([video for video, _ in of_seeds])
    return found, [features for _, features in measured]


def means(of_seeds: Sequence[Mapping[str, float | None]]) -> Row:
    """Mean of each measure over seeds, sum of each count; None where no seed has a value."""
    found: Row = {}
    for name in of_seeds[0]:
        values = [value for one in of_seeds if (value := one[name]) is not None]
        total = sum(values)
        found[name] = total if name in _COUNTS else (total / len(values) if values else None)
    return found


def flat(row: Mapping[str, Any]) -> dict[str, float | None]:
    """A row's measures by "system/measure".

    Systems: those that make videos, "still", "pasted", "true", "stage 1 from CONDITION" and the trivial trajectories.
    """
    return {f"{system}/{name}": value for system, measured in systems_of(row) for name, value in measured.items()}


def systems_of(row: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float | None]]]:
    """Name and measures of each system of a row."""
    for name, measured in row.get("trajectory", {}).items():
        yield name if name in (*TRIVIAL, TRUE) else f"stage 1 from {name}", measured
    for name in SYSTEMS:
        if name in row:
            yield name, row[name]
    yield from row.get("reference", {}).items()
