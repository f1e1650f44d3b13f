"""Joins two imported stages in one model folder."""

from __future__ import annotations

import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

from mask2iv.config import read_config
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, disk_faults, sha256_file, write_json
from mask2iv.manifest import versions
from mask2iv.models.text import has_no_words
from mask2iv.official.importing import REPORT
from mask2iv.official.inventory import EXTRAS
from mask2iv.pipelines.components import load_component
from mask2iv.pipelines.folder import model_folder, read_index, write_index
from mask2iv.pipelines.untrusted import check_files
from mask2iv.stages.config import PipelineConfig

_SHARED = ("vae", "tokenizer", "text_encoder", "image_encoder", "scheduler", "reference_decoder")
# Settings of a single stage, or without effect on a stage 2 that takes no prompt.
_FREE = {
    "mask_layout",
    "video_conditioning",
    "trajectory_change_std",
    "video_change_std",
    "num_inference_steps",
    "video_num_inference_steps",
    "guidance_scale",
    "target_guidance_scale",
    "video_guidance_scale",
    "guidance_rescale",
    "drop_image_in_guidance",
}
_FROM_VIDEO = ("video_conditioning", "video_change_std", "video_num_inference_steps", "video_guidance_scale")


def join_stages(trajectory: Path, video: Path, out: Path) -> dict[str, Any]:
    """Write the model folder ``out`` with stage 1 of one folder and stage 2 of another. Returns its report.

    Raises:
        InputError: a folder lacks its stage, or a shared component or setting differs, naming it.
    """
    folders = {"trajectory": model_folder(trajectory, "trajectory"), "video": model_folder(video, "video")}
    configs, names = {}, {}
    for stage, folder in folders.items():
        configs[stage], names[stage] = read_index(folder, stage)
        for part in (f"{stage}_unet", f"{stage}_resampler"):
            if part not in names[stage]:
                raise InputError(stage, f"{folder} holds no {part}", "give a folder with this stage")
    config = _joined_config(configs["trajectory"], configs["video"])
    sources = {name: folders["trajectory"] for name in _SHARED if _check_shared(name, folders, names)}
    if "tokenizer" in sources and _without_words(folders["trajectory"], names["trajectory"]["tokenizer"]):
        sources["tokenizer"] = folders["video"]
    for stage, folder in folders.items():
        sources |= {f"{stage}_unet": folder, f"{stage}_resampler": folder}
    if "video_controlnet" in names["video"]:
        sources["video_controlnet"] = folders["video"]
    for name, folder in sources.items():
        if not (folder / name).is_dir():
            raise InputError(str(folder), f"the component {name} is missing", "import its checkpoint again")
        check_files(folder / name)
    for folder in folders.values():
        if (folder / EXTRAS).is_dir():
            check_files(folder / EXTRAS)
    with atomic_directory(out) as target, disk_faults(out):
        for name, folder in sources.items():
            shutil.copytree(folder / name, target / name)
        for stage, folder in folders.items():
            for path in sorted((folder / EXTRAS).glob(f"{stage}.*")):
                (target / EXTRAS).mkdir(exist_ok=True)
                shutil.copy(path, target / EXTRAS / path.name)
        known = names["video"] | names["trajectory"]
        write_index(target, config, {name: known[name] for name in sorted(sources)})
        report = {
            "command": "import",
            "joined": {
                stage: read_config(folder / REPORT, dict[str, Any]) if (folder / REPORT).is_file() else None
                for stage, folder in folders.items()
            },
            "versions": versions(),
        }
        write_json(target / REPORT, report)
    return report


def _joined_config(first: PipelineConfig, second: PipelineConfig) -> PipelineConfig:
    """Stage 1's settings, combined with those that belong to stage 2 alone.

    Raises:
        InputError: a shared setting differs.
    """
    values = {}
    for setting in fields(PipelineConfig):
        name = setting.name
        found = getattr(first, name), getattr(second, name)
        if name not in _FREE and found[0] != found[1]:
            raise InputError(
                "video",
                f"differs from the trajectory stage in {name}: found {found[1]}, expected {found[0]}",
                "only models with the same sizes and sampling can be joined",
            )
        values[name] = found[name in _FROM_VIDEO]
    return PipelineConfig(**values)


def _check_shared(name: str, folders: dict[str, Path], names: dict[str, dict[str, str]]) -> bool:
    """Whether both folders hold the component; False if neither does.

    Raises:
        InputError: the two differ, or only one folder holds it.
    """
    present = [name in known for known in names.values()]
    if not any(present):
        return False
    if all(present):
        hashes = [_hashes(folder / name) for folder in folders.values()]
        # A tokenizer for the empty prompt alone gives it the same tokens as the whole vocabulary.
        if hashes[0] == hashes[1] or (
            name == "tokenizer" and any(_without_words(folder, names[stage][name]) for stage, folder in folders.items())
        ):
            return True
    raise InputError(
        "video",
        f"the component {name} differs from the trajectory stage's, but both stages must share it",
        "import two checkpoints of the same base model with the same dtype and tokenizer",
    )


def _without_words(folder: Path, class_name: str) -> bool:
    import torch

    return has_no_words(load_component(folder, "tokenizer", class_name, torch.float32))


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_file(path) for path in sorted(folder.rglob("*")) if path.is_file()
    }
