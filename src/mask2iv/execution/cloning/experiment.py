"""Does generated data help? Policies cloned from true and generated demonstrations, in the same scenes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from mask2iv.errors import InputError
from mask2iv.execution.cloning.collecting import SERIES, Attempted, collect, scenes
from mask2iv.execution.cloning.episodes import Episode
from mask2iv.execution.cloning.learning import Recipe, train
from mask2iv.execution.cloning.network import Policy
from mask2iv.execution.cloning.rollout import roll_out
from mask2iv.execution.cloning.views import TableView
from mask2iv.execution.measuring.benchmark import SceneOfClip
from mask2iv.execution.measuring.journal import Journal
from mask2iv.execution.measuring.predictions import Predictor
from mask2iv.execution.physics.success import judge
from mask2iv.execution.physics.trial import Outcome
from mask2iv.files import atomic_write
from mask2iv.media.videos import write_video
from mask2iv.sim.world.render import Renderer

PLANS = ("rest", "text", "oracle-motion")
"""Of :data:`~mask2iv.execution.measuring.origins.PLANS`, carried out in the policies' scenes."""


@dataclass(frozen=True)
class Arm:
    """What a policy is cloned from.

    Attributes:
        true, generated: how many demonstrations of each.
    """

    true: int
    generated: int = 0

    @property
    def name(self) -> str:
        counts = {"true": self.true, "generated": self.generated}
        return "+".join(f"{kind}-{count}" for kind, count in counts.items() if count)

    def episodes(self, out: Path, task: str, start: int) -> list[Episode]:
        """Its demonstrations of a task, as :func:`gather` wrote them: true ones from number `start` on, and the first
        generated ones."""
        return gathered(out, task, "true", self.true, start) + gathered(out, task, "generated", self.generated)


def arms(k: int) -> tuple[Arm, ...]:
    """The experiment: `k` true demonstrations, these and 10 `k` generated ones, the latter alone, 10 `k` true ones."""
    return Arm(k), Arm(k, 10 * k), Arm(0, 10 * k), Arm(10 * k)


def gather(
    out: Path, task: str, kind: str, count: int, predictor: Predictor | None, told: Callable[[Attempted], None]
) -> None:
    """Collect the first `count` demonstrations of a task, from scene 0 on: ``OUT/demonstrations/TASK-KIND.jsonl`` and a
    file each. Those that are there are kept."""
    folder = out / "demonstrations"
    journal = Journal(folder / f"{slug(task)}-{kind}.jsonl")
    rows, config = journal.rows(), scenes(task, "train")
    found, index = sum(not row["problem"] for row in rows), len(rows)
    if found >= count:
        return
    renderer = Renderer(config.height, config.width)
    try:
        while found < count:
            row, episode = collect(task, kind, index, renderer, predictor)
            if episode is not None:
                episode.save(folder / f"{slug(task)}-{kind}-{index:05d}.npz")
                found += 1
            journal.add(asdict(row))
            told(row)
            index += 1
    finally:
        renderer.close()


def gathered(out: Path, task: str, kind: str, count: int, start: int = 0) -> list[Episode]:
    """`count` demonstrations from number `start` on.

    Raises:
        InputError: there are not so many.
    """
    folder = out / "demonstrations"
    kept = [row for row in Journal(folder / f"{slug(task)}-{kind}.jsonl").rows() if not row["problem"]]
    chosen = kept[start : start + count]
    if len(chosen) < count:
        needed = start + count
        raise InputError("out", f"{folder} has {len(kept)} {kind} demonstrations of {task}, and {needed} are needed")
    return [Episode.load(folder / f"{slug(task)}-{kind}-{row['index']:05d}.npz") for row in chosen]


def trained(out: Path, task: str, arm: Arm, draw: int, k: int, recipe: Recipe | None = None) -> Policy:
    """The policy of an arm: ``OUT/policies/TASK-ARM-DRAW.safetensors``, trained if it is not there.

    Args:
        out: of the experiment.
        task, arm: what it is cloned from.
        draw: its seed, and which true demonstrations it is given: those from number 10 `k` `draw` on.
        k: of the experiment.
        recipe: of the training; None: the usual one.
    """
    path = out / "policies" / f"{slug(task)}-{arm.name}-{draw}.safetensors"
    if path.is_file():
        policy = Policy()
        policy.load_state_dict(load_file(path))
        return policy.eval()
    policy = train(arm.episodes(out, task, 10 * k * draw), draw, recipe)
    with atomic_write(path) as temporary:
        save_file(policy.state_dict(), temporary)
    return policy


def evaluate(
    out: Path,
    task: str,
    index: int,
    policies: Mapping[tuple[str, int], Policy],
    predictor: Predictor | None,
    renderer: Renderer,
    films: bool = False,
) -> list[dict[str, Any]]:
    """Let policies, and plans, do a task in test scene `index`, but for what ``OUT/trials.jsonl`` has already.

    Args:
        out: of the experiment.
        task: one of :data:`~mask2iv.execution.cloning.collecting.TASKS`.
        index: of the scene.
        policies: (name of an arm, draw) -> policy.
        predictor: for the plan "text"; None: no plans are carried out.
        renderer: of the configuration's size.
        films: whether to write films of policies, ``OUT/films``.

    Returns:
        The new lines.
    """
    journal = Journal(out / "trials.jsonl")
    there = {(row["arm"], row["draw"]) for row in journal.rows() if (row["task"], row["index"]) == (task, index)}
    wanted = [key for key in [*policies, *((name, 0) for name in PLANS if predictor)] if key not in there]
    if not wanted:
        return []
    scene = SceneOfClip(scenes(task, "test"), SERIES["test"], index, None, renderer, pictures=False)
    view = TableView(scene.camera, scene.clip.object_mask, scene.depth)
    new = []
    for name, draw in wanted:
        if name in PLANS:
            outcome = _planned(scene, name, predictor)
        else:
            outcome = roll_out(policies[name, draw], scene.trial(), view, renderer, films)
        if outcome.video is not None:
            write_video(out / "films" / f"{slug(task)}-{index:03d}-{name}-{draw}.mp4", outcome.video, 8.0)
        verdict = judge(scene.task, outcome)
        row = {
            "task": task,
            "index": index,
            "arm": name,
            "draw": draw,
            "object": scene.clip.object_name,
            "direction": scene.task.direction,
            "done": verdict.done,
            "at_target": verdict.at_target,
            "distance": round(verdict.distance, 4),
        }
        journal.add(row)
        new.append(row)
    return new


def _planned(scene: SceneOfClip, name: str, predictor: Predictor | None) -> Outcome:
    trial = scene.trial()
    if name == "rest":
        return trial.rest()
    assert predictor is not None
    trajectory = predictor(name, scene.clip, 0) if name == "text" else scene.clip.trajectory
    try:
        plan = scene.plan(name, trajectory, trial, leans=False)
    except InputError:
        return trial.rest()
    return trial.run(plan, fps=scene.clip.fps)


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return name.replace(" ", "-")
