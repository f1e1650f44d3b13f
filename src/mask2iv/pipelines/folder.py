"""A model folder: where it is, and its ``model_index.json``, which names configuration and components.

Read without loading PyTorch, so that a wrong folder is reported at once. The components themselves are read by
:mod:`mask2iv.pipelines.components`.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from mask2iv import __version__, config
from mask2iv.errors import InputError, within
from mask2iv.files import write_json
from mask2iv.stages.config import PipelineConfig

INDEX = "model_index.json"

CLASSES: Mapping[str, tuple[str, ...]] = {
    "vae": ("AutoencoderKL", "AutoencoderDC"),
    "tokenizer": ("TokenizersBackend", "PreTrainedTokenizerFast", "CLIPTokenizer"),
    "text_encoder": ("CLIPTextModel",),
    "image_encoder": ("CLIPVisionModel",),
    "scheduler": ("DDIMScheduler",),
    "reference_decoder": ("ReferenceDecoder",),
    "painter": ("MaskPainter",),
    "planner": ("InteractionPlanner",),
    "trajectory_unet": ("VideoUNet",),
    "trajectory_resampler": ("Resampler",),
    "video_unet": ("VideoUNet",),
    "video_resampler": ("Resampler",),
    "video_controlnet": ("ControlNet",),
}
"""The classes that each component may have. The index names one of them, never an import path.

TokenizersBackend is what transformers calls PreTrainedTokenizerFast since its version 5."""


def model_folder(name_or_path: str | Path, field: str = "model") -> Path:
    """The folder of a model; "embedded" is the one that ships with the package. ``field`` names it in errors.

    Raises:
        InputError: no such folder.
    """
    if str(name_or_path) == "embedded":
        return Path(str(resources.files("mask2iv") / "weights" / "embedded"))
    if not Path(name_or_path).is_dir():
        raise InputError(f"{field} {str(name_or_path)!r}", "no such folder", "give a model folder or 'embedded'")
    return Path(name_or_path)


def read_index(folder: Path, field: str = "model") -> tuple[PipelineConfig, dict[str, str]]:
    """A model folder's configuration and the class name of each component. ``field`` names the folder in errors.

    Raises:
        InputError: not a model folder, or a damaged or foreign index.
    """
    path = folder / INDEX
    if not path.is_file():
        raise InputError(field, f"{folder} is not a model folder ({INDEX} is missing)")
    with within(field):
        index = config.read_config(path, dict[str, Any])
    if index.get("_class_name") != "Mask2IVPipeline":
        raise InputError(field, f"{path} does not describe a Mask2IVPipeline")
    components = {name: value for name, value in index.items() if name in CLASSES}
    for name, value in components.items():
        if value not in CLASSES[name]:
            raise InputError(field, f"{path} gives {name} the unknown class {value!r}")
    with within(f"{field}: {path}"):
        return config.from_dict(PipelineConfig, index.get("config", {}), "config"), components


def write_index(folder: Path, pipeline_config: PipelineConfig, components: Mapping[str, str]) -> None:
    """Write ``model_index.json``."""
    write_json(
        folder / INDEX,
        {
            "_class_name": "Mask2IVPipeline",
            "_mask2iv_version": __version__,
            **components,
            "config": config.to_dict(pipeline_config),
        },
    )
