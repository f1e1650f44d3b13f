"""Which weights of a stage are trained: all, all but temporal layers, or low-rank adapters instead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from mask2iv.backbones.dynamicrafter.attention import TemporalTransformer
from mask2iv.backbones.dynamicrafter.layers import TemporalConvBlock
from mask2iv.extras import require
from mask2iv.files import atomic_directory, write_json
from mask2iv.recipes.training import LoraTargets, TrainingConfig

ALWAYS_ADAPTED = ("unet.conv_in",)
"""The layer where the conditions' channels enter; a new condition is learnt there first."""
_PEFT_PREFIX = "base_model.model."


def temporal_parameters(module: nn.Module) -> list[str]:
    """Names of the weights of all temporal layers: transformers and convolutions across frames."""
    return [
        f"{path}.{name}" if path else name
        for path, layer in module.named_modules()
        if isinstance(layer, TemporalTransformer | TemporalConvBlock)
        for name, _ in layer.named_parameters()
    ]


def frozen_parameters(stage: nn.Module, config: TrainingConfig) -> list[str]:
    """Names of the weights that ``freeze_temporal`` and ``frozen_temporal`` keep as they are.

    A ControlNet is a copy that is made to be trained: nothing of it is frozen.
    """
    if not config.freeze_temporal:
        return []
    found = [name for name in temporal_parameters(stage) if not name.startswith("controlnet.")]
    if config.frozen_temporal == "all":
        return found
    return [name for name in found if "temporal_conv." in name or "init_attention." in name]


def adapted_layers(stage: nn.Module, config: TrainingConfig) -> list[str]:
    """Names of the layers that get adapters: those of ``lora_targets`` that are not frozen."""
    targets: LoraTargets = config.lora_targets
    kinds = (nn.Linear, nn.Conv2d, nn.Conv3d) if targets == "linear+conv" else (nn.Linear,)
    frozen = {name.rpartition(".")[0] for name in frozen_parameters(stage, config)}
    modules = dict(stage.named_modules())

    def wanted(path: str) -> bool:
        if path in ALWAYS_ADAPTED:
            return True
        owner = type(modules[path.rpartition(".")[0]]).__name__
        fits = isinstance(modules[path], kinds) and (targets != "attention" or owner.endswith("Attention"))
        return fits and path not in frozen

    return [path for path in modules if path and wanted(path)]


def choose_trainable(stage: nn.Module, config: TrainingConfig) -> None:
    """Freeze what is not trained, and add adapters if the settings ask for them.

    Raises:
        InputError: adapters are asked for, but peft is not installed.
    """
    if config.lora_rank:
        require("peft", "training.lora_rank")
        from peft import inject_adapter_in_model

        inject_adapter_in_model(_lora_config(config, adapted_layers(stage, config)), stage)
        return
    parameters = dict(stage.named_parameters())
    for name in frozen_parameters(stage, config):
        parameters[name].requires_grad_(False)


def _lora_config(config: TrainingConfig, layers: Sequence[str]):  # type: ignore[no-untyped-def]  # peft is optional
    from peft import LoraConfig

    return LoraConfig(r=config.lora_rank, lora_alpha=config.lora_alpha, target_modules=list(layers))  # type: ignore[arg-type]


def save_adapter(stage: nn.Module, folder: Path) -> None:
    """Write a stage's adapters as peft does: ``PeftModel.from_pretrained(stage, folder)`` adds them again."""
    from peft import get_peft_model_state_dict

    weights = get_peft_model_state_dict(stage)
    settings = stage.peft_config["default"].to_dict()  # type: ignore[index, union-attr]
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
    with atomic_directory(folder, overwrite=True) as target:
        tensors = {_PEFT_PREFIX + name: value.detach().cpu().contiguous() for name, value in weights.items()}
        save_file(tensors, target / "adapter_model.safetensors", metadata={"format": "pt"})
        write_json(target / "adapter_config.json", {**plain, "inference_mode": True})


@torch.no_grad()
def merge_adapters(stage: nn.Module) -> None:
    """Merge the adapters into the weights they adapt: a plain stage with the same outputs remains."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for path, layer in list(stage.named_modules()):
        if isinstance(layer, BaseTunerLayer):
            layer.merge(safe_merge=True)
            stage.set_submodule(path, layer.get_base_layer())
