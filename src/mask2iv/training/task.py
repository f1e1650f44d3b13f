"""A training run, from its first check to its manifest."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from mask2iv import config
from mask2iv.checkpoint import told_of_a_full_disk
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import sha256_file, write_json
from mask2iv.manifest import hardware, versions, weight_hashes, weights_digest
from mask2iv.pipelines.folder import model_folder
from mask2iv.recipes import Recipe
from mask2iv.recipes.training import FREE_TO_CHANGE, TrainingConfig
from mask2iv.training.components import TRAINERS
from mask2iv.training.context import TrainContext
from mask2iv.training.engine.processes import start_processes
from mask2iv.training.engine.run import Run
from mask2iv.training.inputs.clips import ClipMemory, readable_clips


def held_out_count(clips: int) -> int:
    """Number of a set's clips held out for validation if no other set is given: 5 %, between 1 and 64."""
    return min(64, max(1, clips // 20))


def held_out_start(clips: ClipSet) -> int:
    """Index of the first clip held out if no other set is given; see :func:`held_out_count`.

    Raises:
        InputError: there is only one clip.
    """
    if len(clips) < 2:
        raise InputError(
            "data",
            f"{clips.directory} holds one clip; at least 2 are needed, one is held out for validation",
            "add clips, or give another set for validation",
        )
    return len(clips) - held_out_count(len(clips))


@dataclass
class TrainingTask:
    """What to train, on which clips, and from which weights."""

    component: Annotated[
        Literal["vae", "encoders", "painter", "planner", "trajectory", "video", "reference"], tyro.conf.Positional
    ]
    """What to train. Later components need the earlier ones in --out."""
    data: Path
    """Clip set to train on."""
    out: Path
    """Model folder; components trained before are read from it, the new one is written into it."""
    held_out: Path | None = None
    """Clip set for validation; default: the last 5 % of --data (1 to 64 clips), which are then not trained on."""
    limit: int | None = None
    """Train on this many clips only, the first ones."""
    resume_from_checkpoint: str | None = None
    """Checkpoint folder to resume from; "latest" resumes where the run stopped, or starts it."""
    initial_weights: str | None = None
    """Start painter, planner, a stage or the reference decoder from the networks of this model (a folder, or
    "embedded") instead of random ones."""
    image_to_video: Path | None = None
    """Start stage 1 or 2 from the image-to-video network of this folder (variant dynamicrafter) instead, as the paper
    starts from DynamiCrafter; weights of new input channels start at zero."""
    add_words: bool = False
    """Add the captions' unknown words to a text encoder with a closed vocabulary; without this, only warn of them."""
    cache: Path | None = None
    """Folder for cached latents, which models with the same encoders may share; default: one in --out."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; auto uses a GPU if there is one."""
    threads: int = 0
    """CPU threads; 0 for PyTorch's default."""

    def run(self, recipe: Recipe) -> None:
        """Train the component with a resolved recipe; write it and a manifest into the model folder.

        Raises:
            InputError: recipe, clips and folders do not fit together.
        """
        if self.threads:
            torch.set_num_threads(self.threads)
        initial = self._starting_folder()
        directory = self.out / "training" / self.component
        settings: TrainingConfig = recipe.of(self.component).training
        with start_processes(settings, self.device, directory) as accelerator:
            if accelerator.is_fsdp2 and self.component not in ("trajectory", "video"):
                raise InputError("component", f"{self.component} is small and not sharded", "launch without FSDP (DDP)")
            pipeline, device = recipe.pipeline, accelerator.device
            sets = self._clips()
            identity = self._identity(recipe, initial, [one.ids for one in sets])
            sets, left_out = self._without_damaged(sets, settings.max_bad_clips)
            clips, held_out = (
                ClipMemory(one, (pipeline.height, pipeline.width), pipeline.num_frames, device) for one in sets
            )
            run = Run(directory, accelerator, self.resume_from_checkpoint, identity)
            context = TrainContext(
                recipe,
                clips,
                held_out,
                self.out,
                run,
                left_out,
                initial=initial,
                from_video=self.image_to_video is not None,
                cache_dir=self.cache,
                add_words=self.add_words,
            )
            started = time.time()
            with told_of_a_full_disk(directory):
                figures = TRAINERS[self.component](context)
                if accelerator.is_main_process:
                    self._write_manifest(context, figures, time.time() - started)
            if accelerator.is_main_process:
                print(f"{self.component}: {json.dumps(figures)} -> {self.out / self.component}")

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
                else {"path": str(self.image_to_video or self.initial_weights), **weight_hashes(initial)},
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

    def _clips(self) -> tuple[ClipSet, ClipSet]:
        """Clips to train on, and clips for validation."""
        every = ClipSet(self.data)
        if self.held_out is not None:
            count, held_out = len(every), ClipSet(self.held_out)
        else:
            count = held_out_start(every)
            held_out = every.subset(count, len(every))
        if self.limit is not None and not 1 <= self.limit <= count:
            raise InputError("limit", f"must be 1 to {count}, the number of training clips, found {self.limit}")
        return every.subset(0, self.limit or count), held_out

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

    def _starting_folder(self) -> Path | None:
        """The model folder whose networks training starts from; None for random ones."""
        given = {"initial_weights": self.initial_weights, "image_to_video": self.image_to_video}
        given = {field: value for field, value in given.items() if value is not None}
        if not given:
            return None
        if len(given) > 1:
            raise InputError(
                "initial_weights", "image_to_video is given too; training starts from one of them", "leave one out"
            )
        [(field, value)] = given.items()
        stages = ("trajectory", "video")
        allowed = stages if field == "image_to_video" else ("painter", "planner", *stages, "reference")
        if self.component not in allowed:
            raise InputError(field, f"is for {', '.join(allowed)}, not for {self.component}", "leave it out")
        folder = model_folder(str(value), field)
        if folder.resolve() == self.out.resolve():
            # The run would replace what it started from, and could not be resumed.
            raise InputError(field, f"{folder} is the output folder too", "choose another output folder")
        return folder

    def _identity(self, recipe: Recipe, initial: Path | None, ids: list[list[str]]) -> dict[str, Any]:
        """What must not change when a run is resumed: everything but :data:`FREE_TO_CHANGE`."""
        settings = config.to_dict(recipe)
        for name in FREE_TO_CHANGE:
            settings[self.component]["training"].pop(name)
        if settings["pipeline"]["video_guidance_scale"] == 1.0:
            # As in runs started before this setting existed.
            settings["pipeline"].pop("video_guidance_scale")
        text = json.dumps([settings["pipeline"], settings["schedule"], settings[self.component]], sort_keys=True)
        digests = [hashlib.sha256("\n".join(names).encode()).hexdigest() for names in ids]
        return {
            "component": self.component,
            "settings": hashlib.sha256(text.encode()).hexdigest(),
            "data": sha256_file(self.data / "index.jsonl"),
            "clips": digests[0],
            "held_out": digests[1],
            "initial_weights": None if initial is None else weights_digest(initial),
            "image_to_video": self.image_to_video is not None,
        }
