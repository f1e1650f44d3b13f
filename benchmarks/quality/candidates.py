"""What the best of several candidates gains: python benchmarks/quality/candidates.py sim-hoi-test --draws draws/sim-hoi

Draws trajectories for the clips of a set, from the caption and from the target, with the seeds 0, 1 and so on for each
clip; ranks them as `mask2iv generate --candidates` does, without the true answer; and compares the first one, the one
that ranks best, the one that each score alone would choose, and the best there is (the oracle) by the true answer. What
is drawn is kept in --draws, and not drawn again.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from mask2iv.contract import Clip, Trajectory
from mask2iv.data.store import ClipSet
from mask2iv.evaluation.measures.metrics import Figure, actor_iou, mean_figure, object_iou
from mask2iv.generation.candidates import Candidate, ranked
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.scoring.movement import final_distance, moving_and_touching
from mask2iv.trajectories.scoring.score import WEIGHTS

CONDITIONS = ("text", "target")
MEASURES = {"target error (%)": -1, "moving object touches actor (%)": 1, "object mIoU": 1, "actor mIoU": 1}
"""By their titles: which of two values is better."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="clip set")
    parser.add_argument("--draws", type=Path, required=True, help="folder of what is drawn")
    parser.add_argument("--clips", type=int, default=32, help="the first N")
    parser.add_argument("--candidates", type=int, default=8)
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = ClipSet(args.data)
    for condition in CONDITIONS:
        rows = [
            _measured(clips[index], condition, args.draws / condition / f"{index:03d}.npz", args.candidates)
            for index in range(min(args.clips, len(clips)))
        ]
        _print(condition, rows)


def _measured(clip: Clip, condition: str, path: Path, count: int) -> dict[str, np.ndarray]:
    """Measures of each way to choose: {name: [MEASURES]}."""
    scene = _scene(clip, condition)
    drawn = [Trajectory(labels, clip.fps) for labels in _drawn(scene, path, count)]
    candidates = ranked(drawn, range(count), scene, scene.prompt)
    true = {one.seed: _true_measures(one.trajectory, clip) for one in candidates}
    table = np.array([true[seed] for seed in range(count)])
    chosen = {"the first": table[0], "the mean of all": table.mean(axis=0), "ranked best": true[candidates[0].seed]}
    for name in WEIGHTS:
        chosen[f"best by {name} alone"] = true[_best_by(candidates, name).seed]
    signs = np.array(list(MEASURES.values()))
    chosen["oracle"] = signs * (signs * table).max(axis=0)
    return chosen


def _scene(clip: Clip, condition: str) -> Scene:
    actor = clip.trajectory.actor[0]
    return Scene(
        clip.image,
        clip.object_mask,
        clip.caption if condition == "text" else "",
        clip.target_mask if condition == "target" else None,
        actor if actor.any() else None,
    )


def _drawn(scene: Scene, path: Path, count: int) -> np.ndarray:
    """uint8 [count, T, H, W]."""
    if path.is_file():
        return np.load(path)["labels"][:count]
    pipe = _pipeline()
    made = pipe.trajectory(
        scene.image,
        scene.object_mask,
        scene.prompt or None,
        scene.target_mask,
        scene.actor_mask,
        seed=0,
        num_videos_per_prompt=count,
        progress=False,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.stack([one.labels for one in made])
    np.savez_compressed(path, labels=labels)
    return labels


_LOADED: list[Mask2IVPipeline] = []


def _pipeline() -> Mask2IVPipeline:
    if not _LOADED:
        _LOADED.append(Mask2IVPipeline.from_pretrained("embedded"))
    return _LOADED[0]


def _best_by(candidates: list[Candidate], name: str) -> Candidate:
    """The best by one score; of equal ones, and where it does not apply, the one with the first seed."""
    in_order = sorted(candidates, key=lambda one: one.seed)
    return max(in_order, key=lambda one: getattr(one.scores, name) or 0.0)


def _true_measures(trajectory: Trajectory, clip: Clip) -> np.ndarray:
    moving, touching = moving_and_touching(trajectory)
    return np.array(
        [
            100 * final_distance(trajectory, clip.target_mask, clip.object_mask)[0],
            100 * touching / moving if moving else np.nan,
            object_iou(trajectory, clip.trajectory),
            actor_iou(trajectory, clip.trajectory),
        ]
    )


def _print(condition: str, rows: list[dict[str, np.ndarray]]) -> None:
    print(f"\nFrom the {condition}, {len(rows)} clips\n")
    print("| chosen |", " | ".join(MEASURES), "|")
    print("|---|" + "---:|" * len(MEASURES))
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        print(f"| {name} |", " | ".join(_cells([mean_figure(values[:, k]) for k in range(len(MEASURES))])), "|")
    gain = np.array([row["ranked best"] - row["the first"] for row in rows])
    print("| gain of the ranked best over the first |", " | ".join(_cells(_gains(gain))), "|", flush=True)


def _gains(gain: np.ndarray) -> list[Figure]:
    return [mean_figure(gain[:, k]) for k in range(gain.shape[1])]


def _cells(figures: list[Figure]) -> Iterator[str]:
    for figure, title in zip(figures, MEASURES, strict=True):
        digits = 1 if "%" in title else 3
        if figure.value is None or figure.low is None or figure.high is None:
            yield "-"
            continue
        yield f"{figure.value:.{digits}f} ({figure.low:.{digits}f} to {figure.high:.{digits}f})"


if __name__ == "__main__":
    main()
