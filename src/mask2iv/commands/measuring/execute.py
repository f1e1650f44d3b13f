"""``mask2iv execute``: do the actions work? Trajectories executed by a robot arm in physics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mask2iv.errors import InputError
from mask2iv.execution.measuring.origins import NETWORK, PLANS
from mask2iv.extras import require
from mask2iv.pipelines.folder import model_folder, read_index

if TYPE_CHECKING:
    from mask2iv.execution.measuring.benchmark import Predict


@dataclass(frozen=True)
class Execute:
    """Execute mask trajectories by a robot arm in a physics simulation, and tell how often the action succeeds.

    Writes PLAN.jsonl with every attempt, PLAN.manifest.json with what it was made under, success.json and report.md,
    and prints the tables. Attempts that are there already are not made again, so an interrupted command goes on when
    called again. docs/execution.md states what counts as success.

        mask2iv execute --benchmark sim-robot --plans text,target,oracle --clips 100 --out success
    """

    out: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """Folder of the figures."""
    benchmark: Literal["sim-robot", "metaworld"] = "sim-robot"
    """Whose scenes. metaworld: eleven tasks of Meta-World from three cameras, see docs/metaworld.md."""
    plans: Annotated[str, tyro.conf.arg(metavar="NAME,NAME")] = "text,target,best,oracle,slide,rest"
    """What is executed. Of a model: text, target, text-target, best (of several from text), text-video (text, and the
    object's pixels in stage 2's video). True: oracle (masks), oracle-video (and the true video's pixels), oracle-table
    (masks, depth from an assumed table), oracle-motion, oracle-tool. Trivial: slide, rest. metaworld has text, oracle,
    oracle-motion, slide, rest and expert."""
    split: Literal["validation", "test"] = "test"
    """Part of sim-robot."""
    clips: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """The first N clips of the split; of metaworld the first N layouts of each task."""
    start: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Leave out the first N clips."""
    model: Annotated[str, tyro.conf.arg(metavar="embedded|FOLDER")] = "embedded"
    """The weights that come with the package, or a model folder."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of the model's draws."""
    candidates: Annotated[int, tyro.conf.arg(metavar="K")] = 8
    """Of how many candidates the plan "best" is the best."""
    films: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Write films of the first N clips of the split: masks beside the execution. Not of metaworld."""
    replans: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Of metaworld: plan again from a new picture up to N times where the task is not done."""

    def run(self) -> None:
        names = [name.strip() for name in self.plans.split(",") if name.strip()]
        for name, least in {"clips": 1, "start": 0, "films": 0, "candidates": 2, "replans": 0}.items():
            if getattr(self, name) < least:
                raise InputError(name, f"must be at least {least}, found {getattr(self, name)}")
        if self.start >= self.clips:
            raise InputError("start", f"must be below --clips ({self.clips}), found {self.start}")
        if self.benchmark == "metaworld":
            self._metaworld(names)
            return

        unknown = [name for name in names if name not in PLANS]
        if unknown or not names:
            raise InputError("plans", f"must be among {', '.join(PLANS)}, found {', '.join(unknown) or 'none'}")
        require("mujoco", "execution", "execute")
        require("mink", "execution")
        if set(names) & set(NETWORK):
            read_index(model_folder(self.model))

        from tqdm import tqdm

        from mask2iv.execution.measuring.benchmark import Attempt, execute, markdown, summary

        predict = self._predict() if set(names) & set(NETWORK) else None
        only = {"best": {"candidates": self.candidates}}
        self._claim({name: {"split": self.split, **only.get(name, {})} for name in names}, NETWORK)
        chosen = range(self.start, self.clips)
        with tqdm(total=len(chosen) * len(names), unit="attempt", desc="execute") as bar:

            def told(name: str, row: Attempt) -> None:
                bar.update()

            execute(self.out, self.split, chosen, names, predict, self.seed, self.films, told)
        self._report(markdown(summary(self.out, tuple(PLANS))))

    def _metaworld(self, names: list[str]) -> None:
        if self.films:
            raise InputError("films", "does not apply to metaworld", "see benchmarks/pictures/metaworld_films.py")
        from mask2iv.execution.metaworld.benchmark import (
            GUIDANCE,
            REPLANNED,
            STEPS,
            check_plans,
            execute,
            markdown,
            summary,
        )

        check_plans(names)
        pipe = None
        if "text" in names:
            read_index(model_folder(self.model))
            from mask2iv.pipelines.pipeline import Mask2IVPipeline

            pipe = Mask2IVPipeline.from_pretrained(self.model)
        only: dict[str, dict[str, Any]] = {name: {"replans": self.replans} for name in REPLANNED}
        only["text"] |= {"guidance": GUIDANCE, "steps": STEPS}
        self._claim({name: only.get(name, {}) for name in names}, ("text",))
        execute(self.out, names, range(self.start, self.clips), pipe, self.replans, self.seed)
        self._report(markdown(summary(self.out)))

    def _claim(self, conditions: Mapping[str, Mapping[str, Any]], network: Collection[str]) -> None:
        """Write down what each plan is executed under; those of `network` need the model."""
        from mask2iv.execution.measuring.conditions import claim
        from mask2iv.manifest import weights_digest

        of_model: dict[str, Any] = {}
        if set(conditions) & set(network):
            digest = weights_digest(model_folder(self.model))
            of_model = {"model": self.model, "model_sha256": digest, "seed": self.seed}
        for name, special in conditions.items():
            common = {"benchmark": self.benchmark, "plan": name}
            claim(self.out, name, {**common, **special, **(of_model if name in network else {})})

    def _report(self, text: str) -> None:
        from mask2iv.files import atomic_write

        with atomic_write(self.out / "report.md") as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(text, end="")

    def _predict(self) -> Predict:
        """The model's trajectories."""
        from mask2iv.execution.measuring.predictions import Predictor

        return Predictor(self.model, self.candidates)
