"""Several trajectories drawn for one scene, scored, best first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv.contract import Trajectory
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.media.filmstrip import filmstrip
from mask2iv.media.images import write_png
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.scoring.score import WEIGHTS, Scores, score, with_agreement
from mask2iv.trajectories.storage import save_trajectory_file

Predict = Callable[[Sequence[Scene], Sequence[int]], list[Trajectory]]
"""Stage 1: one trajectory per scene and seed."""

MOST = 1000
"""Most candidates of one scene."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One of the trajectories that were drawn for a scene.

    Attributes:
        seed: with it alone, the scene has this trajectory.
        trajectory: of the scene's size.
        scores: its total is what candidates are ranked by.
    """

    seed: int
    trajectory: Trajectory
    scores: Scores


def draw_candidates(
    predict: Predict, scene: Scene, seeds: Sequence[int], read_prompt: Callable[[str], str] | None = None
) -> list[Candidate]:
    """One candidate per seed, best first; equal ones in the order of their seeds.

    With a pipeline, ``predict`` is ``lambda scenes, seeds: pipe.predict(scenes, seeds, options)``, ``read_prompt``
    ``pipe.prompts.read``.

    Args:
        predict: draws them.
        scene: at the size to predict at.
        seeds: one or more, all different.
        read_prompt: gives a prompt in the captions' words, in which directions are known; None: as it is.

    Raises:
        InputError: no seeds, or one twice; or what `predict` raises.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise InputError("seeds", f"must be one or more, all different, found {list(seeds)}")
    prompt = scene.prompt if read_prompt is None or not scene.prompt else read_prompt(scene.prompt)
    drawn = predict([scene] * len(seeds), seeds)
    return ranked(drawn, seeds, scene, prompt)


def ranked(drawn: Sequence[Trajectory], seeds: Sequence[int], scene: Scene, prompt: str) -> list[Candidate]:
    """Trajectories of one scene as candidates, best first; the prompt in the captions' words."""
    alone = [score(one, scene.object_mask, scene.target_mask, prompt) for one in drawn]
    scores = with_agreement(alone, drawn)
    found = [Candidate(*parts) for parts in zip(seeds, drawn, scores, strict=True)]
    return sorted(found, key=lambda candidate: -candidate.scores.total)


def write_candidates(folder: Path, candidates: Sequence[Candidate]) -> None:
    """Writes ``scores.json``, ``candidates/seed-N.npz`` and ``candidates.png``, a filmstrip of all, best first."""
    write_json(folder / "scores.json", scores_record(candidates))
    (folder / "candidates").mkdir()
    for one in candidates:
        save_trajectory_file(one.trajectory, folder / "candidates" / f"seed-{one.seed}.npz")
    rows = [
        (f"{rank}. seed {one.seed}, score {one.scores.total:.3f}", labels_to_rgb(one.trajectory.labels))
        for rank, one in enumerate(candidates, 1)
    ]
    write_png(folder / "candidates.png", filmstrip(rows))


def scores_record(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """What ``scores.json`` holds: the candidates' scores, best first, and what each score counts."""
    return {
        "weights": WEIGHTS,
        "candidates": [{"rank": rank, "seed": one.seed, **one.scores.record} for rank, one in enumerate(candidates, 1)],
    }


def check_candidates(candidates: int, keep: int, samples: int = 1) -> None:
    """Raises InputError for numbers of candidates, of those kept and of samples that do not go together."""
    if not 1 <= candidates <= MOST:
        raise InputError("candidates", f"must be between 1 and {MOST}, found {candidates}")
    if candidates > 1 and samples != 1:
        raise InputError("samples", "`candidates` draws several, too", "give one of the two")
    if keep < 1 or keep > candidates:
        raise InputError("keep", f"must be between 1 and the {candidates} candidates, found {keep}")
