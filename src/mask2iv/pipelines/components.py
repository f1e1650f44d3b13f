"""The components of a model folder. They are read and written only here.

Only safetensors and JSON are read; nothing is unpickled and no code from the folder runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL
from huggingface_hub import split_torch_state_dict_into_shards
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModel, PreTrainedTokenizerFast
from transformers.utils import logging as transformers_logging

from mask2iv import config
from mask2iv.backbones.dynamicrafter.controlnet import ControlNet, ControlNetConfig
from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig, UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.backbones.planning.painter import MaskPainter
from mask2iv.backbones.planning.planner import InteractionPlanner
from mask2iv.diffusion.samplers import DDIMScheduler
from mask2iv.errors import InputError, within
from mask2iv.files import atomic_directory, reason, write_json
from mask2iv.models.reference import ReferenceDecoder
from mask2iv.pipelines.folder import read_index
from mask2iv.pipelines.untrusted import check_files, check_settings
from mask2iv.stages.config import PipelineConfig

WEIGHTS = "diffusion_pytorch_model.safetensors"
SHARD_BYTES = 500_000_000
"""Larger weights are split into several files. A conversion holds one file and its source tensors in memory: with
shards of half a gigabyte, a fraction of the networks for which this matters (3 to 6 GB)."""

_CLASSES: Mapping[str, type] = {
    "PreTrainedTokenizerFast": PreTrainedTokenizerFast,  # its name in transformers 5 is another
    **{
        kind.__name__: kind
        for kind in (
            AutoencoderKL,
            AutoencoderDC,
            PreTrainedTokenizerFast,
            CLIPTokenizer,
            CLIPTextModel,
            CLIPVisionModel,
            DDIMScheduler,
            ReferenceDecoder,
            MaskPainter,
            InteractionPlanner,
            VideoUNet,
            Resampler,
            ControlNet,
        )
    },
}

_REQUIRED = {"vae", "tokenizer", "text_encoder", "image_encoder", "scheduler"}
_ALWAYS_FP32 = {"planner", "painter"}
_OWN: Mapping[type, type] = {VideoUNet: UNetConfig, Resampler: ResamplerConfig, ControlNet: ControlNetConfig}


@contextmanager
def _without_bars() -> Iterator[None]:
    """Hide progress bars for files that load in milliseconds."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()


@dataclass(frozen=True)
class _TokenizerConfig:
    """``tokenizer_config.json``, as far as this package computes with it."""

    model_max_length: Annotated[int, Field(ge=3, le=4096)] = 77


@dataclass(frozen=True)
class _Shards:
    """Which file holds which tensor."""

    weight_map: dict[str, str]


def load_components(folder: Path, dtype: torch.dtype) -> tuple[PipelineConfig, dict[str, Any]]:
    """A model folder's configuration and all its components by name.

    Args:
        folder: see :func:`~mask2iv.pipelines.folder.model_folder`.
        dtype: precision of the networks. Planner and painter stay in float32: they are small, and rounding would change
            the plan.

    Raises:
        InputError: not a model folder, or a component is missing or damaged.
    """
    pipeline_config, names = read_index(folder)
    missing = _REQUIRED - set(names)
    if missing:
        raise InputError(
            "model",
            f"{folder} lacks {', '.join(sorted(missing))}",
            "train or import it first; `mask2iv train ... --initial-weights MODEL --complete` takes it from a model",
        )
    loaded = {
        name: load_component(folder, name, kind, torch.float32 if name in _ALWAYS_FP32 else dtype)
        for name, kind in names.items()
    }
    tokenizer, encoder = loaded["tokenizer"], loaded["text_encoder"]
    positions, words = encoder.config.max_position_embeddings, encoder.config.vocab_size
    if tokenizer.model_max_length > positions or len(tokenizer) > words:
        raise InputError(
            "model",
            f"the tokenizer of {folder} makes up to {tokenizer.model_max_length} tokens of {len(tokenizer)} words, its "
            f"text encoder takes {positions} of {words}",
            "copy both from one model",
        )
    return pipeline_config, loaded


