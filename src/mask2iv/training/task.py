"""A training run, from its first check to its manifest."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from mask2iv import config
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import claimed, sha256_file, write_json
from mask2iv.manifest import hardware, versions, weight_hashes, weights_digest
from mask2iv.recipes import Recipe
from mask2iv.recipes.training import FREE_TO_CHANGE, TrainingConfig
from mask2iv.training.context import TrainContext
from mask2iv.training.engine.checkpoint import full_disk_reported, list_checkpoints
from mask2iv.training.engine.processes import start_processes
from mask2iv.training.engine.run import Run
from mask2iv.training.inputs.clips import ClipMemory, readable_clips
from mask2iv.training.options import TrainingOptions
from mask2iv.training.start import check_start
from mask2iv.training.trainings import TRAINERS

_NEWER_PIPELINE = {"video_guidance_scale": 1.0, "snapping": "nearest", "fit": "crop", "fit_scale": 1.0}
_NEWER_STAGE = {"foreground_loss": "error", "contact_map": "contact", "frame_rate": "clip"}
_NEWER_TRAINING = {"frozen_temporal": "all"}
"""Settings that runs of earlier versions lack, with the values that mean what these did."""


def train(options: TrainingOptions, recipe: Recipe) -> None:
    """Train a component with a resolved recipe; write it and a manifest into the model folder.

    What cannot start leaves no folder behind.

    Raises:
        InputError: recipe, clips and folders do not fit together.
    """
    check_start(options, recipe)
    made = not options.out.exists()
    try:
        _Task(options, recipe).run()
    except InputError:
        if made and not _holds_work(options.out, options.component):
            _remove(options.out, options.component)
        raise


def _remove(folder: Path, component: str) -> None:
    """Remove a model folder, unless another process has begun to train in it."""
    run = folder / "training" / component
    with contextlib.suppress(InputError), claimed(run) if run.is_dir() else contextlib.nullcontext():
        shutil.rmtree(folder, ignore_errors=True)


def _holds_work(folder: Path, component: str) -> bool:
    """Whether a model folder holds more than the beginnings of one run: encoded clips, checkpoints, another run."""
    if any(folder.glob("training/cache/*/*")) or list_checkpoints(folder / "training" / component):
        return True
    return any(path.name not in ("cache", component) for path in folder.glob("training/*"))


class _Task:
    """One run.

    Args:
        options: what to train on what.
        recipe: how.
    """

    def __init__(self, options: TrainingOptions, recipe: Recipe) -> None:
        self.options, self.recipe = options, recipe
        self.component, self.data = options.component, options.data

    def run(self) -> None:
        """See :func:`train`."""
        options, recipe, component = self.options, self.recipe, self.component
        if options.threads:
            torch.set_num_threads(options.threads)
        initial, sets = options.starting_folder(), options.clips()
        directory = options.out / "training" / component
        settings: TrainingConfig = recipe.of(component).training
        with start_processes(settings, options.device, directory) as accelerator:
            if accelerator.is_fsdp2 and component not in ("trajectory", "video"):
                raise InputError("component", f"{component} is small and not sharded", "launch without FSDP (DDP)")
            pipeline, device = recipe.pipeline, accelerator.device
            identity = self._identity(initial, [one.ids for one in sets])
            sets, left_out = self._without_damaged(sets, settings.max_bad_clips)
            clips, held_out = (
                ClipMemory(one, (pipeline.height, pipeline.width), pipeline.num_frames, device) for one in sets
            )
            run = Run(directory, accelerator, options.resume_from_checkpoint, identity, self._settings())
            context = TrainContext(
                recipe,
                clips,
                held_out,
                options.out,
                run,
                left_out,
                initial=initial,
                from_video=options.image_to_video is not None,
                cache_dir=options.cache,
                add_words=options.add_words,
                complete=options.complete,
            )
            started = time.time()
            with full_disk_reported(directory):
                figures = TRAINERS[component](context)
                if accelerator.is_main_process:
                    self._write_manifest(context, figures, time.time() - started)
            if accelerator.is_main_process:
                print(f"{component}: {json.dumps(figures)} -> {options.out / component}")

    def _write_manifest(self, context: TrainContext, figures: dict[str, float], seconds: float) -> None:
        accelerator, initial = context.run.accelerator, context.initial
        write_json(
            context.run.directory / "manifest.json",
            {
                "command": "train",
                "component": self.component,
                "config": config.to_dict(context.recipe),
                "data": {
                    "path": str(self.data),
                    "index_sha256": sha256_file(self.data / "index.jsonl"),
                    "clips": len(context.clips),
                    "left_out": context.left_out,
                },
                "held_out_clips": len(context.held_out),
                "initial_weights": None
                if initial is None
                else {
                    "path": str(self.options.image_to_video or self.options.initial_weights),
                    **weight_hashes(initial),
                },
                "image_to_video": context.from_video,
                "figures": figures,
                "seconds": round(seconds, 1),
                "device": str(context.device),
                "processes": accelerator.num_processes,
                "distributed": accelerator.distributed_type.value,
                "hardware": hardware(context.device),
                "versions": versions(),
            },
        )

    @staticmethod
    def _without_damaged(sets: tuple[ClipSet, ClipSet], limit: int) -> tuple[tuple[ClipSet, ClipSet], dict[str, str]]:
        """The sets without the clips that cannot be read, at most `limit`, and why each cannot, by its id."""
        if not limit:
            # Clips are read in advance only if damaged ones may be left out; otherwise the first one ends the run.
            return sets, {}
        clips, left_out = readable_clips(sets[0], limit)
        held_out, left_out = readable_clips(sets[1], limit, left_out)
        for field, role, one in (("data", "training", clips), ("held_out", "held-out", held_out)):
            if not len(one):
                problem = f"none of the {role} clips can be read ({', '.join(left_out)})"
                raise InputError(field, problem, "write them again")
        return (clips, held_out), left_out

    def _settings(self) -> dict[str, Any]:
        """The settings that must not change when a run is resumed: all but :data:`FREE_TO_CHANGE`."""
        every = config.to_dict(self.recipe)
        settings = {name: every[name] for name in ("pipeline", "schedule", self.component)}
        for name in FREE_TO_CHANGE:
            settings[self.component]["training"].pop(name)
        component = settings[self.component]
        for part, newer in (
            (settings["pipeline"], _NEWER_PIPELINE),
            (component, _NEWER_STAGE),
            (component["training"], _NEWER_TRAINING),
        ):
            # As in runs started before these settings existed.
            for name in [name for name, before in newer.items() if part.get(name) == before]:
                part.pop(name)
        return settings

    def _identity(self, initial: Path | None, ids: list[list[str]]) -> dict[str, Any]:
        """What must not change when a run is resumed: :meth:`_settings`, clips and weights, as hashes."""
        settings = self._settings()
        text = json.dumps([settings["pipeline"], settings["schedule"], settings[self.component]], sort_keys=True)
        digests = [hashlib.sha256("\n".join(names).encode()).hexdigest() for names in ids]
        return {
            "component": self.component,
            "settings": hashlib.sha256(text.encode()).hexdigest(),
            "data": sha256_file(self.data / "index.jsonl"),
            "clips": digests[0],
            "held_out": digests[1],
            "initial_weights": None if initial is None else weights_digest(initial),
            "image_to_video": self.options.image_to_video is not None,
        }
