"""A pipeline folder: ``model_index.json`` and one folder per component. Read and written here, nowhere else.

Only safetensors and JSON are read; nothing is unpickled and no code from the folder runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from mask2iv import __version__, config
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet, ControlNetConfig
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.backbones.planning.painter import MaskPainter
from mask2iv.backbones.planning.planner import InteractionPlanner
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, read_json, reason, write_json
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.stages.config import PipelineConfig

INDEX = "model_index.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
SHARD_BYTES = 500_000_000
"""Weights above this size go into several files. A conversion holds one of them in memory, and what it is made of: with
shards of half a gigabyte that is a fraction of the networks the bound matters for (3 to 6 GB)."""

# The classes each component may have; the index names one of them, never an import path.
CLASSES: Mapping[str, tuple[type, ...]] = {
    "vae": (AutoencoderKL, AutoencoderDC),
    "tokenizer": (PreTrainedTokenizerFast, CLIPTokenizer),
    "text_encoder": (CLIPTextModel,),
    "image_encoder": (CLIPVisionModel,),
    "scheduler": (DDIMScheduler,),
    "reference_decoder": (ReferenceDecoder,),
    "painter": (MaskPainter,),
    "planner": (InteractionPlanner,),
    "trajectory_unet": (VideoUNet,),
    "trajectory_resampler": (Resampler,),
    "video_unet": (VideoUNet,),
    "video_resampler": (Resampler,),
    "video_controlnet": (ControlNet,),
}

_NEEDED = {"vae", "tokenizer", "text_encoder", "image_encoder", "scheduler"}
_WHOLE = {"planner", "painter"}
_OWN: Mapping[type, type] = {VideoUNet: UNetConfig, Resampler: ResamplerConfig, ControlNet: ControlNetConfig}


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars for files that take milliseconds."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


def model_folder(name_or_path: str | Path, field: str = "--model") -> Path:
    """The folder of a model: "embedded" names the one that ships with the package. ``field`` names it in messages.

    Raises:
        InputError: no such folder.
    """
    if str(name_or_path) == "embedded":
        return Path(str(resources.files("mask2iv") / "weights" / "embedded"))
    if not Path(name_or_path).is_dir():
        raise InputError(f"{field} {str(name_or_path)!r}: no such folder; give a model folder or 'embedded'")
    return Path(name_or_path)


def read_index(folder: Path, field: str = "--model") -> tuple[PipelineConfig, dict[str, str]]:
    """A pipeline folder's configuration and the class name of each component it holds. ``field`` names it in messages.

    Raises:
        InputError: no such folder, or a damaged or foreign index.
    """
    path = folder / INDEX
    if not path.is_file():
        raise InputError(f"{field}: {folder} is not a model folder ({INDEX} is missing)")
    index = read_json(path)
    if not isinstance(index, dict) or index.get("_class_name") != "Mask2IVPipeline":
        raise InputError(f"{field}: {path} does not describe a Mask2IVPipeline")
    components = {name: value for name, value in index.items() if name in CLASSES}
    for name, value in components.items():
        if value not in [kind.__name__ for kind in CLASSES[name]]:
            raise InputError(f"{field}: {path} gives {name} the unknown class {value!r}")
    return config.from_dict(PipelineConfig, index.get("config", {}), "config"), components


def load_components(folder: Path, dtype: torch.dtype) -> tuple[PipelineConfig, dict[str, Any]]:
    """A pipeline folder's configuration and all its components by name.

    Args:
        folder: of :func:`model_folder`.
        dtype: precision of the networks. Planner and painter stay in float32: they are small, and a rounded plan is
            another plan.

    Raises:
        InputError: not a model folder, or a component is missing or damaged.
    """
    pipeline_config, names = read_index(folder)
    missing = _NEEDED - set(names)
    if missing:
        raise InputError(f"--model: {folder} lacks {', '.join(sorted(missing))}; train or import it first")
    loaded = {
        name: load_component(folder, name, kind, torch.float32 if name in _WHOLE else dtype)
        for name, kind in names.items()
    }
    return pipeline_config, loaded


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


def save_component(folder: Path, name: str, component: Any, dtype: torch.dtype | None = None) -> None:
    """Write one component into ``folder/name``, replacing it as a whole.

    Args:
        folder: the pipeline folder.
        name: a key of `CLASSES`.
        component: an instance of one of its classes.
        dtype: weights are stored in this precision; None keeps theirs.
    """
    with _without_bars(), atomic_directory(folder / name, overwrite=True) as target:
        if type(component) in _OWN:
            state = {key: value.detach() for key, value in component.state_dict().items()}
            like = {
                key: torch.empty(value.shape, dtype=dtype or value.dtype, device="meta") for key, value in state.items()
            }
            write_weights(target, WEIGHTS, like, lambda names: {name: state[name] for name in names})
            write_json(target / "config.json", {"_class_name": type(component).__name__, **component.config.to_dict()})
            return
        original = next(component.parameters()).dtype if isinstance(component, nn.Module) else None
        # torch's own `to`: diffusers' warns of modules to be kept in float32 even where there are none.
        if original is not None and dtype is not None:
            nn.Module.to(component, dtype)
        component.save_pretrained(target)
        if original is not None:
            nn.Module.to(component, original)
        _forget_origin(target / "config.json")


def write_weights(
    folder: Path,
    file_name: str,
    like: Mapping[str, torch.Tensor],
    read: Callable[[Sequence[str]], Mapping[str, torch.Tensor]],
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a network's weights: one safetensors file, or several and their index, named as diffusers names them.

    Args:
        folder: the component's folder.
        file_name: of the single file.
        like: shape and stored precision of each tensor; may live on the meta device.
        read: gives the tensors of these names, in any precision. Called once a file, so that only one is in memory.
        shard_bytes: size a file may have, unless it holds one tensor.
    """
    pattern = file_name.replace(".safetensors", "{suffix}.safetensors")
    split = split_torch_state_dict_into_shards(dict(like), filename_pattern=pattern, max_shard_size=shard_bytes)
    for shard, names in split.filename_to_tensors.items():
        tensors = {
            name: value.to("cpu", like[name].dtype).reshape(like[name].shape).contiguous()
            for name, value in read(names).items()
        }
        save_file(tensors, folder / shard, metadata={"format": "pt"})
        del tensors
    if split.is_sharded:
        index = {"metadata": split.metadata, "weight_map": split.tensor_to_filename}
        write_json(folder / f"{file_name}.index.json", index)