def save_component(folder: Path, name: str, component: Any, dtype: torch.dtype | None = None) -> None:
    """Write one component into ``folder/name``, replacing what is there.

    Args:
        folder: the model folder.
        name: a key of :data:`~mask2iv.pipelines.folder.CLASSES`.
        component: an instance of one of its classes.
        dtype: stored precision; None keeps that of the weights.
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
        # torch's own `to`: that of diffusers warns of modules to keep in float32 even where there are none.
        if original is not None and dtype is not None:
            nn.Module.to(component, dtype)
        if isinstance(component, PreTrainedTokenizerFast):
            _forget_use(component)
        component.save_pretrained(target)
        if original is not None:
            nn.Module.to(component, original)
        _forget_origin(target / "config.json")


def _forget_use(tokenizer: PreTrainedTokenizerFast) -> None:
    """Reset what a tokenizer keeps of the last call, its truncation and padding, which would be saved with it.

    Each call sets both anew, so the file does not depend on whether the tokenizer has been used.
    """
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()


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
        file_name: name of the single file.
        like: shape and stored precision of each tensor; may be on the meta device.
        read: returns the named tensors, in any precision. Called once per file, so that only one file is in memory.
        shard_bytes: largest size of a file, unless it holds a single tensor.
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
    """The files of a network that :func:`write_weights` wrote."""
    index = folder / f"{file_name}.index.json"
    if (folder / file_name).is_file() or not index.is_file():
        return [folder / file_name]
    with within("model"):
        names = sorted(set(config.read_config(index, _Shards, "ignore").weight_map.values()))
    foreign = [name for name in names if Path(name).name != name or not name.endswith(".safetensors")]
    if foreign or not names:
        raise InputError(
            "model", f"{index} names {foreign[0] if foreign else 'no file'}", "only files beside it are read"
        )
    return [folder / name for name in names]


def stored_dtype(folder: Path, name: str) -> torch.dtype:
    """The stored precision of one of the package's own networks.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        tensors = load_file(_weight_files(folder / name, WEIGHTS)[0])
    except (OSError, SafetensorError) as error:
        raise InputError("model", f"component {name} in {folder} cannot be read: {reason(error)}") from error
    return next(iter(tensors.values())).dtype


def _forget_origin(path: Path) -> None:
    """Remove the folder a component was loaded from, which diffusers records: a private path."""
    if path.is_file():
        values = config.read_config(path, dict[str, Any])
        if values.pop("_name_or_path", None) is not None:
            write_json(path, values)


def load_component(folder: Path, name: str, class_name: str, dtype: torch.dtype) -> Any:
    """Read one component.

    Raises:
        InputError: it is missing or damaged.
    """
    path = folder / name
    kind = _CLASSES[class_name]
    if not path.is_dir():
        raise InputError("model", f"component {name} is missing from {folder}")
    with within("model"):
        check_files(path)
    try:
        if kind in _OWN:
            return _load_own(path, kind, _OWN[kind], dtype)
        if not issubclass(kind, nn.Module):
            if (path / "tokenizer_config.json").is_file():
                with within("model"):
                    config.read_config(path / "tokenizer_config.json", _TokenizerConfig, "ignore")
            return kind.from_pretrained(path, local_files_only=True)  # type: ignore[attr-defined]
        if (path / "config.json").is_file():  # if it is missing, the loaders raise an error
            with within("model"):
                check_settings(path / "config.json", _stored_weights(path))
        loader: Callable[..., Any] = kind.from_pretrained  # type: ignore[attr-defined]
        # diffusers needs accelerate to save memory while loading; these components are small enough without.
        keywords = (
            {"dtype": dtype}
            if kind.__module__.startswith("transformers")
            else {"torch_dtype": dtype, "low_cpu_mem_usage": False}
        )
        with _without_bars():
            module, info = loader(
                path, use_safetensors=True, local_files_only=True, output_loading_info=True, **keywords
            )
    except InputError:
        raise
    except Exception as error:  # a library may raise anything for untrusted files
        message = " ".join(str(error).split())[:300] or type(error).__name__
        raise InputError("model", f"component {name} in {folder} cannot be read: {message}") from error
    # The libraries would fill them with random numbers.
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError("model", f"component {name} in {folder} lacks {len(missing)} tensors, such as {missing[0]}")
    return module.eval()


def _stored_weights(path: Path) -> list[Path]:
    """The weights files of a network that a library saved."""
    return sorted(path.glob("*.safetensors"))


def _load_own(path: Path, kind: type, config_class: type, dtype: torch.dtype) -> nn.Module:
    with within("model"):
        values = config.read_config(path / "config.json", dict[str, Any])
        values.pop("_class_name", None)
        with torch.device("meta"), within(str(path / "config.json")):
            module: nn.Module = kind(config_class.from_dict(values))  # type: ignore[attr-defined]
    # Memory-mapped, not copied, if the precision is the stored one; otherwise converted one file at a time.
    state = {key: value.to(dtype) for file in _weight_files(path, WEIGHTS) for key, value in load_file(file).items()}
    module.load_state_dict(state, assign=True)
    return module.eval()
