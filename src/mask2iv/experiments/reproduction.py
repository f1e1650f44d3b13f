"""The work of ``mask2iv reproduce``: one model folder per variant, one evaluation per row, one table."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from mask2iv import config
from mask2iv.data.splits import open_clips
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.evaluation.networks.weights import choose_metrics, parse_weights
from mask2iv.evaluation.per_clip.catalogue import MEASURES
from mask2iv.evaluation.per_clip.measure import Measurer
from mask2iv.evaluation.runs.runner import EvaluationConfig
from mask2iv.experiments.checks import claim, image_to_video_folder, lasting, same_settings
from mask2iv.experiments.options import TableOptions
from mask2iv.experiments.record import budget_line, sampling_line, training_record
from mask2iv.experiments.systems import evaluation_name, gather, reference_rows, score, write_tables
from mask2iv.experiments.variants import TABLES, VARIANTS, Row, get_variant
from mask2iv.files import alone, atomic_directory, copy_linked, sha256_file
from mask2iv.manifest import hardware, versions, weights_digest
from mask2iv.pipelines.folder import INDEX, model_folder, read_index, write_index
from mask2iv.recipes import Recipe
from mask2iv.training.options import TrainingOptions, held_out_start
from mask2iv.training.task import train

_FULL_SCALE = (
    "trains DynamiCrafter-512 for each row, 100000 steps (or `steps`) of 16 clips of 320x512. It needs a CUDA GPU, for "
    "days, and the released weights as `image_to_video` (mask2iv import --stage dynamicrafter --widen-for none "
    "--dtype fp32)"
)
_SHARED = ("vae", "tokenizer", "text_encoder", "image_encoder")
_FOREIGN = "-foreign"


class Reproduction:
    """One call of the command.

    Args:
        command: its options.
        device: where to compute.

    Raises:
        InputError: an unknown row or recipe, a scale that this machine is not for, a base that lacks a component, or a
            folder made with other settings.
    """

    def __init__(self, command: TableOptions, device: torch.device) -> None:
        self.command, self.device, self.out = command, device, command.out
        names = [row.name for row in TABLES[command.table]]
        unknown = [name for name in command.rows if name not in names]
        if unknown:
            raise InputError("rows", f"{unknown[0]!r} is no row of {command.table}", f"its rows are {', '.join(names)}")
        self.measures = None if command.measures is None else [name.strip() for name in command.measures.split(",")]
        unknown = [name for name in self.measures or () if name not in MEASURES]
        if unknown:
            raise InputError("measures", f"{unknown[0]!r} is no measure", f"choose from {', '.join(MEASURES)}")
        self._require_full_scale()
        self.recipe = command.recipe or self._default_recipe()
        for variant in VARIANTS:
            self._variant(variant)
        self.clips = self._test_clips()
        self.measurer = Measurer.load(choose_metrics(command.metrics), parse_weights(command.weights), device)
        self.base = self._base()
        self.settings = self._settings()
        # The other benchmark may be added later where it concerns one row only.
        claim(self.out / "reproduce.json", self.settings, [] if command.pretrain else ["other_index_sha256"])

    def _require_full_scale(self) -> None:
        """Whether there is what the paper's scale needs."""
        if self.command.scale != "full":
            return
        lacking = [
            *([] if self.device.type == "cuda" else ["no CUDA device"]),
            *([] if self.command.image_to_video is not None else ["no image-to-video network"]),
        ]
        if lacking:
            raise InputError("scale full", f"{_FULL_SCALE}; found {' and '.join(lacking)}", "or use the scale embedded")

    def run(self) -> str:
        """Train, evaluate and write the table; returns its Markdown."""
        command, rows = self.command, TABLES[self.command.table]
        done = []
        for row in rows:
            if row.foreign and command.data_other is None and command.image_to_video is None:
                print(
                    f"{row.name}: not run; it needs the clips of another benchmark, or an image-to-video network",
                    file=sys.stderr,
                )
            elif not command.rows or row.name in command.rows:
                self._score(row)
                done.append(row.name)
        # Rows whose evaluations exist already, from earlier calls or from the rows just run.
        ready = [row for row in rows if row.name not in done and self._was_run(row)]
        for row in ready:
            self._score(row)
        shown = [row for row in rows if row.name in done or row in ready]
        found = gather(shown, self.out / "evaluations")
        references = [row for row in reference_rows(rows) if row.name in found]
        return write_tables(
            self.out / command.table,
            [(row, self._title(row), found.get(row.name)) for row in (*rows, *references)],
            self._provenance(shown),
            self.measures,
        )

    def _score(self, row: Row) -> None:
        """Train and evaluate a row, as far as that is not done yet."""
        command, evaluations = self.command, self.out / "evaluations"
        settings = EvaluationConfig(steps=command.sampling_steps, seed=command.seed)
        folders = {name: self._trained(name, row.foreign) for name in row.variants}
        with alone(evaluations / f"{evaluation_name(row)}.lock"):
            score(folders, row, self.clips, settings, evaluations, self._sources(), self.device, self.measurer)

    # --- what all rows share

    def _variant(self, name: str) -> Recipe:
        """The recipe of a variant; overrides change the base recipe, and what defines a variant stays."""
        return get_variant(f"{self.recipe}:{name}", self.command.set)

    def _default_recipe(self) -> str:
        if self.command.scale == "tiny":
            return "tiny"
        if self.command.scale == "full":
            return "dynamicrafter-512"
        return "embedded" if self.device.type == "cuda" else "embedded-cpu"

    def _test_clips(self) -> ClipSet:
        command = self.command
        clips = open_clips(command.data_test or command.data)
        if command.data_test is None:
            if any(self._keeps_best(name) for name in VARIANTS):
                raise InputError(
                    "data_test",
                    f"must be given: recipe {self.recipe} keeps the weights that are best on held-out clips, which "
                    "would be those of the test",
                    "give it, or set both stages' training.keep=last",
                )
            if command.held_out is not None:
                raise InputError(
                    "data_test",
                    "must be given together with held_out, where all of data is trained on and none is left to test",
                )
            clips = clips.subset(held_out_start(clips), len(clips))
        elif _index_hash(command.data_test) in (_index_hash(one) for one in (command.data, command.held_out) if one):
            raise InputError("data_test", f"{command.data_test} holds the clips of data or held_out", "give others")
        return clips.first(command.limit)

    def _keeps_best(self, variant: str) -> bool:
        return bool(self._variant(variant).of(VARIANTS[variant].component).training.keep == "best")

    def _base(self) -> Path:
        """The model folder with the shared components."""
        command = self.command
        if command.image_to_video is not None:
            folder = image_to_video_folder(
                command.image_to_video, self._variant("dynamicrafter"), command.sharpen, command.sampling_steps
            )
        elif command.base is not None or command.scale != "tiny":
            folder = model_folder(command.base or "embedded", "base")
        else:
            folder = self.out / "base"
            with alone(self.out / "base.lock"):
                for component in ("vae", "encoders", *(["reference"] if command.sharpen else [])):
                    self._train(component, "mask2iv", folder, command.data)
        field = "base" if command.image_to_video is None else "image_to_video"
        lacking = [name for name in self._shared() if name not in read_index(folder, field)[1]]
        if lacking:
            raise InputError(field, f"{folder} holds no {lacking[0]}", "give a folder in which it was trained")
        return folder

    def _shared(self) -> tuple[str, ...]:
        return (*_SHARED, "reference_decoder") if self.command.sharpen else _SHARED

    def _settings(self) -> dict[str, Any]:
        """Settings that all rows of both tables must share."""
        command, base = self.command, weights_digest(self.base)
        return {
            "scale": command.scale,
            "recipe": self.recipe,
            "base_sha256": base,
            "data_index_sha256": _index_hash(command.data),
            "held_out_index_sha256": None if command.held_out is None else _index_hash(command.held_out),
            "other_index_sha256": None if command.data_other is None else _index_hash(command.data_other),
            "set": lasting(command.set),
            "training_steps": self._with_budget("video", "mask2iv").of("video").training.max_steps,
            "pretraining_steps": command.pretrain,
            "image_to_video_sha256": None if command.image_to_video is None else base,
            # Rows begun by earlier versions had the image's weights at the image latent in stage 1, too.
            "widening": "old weights first" if command.image_to_video or command.pretrain else None,
            "seed": command.seed,
            "sharpen": command.sharpen,
            "test_index_sha256": _index_hash(command.data_test or command.data),
            "test_clips": len(self.clips),
            "sampling_steps": command.sampling_steps,
            "metrics": list(self.measurer.chosen),
            "weights": self.measurer.weights,
        }

    # --- training

    def _trained(self, variant: str, foreign: bool) -> Path:
        """The model folder of a variant, which is trained now unless it was before."""
        command = self.command
        folder = self._folder(variant, foreign)
        if foreign and command.image_to_video is not None:
            return folder
        start = command.image_to_video
        if command.pretrain and not foreign:
            start = self._trained("dynamicrafter", foreign=True)
        with alone(folder.with_suffix(".lock")):
            if foreign and command.data_other is None and _manifest(folder, "video").is_file():
                return folder  # trained by an earlier call that had the other clips
            if not (folder / INDEX).is_file():
                self._lay_base(folder, self._variant(variant))
            data = command.data_other if foreign and command.data_other else command.data
            steps = command.pretrain if foreign else 0
            self._train(VARIANTS[variant].component, variant, folder, data, steps, start)
        return folder

    def _folder(self, variant: str, foreign: bool) -> Path:
        """Where a variant's networks are or will be."""
        if foreign and self.command.image_to_video is not None:
            return self.base
        return self.out / "models" / (variant + _FOREIGN * foreign)

    def _lay_base(self, folder: Path, recipe: Recipe) -> None:
        """Start a model folder with the components that no row trains."""
        known = read_index(self.base, "base")[1]
        with atomic_directory(folder, overwrite=True) as target:
            for name in self._shared():
                copy_linked(self.base / name, target / name)
            write_index(target, recipe.pipeline, {name: known[name] for name in self._shared()})

    def _train(
        self, component: str, variant: str, folder: Path, data: Path, steps: int = 0, start: Path | None = None
    ) -> None:
        """Train a component of a model folder, unless its manifest says that it was trained.

        Args:
            component: what to train.
            variant: of the recipe.
            folder: the model folder.
            data: clips to train on.
            steps: of this training alone; 0: those that all rows share.
            start: folder of the image-to-video network to start from.

        Raises:
            InputError: it was trained with other settings or clips.
        """
        command, path = self.command, _manifest(folder, component)
        if path.is_file():
            wanted, found = self._with_budget(component, variant, steps), config.read_config(path, dict[str, Any])
            found_run = config.from_dict(_Trained, found, str(path), "ignore")
            same_data = found_run.data.get("index_sha256") == _index_hash(data)
            if same_data and same_settings(found_run.config, wanted, component):
                return
            raise InputError(
                str(folder),
                f"was trained with other {'settings' if same_data else 'clips'}",
                "remove it, or write to another folder",
            )
        print(f"{folder.name}: training {component}", file=sys.stderr)
        options = TrainingOptions(
            component=component,  # type: ignore[arg-type]
            data=data,
            out=folder,
            held_out=command.held_out,
            image_to_video=start,
            resume_from_checkpoint="latest",
            cache=self.out / "cache" / _index_hash(data)[:12],
            device=self.device.type,  # type: ignore[arg-type]
            threads=command.threads,
        )
        train(options, self._with_budget(component, variant, steps))

    def _budget(self, component: str, variant: str, steps: int = 0) -> tuple[str, ...]:
        """Optimisation settings that all rows share; the learning rate decays over the same share of the steps."""
        own = self._variant(variant).of(component).training
        steps = steps or self.command.steps or 0
        values = {"max_steps": own.max_steps, "seed": self.command.seed}
        if steps and component in ("trajectory", "video"):
            decay = min(steps, round(own.decay_steps * steps / own.max_steps))
            values |= {"max_steps": steps, "decay_steps": decay}
        return tuple(f"{component}.training.{name}={value}" for name, value in values.items())

    def _with_budget(self, component: str, variant: str, steps: int = 0) -> Recipe:
        """The recipe that a component is trained with."""
        return config.override(self._variant(variant), self._budget(component, variant, steps))

    # --- the table

    def _was_run(self, row: Row) -> bool:
        return (self.out / "evaluations" / evaluation_name(row) / "metrics.json").is_file()

    def _title(self, row: Row) -> str:
        own = self._variant("joint").of("trajectory").loss_weight
        other = "without foreground weight" if own != 1.0 else "with foreground weight"
        return row.title.format(weight=other)

    def _sources(self) -> dict[str, str]:
        data = self.command.data_test or self.command.data
        return {"data": str(data), "data_index_sha256": _index_hash(data)}

    def _provenance(self, rows: list[Row]) -> dict[str, Any]:
        trained = {
            name + _FOREIGN * row.foreign: training_record(self._folder(name, row.foreign), VARIANTS[name].component)
            for row in rows
            for name in row.variants
        }
        command, own, missing = self.command, self.settings, self.measurer.missing
        shared = f"base {own['base_sha256'][:12]}"
        shared += ", decoded with its reference decoder" if command.sharpen else ""
        if command.pretrain:
            shared += (
                f"; begun from one image-to-video network, trained for {command.pretrain} steps on other clips (index "
                f"{own['other_index_sha256'][:12]}), which is the zero-shot row"
            )
        elif command.image_to_video:
            shared += f"; begun from the image-to-video network of {command.image_to_video}, which is the zero-shot row"
        both = replace(
            self._with_budget("video", "mask2iv"), trajectory=self._with_budget("trajectory", "joint").trajectory
        )
        lines = [
            budget_line(both, trained),
            f"Seed {own['seed']}, data index {own['data_index_sha256'][:12]}; {shared}.",
            sampling_line(both, command.sampling_steps),
            f"Evaluated on {len(self.clips)} clips (index {own['test_index_sha256'][:12]}). In brackets: 95 % "
            "intervals (bootstrap over clips; jackknife for Frechet distances).",
        ]
        if missing:
            lines.append(f"Not measured: {', '.join(missing)} (reasons in the JSON).")
        return {
            "line": " ".join(lines),
            "not_measured": missing,
            "settings": own,
            "evaluation": {**self._sources(), "clips": len(self.clips), "sampling_steps": command.sampling_steps},
            "trained": trained,
            "hardware": hardware(self.device),
            "versions": versions(),
        }


def _manifest(folder: Path, component: str) -> Path:
    """The file that a component's finished training leaves."""
    return folder / "training" / component / "manifest.json"


@dataclass(frozen=True)
class _Trained:
    """The part of a training's manifest that identifies recipe and data."""

    data: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def _index_hash(data: Path) -> str:
    return sha256_file(data / "index.jsonl")