def _weight_files(folder: Path, file_name: str) -> list[Path]:
    """The files that :func:`write_weights` wrote."""
    index = folder / f"{file_name}.index.json"
    if (folder / file_name).is_file() or not index.is_file():
        return [folder / file_name]
    names = sorted(set(read_json(index).get("weight_map", {}).values()))
    foreign = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
    if foreign or not names:
        raise InputError(
            f"--model: {index} names {foreign[0] if foreign else 'no file'}; only files beside it are read"
        )
    return [folder / name for name in names]


def stored_dtype(folder: Path, name: str) -> torch.dtype:
    """The precision in which one of our own networks is stored.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        tensors = load_file(_weight_files(folder / name, WEIGHTS)[0])
    except (OSError, SafetensorError) as error:
        raise InputError(f"--model: component {name} in {folder} cannot be read: {reason(error)}") from error
    return next(iter(tensors.values())).dtype


def _forget_origin(path: Path) -> None:
    """Remove the folder a component was loaded from, which diffusers notes and which is nobody else's business."""
    if path.is_file():
        values = read_json(path)
        if values.pop("_name_or_path", None) is not None:
            write_json(path, values)


def load_component(folder: Path, name: str, class_name: str, dtype: torch.dtype) -> Any:
    """Read one component.

    Raises:
        InputError: it is missing or damaged.
    """
    path = folder / name
    kind = next(kind for kind in CLASSES[name] if kind.__name__ == class_name)
    if not path.is_dir():
        raise InputError(f"--model: component {name} is missing from {folder}")
    try:
        if kind in _OWN:
            return _load_own(path, kind, _OWN[kind], dtype)
        if not issubclass(kind, nn.Module):
            return kind.from_pretrained(path, local_files_only=True)  # type: ignore[attr-defined]
        loader: Callable[..., Any] = kind.from_pretrained  # type: ignore[attr-defined]
        # diffusers' way of saving memory needs accelerate; these components are small enough without it.
        keywords = (
            {"dtype": dtype}
            if kind.__module__.startswith("transformers")
            else {"torch_dtype": dtype, "low_cpu_mem_usage": False}
        )
        with _without_bars():
            return loader(path, use_safetensors=True, local_files_only=True, **keywords).eval()
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        message = " ".join(str(error).split())[:300]
        raise InputError(f"--model: component {name} in {folder} cannot be read: {message}") from error


def _load_own(path: Path, kind: type, config_class: type, dtype: torch.dtype) -> nn.Module:
    values = read_json(path / "config.json")
    values.pop("_class_name", None)
    with torch.device("meta"):
        module: nn.Module = kind(config_class.from_dict(values))  # type: ignore[attr-defined]
    # Mapped, not copied, where the precision is the stored one; else one file after the other is converted.
    state = {key: value.to(dtype) for file in _weight_files(path, WEIGHTS) for key, value in load_file(file).items()}
    module.load_state_dict(state, assign=True)
    return module.eval()
