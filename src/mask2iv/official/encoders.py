"""The frozen encoders of an original checkpoint as diffusers and transformers models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

from mask2iv.backbones.dynamicrafter.sizes import MAX_DEPTH, MAX_WIDTH, NORM_GROUPS
from mask2iv.errors import InputError
from mask2iv.official.keys import KeyMatch, complete_flags, load_original

LATENT_SCALE = 0.18215
"""Factor between the autoencoder's posterior sample and the latent; the same in every published model."""

VAE_FLAGS: Mapping[str, Any] = {
    "double_z": True,
    "z_channels": 4,
    "resolution": 256,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 128,
    "ch_mult": (1, 2, 4, 4),
    "num_res_blocks": 2,
    "attn_resolutions": (),
    "dropout": 0.0,
}
"""The autoencoder's ``ddconfig`` in every published model."""

VIT_H_14: Mapping[str, Any] = {
    "embed_dim": 1024,
    "vision_cfg": {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24},
}
"""open_clip's configuration of ViT-H-14, the CLIP model of every published checkpoint."""

_MOST = {"layers": MAX_DEPTH, "vocab_size": 1_000_000}
_VAE_NAMES = (
    (re.compile(r"\.down_blocks\.(\d+)\.resnets\."), r".down.\1.block."),
    (re.compile(r"\.down_blocks\.(\d+)\.downsamplers\.0\."), r".down.\1.downsample."),
    (re.compile(r"\.mid_block\.resnets\.0\."), ".mid.block_1."),
    (re.compile(r"\.mid_block\.resnets\.1\."), ".mid.block_2."),
    (re.compile(r"\.mid_block\.attentions\.0\.group_norm\."), ".mid.attn_1.norm."),
    (re.compile(r"\.mid_block\.attentions\.0\.to_out\.0\."), ".mid.attn_1.proj_out."),
    (re.compile(r"\.mid_block\.attentions\.0\.to_(q|k|v)\."), r".mid.attn_1.\1."),
    (re.compile(r"\.conv_shortcut\."), ".nin_shortcut."),
    (re.compile(r"\.conv_norm_out\."), ".norm_out."),
)
_VAE_UP = re.compile(r"\.up_blocks\.(\d+)\.(resnets|upsamplers\.0)\.")
_VAE_ATTENTION_WEIGHT = re.compile(r".*\.mid_block\.attentions\.0\.to_(q|k|v|out\.0)\.weight$")

_CLIP_LAYER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_TEXT_TOP = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm.weight": "ln_final.weight",
    "final_layer_norm.bias": "ln_final.bias",
}
_VISION_TOP = {
    "embeddings.class_embedding": "visual.class_embedding",
    "embeddings.patch_embedding.weight": "visual.conv1.weight",
    "embeddings.position_embedding.weight": "visual.positional_embedding",
    "pre_layrnorm.weight": "visual.ln_pre.weight",
    "pre_layrnorm.bias": "visual.ln_pre.bias",
    "post_layernorm.weight": "visual.ln_post.weight",
    "post_layernorm.bias": "visual.ln_post.bias",
}
_TEXT_UNUSED = r"(text_projection|logit_scale|attn_mask)$|visual\."
_VISION_UNUSED = (
    r"(visual\.proj|positional_embedding|text_projection|logit_scale|attn_mask)$"
    r"|(transformer|token_embedding|ln_final)\."
)


def vae_from_original(
    state_dict: Mapping[str, Tensor],
    ddconfig: Mapping[str, Any],
    embed_dim: int = 4,
    scale_factor: float = LATENT_SCALE,
) -> AutoencoderKL:
    """The autoencoder with the original's weights, in float32 and evaluation mode.

    Args:
        state_dict: tensors by original key, e.g. ``encoder.down.0.block.0.conv1.weight``, ``quant_conv.bias``.
        ddconfig: the original's configuration, see :data:`VAE_FLAGS`.
        embed_dim: latent channels; must equal ``z_channels``.
        scale_factor: stored in the model's configuration as ``scaling_factor``.

    Raises:
        InputError: a flag is unknown or unsupported, or a key is missing, unexpected or misshapen.
    """
    model = vae_model(ddconfig, embed_dim, scale_factor)
    network = cast(nn.Module, model)
    load_original(network.eval(), vae_key_matches(network), state_dict, "autoencoder.state_dict")
    return model


def vae_model(ddconfig: Mapping[str, Any], embed_dim: int = 4, scale_factor: float = LATENT_SCALE) -> AutoencoderKL:
    """The autoencoder that ``ddconfig`` describes, newly initialised on torch's default device.

    Arguments and errors as for :func:`vae_from_original`.
    """
    flags = complete_flags("autoencoder", ddconfig, VAE_FLAGS)
    if flags["num_res_blocks"] > MAX_DEPTH or not 1 <= len(flags["ch_mult"]) <= 8:
        raise InputError("autoencoder.num_res_blocks", "there are more levels or blocks than any autoencoder has")
    sizes = [flags[name] for name in ("in_channels", "out_ch", "ch", "z_channels", "resolution", "num_res_blocks")]
    if min(*sizes, *flags["ch_mult"]) < 1 or flags["ch"] * max(flags["ch_mult"]) > MAX_WIDTH:
        raise InputError("autoencoder.ch", f"sizes must be 1 to {MAX_WIDTH}, found {flags}")
    if flags["ch"] % NORM_GROUPS:
        raise InputError("autoencoder.ch", f"must be a multiple of {NORM_GROUPS}, found {flags['ch']}")
    if not flags["double_z"]:
        raise InputError("autoencoder.double_z", "must be true", "only variational autoencoders are supported")
    if flags["dropout"]:
        raise InputError("autoencoder.dropout", f"must be 0, found {flags['dropout']!r}")
    if embed_dim != flags["z_channels"]:
        raise InputError("autoencoder.embed_dim", f"must equal z_channels ({flags['z_channels']}), found {embed_dim}")
    widths = tuple(flags["ch"] * mult for mult in flags["ch_mult"])
    attended = {flags["resolution"] // 2**level for level in range(len(widths))} & set(flags["attn_resolutions"])
    if attended:
        raise InputError(
            "autoencoder.attn_resolutions",
            f"must not include {sorted(attended)[0]}",
            "attention outside the middle block is not supported",
        )
    return AutoencoderKL(  # type: ignore[no-untyped-call]
        in_channels=flags["in_channels"],
        out_channels=flags["out_ch"],
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        layers_per_block=flags["num_res_blocks"],
        latent_channels=flags["z_channels"],
        sample_size=flags["resolution"],
        scaling_factor=scale_factor,
    )


def vae_key_matches(model: nn.Module) -> list[KeyMatch]:
    """Key matches of a diffusers AutoencoderKL. Only names and shapes are read."""
    levels = len(cast(Any, model).config["block_out_channels"])

    def up(found: re.Match[str]) -> str:
        # The original numbers decoder levels from the highest resolution down, diffusers in execution order.
        return f".up.{levels - 1 - int(found[1])}.{'block' if found[2] == 'resnets' else 'upsample'}."

    matches = []
    for name, tensor in model.state_dict().items():
        original = _VAE_UP.sub(up, name)
        for pattern, replacement in _VAE_NAMES:
            original = pattern.sub(replacement, original)
        shape = tuple(tensor.shape)
        # The original projects with 1x1 convolutions, diffusers with Linear layers.
        matches.append(KeyMatch(original, (*shape, 1, 1) if _VAE_ATTENTION_WEIGHT.match(name) else shape, (name,)))
    return matches


def text_model_from_original(state_dict: Mapping[str, Tensor], config: Mapping[str, Any] = VIT_H_14) -> CLIPTextModel:
    """The complete text encoder of an open_clip model, in float32 and evaluation mode.

    The U-Net's context is ``final_layer_norm`` of the hidden states before the last block.

    Args:
        state_dict: tensors by open_clip key, e.g. ``transformer.resblocks.0.ln_1.weight``. The projection, the logit
            scale and a visual part may be present and are not used.
        config: open_clip model configuration with ``text_cfg``.

    Raises:
        InputError: the configuration lacks an entry, or a key is missing, unexpected or misshapen.
    """
    model = CLIPTextModel(text_config_from_original(config))
    network = cast(nn.Module, model)
    load_original(network.eval(), clip_key_matches(model), state_dict, "text_encoder.state_dict", unused=_TEXT_UNUSED)
    return model


def image_model_from_original(
    state_dict: Mapping[str, Tensor], config: Mapping[str, Any] = VIT_H_14
) -> CLIPVisionModel:
    """The image encoder of an open_clip model, in float32 and evaluation mode.

    The image tokens are its ``last_hidden_state`` (all blocks, class token first, no final norm).

    Args:
        state_dict: tensors by open_clip key, e.g. ``visual.conv1.weight``. The projection, the logit scale and any text
            part may be present and are not used.
        config: open_clip model configuration with ``vision_cfg``.

    Raises:
        InputError: the configuration lacks an entry, or a key is missing, unexpected or misshapen.
    """
    model = CLIPVisionModel(image_config_from_original(config))
    network = cast(nn.Module, model)
    load_original(
        network.eval(), clip_key_matches(model), state_dict, "image_encoder.state_dict", unused=_VISION_UNUSED
    )
    return model


def text_config_from_original(config: Mapping[str, Any]) -> CLIPTextConfig:
    """The text encoder's configuration; arguments and errors as for :func:`text_model_from_original`."""
    sizes = _section(config, "text_cfg", ("context_length", "vocab_size", "width", "heads", "layers"))
    return CLIPTextConfig(
        vocab_size=sizes["vocab_size"],
        hidden_size=sizes["width"],
        intermediate_size=4 * sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        max_position_embeddings=sizes["context_length"],
        projection_dim=config["embed_dim"],
        hidden_act=_activation(config),
        pad_token_id=0,
        bos_token_id=sizes["vocab_size"] - 2,
        eos_token_id=sizes["vocab_size"] - 1,
    )


def image_config_from_original(config: Mapping[str, Any]) -> CLIPVisionConfig:
    """The image encoder's configuration; arguments and errors as for :func:`image_model_from_original`."""
    sizes = _section(config, "vision_cfg", ("image_size", "layers", "width", "head_width", "patch_size"))
    return CLIPVisionConfig(
        hidden_size=sizes["width"],
        intermediate_size=4 * sizes["width"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["width"] // sizes["head_width"],
        image_size=sizes["image_size"],
        patch_size=sizes["patch_size"],
        projection_dim=config["embed_dim"],
        hidden_act=_activation(config),
    )


def text_leftovers(text: CLIPTextConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that the original stores with its text encoder but never uses, by open_clip key."""
    assert text.projection_dim is not None
    return {"text_projection": (text.hidden_size, text.projection_dim), "logit_scale": ()}


def image_leftovers(text: CLIPTextConfig, image: CLIPVisionConfig) -> dict[str, tuple[int, ...]]:
    """The same for the image encoder: its projection, and the text encoder's tensors outside the blocks."""
    assert image.projection_dim is not None
    return {
        "visual.proj": (image.hidden_size, image.projection_dim),
        **text_leftovers(text),
        "positional_embedding": (text.max_position_embeddings, text.hidden_size),
        "token_embedding.weight": (text.vocab_size, text.hidden_size),
        "ln_final.weight": (text.hidden_size,),
        "ln_final.bias": (text.hidden_size,),
    }


def clip_key_matches(model: CLIPTextModel | CLIPVisionModel) -> list[KeyMatch]:
    """Key matches of a CLIP encoder. Only names and shapes are read."""
    text = isinstance(model, CLIPTextModel)
    top = _TEXT_TOP if text else _VISION_TOP
    matches = []
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        if name in top:
            matches.append(KeyMatch(top[name], shape, (name,)))
            continue
        _, _, index, rest = name.split(".", 3)
        block = f"{'' if text else 'visual.'}transformer.resblocks.{index}"
        layer, leaf = rest.rsplit(".", 1)
        if layer in _CLIP_LAYER:
            matches.append(KeyMatch(f"{block}.{_CLIP_LAYER[layer]}.{leaf}", shape, (name,)))
        elif layer == "self_attn.q_proj":  # open_clip stores query, key and value as one tensor
            own = tuple(name.replace("q_proj", f"{part}_proj") for part in "qkv")
            matches.append(KeyMatch(f"{block}.attn.in_proj_{leaf}", (3 * shape[0], *shape[1:]), own))
    return matches


def _section(config: Mapping[str, Any], section: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    if section not in config or "embed_dim" not in config:
        raise InputError("clip", f"must contain embed_dim and {section}, found {', '.join(config) or 'nothing'}")
    sizes: Mapping[str, Any] = config[section]
    if not isinstance(sizes, Mapping):
        raise InputError(f"clip.{section}", f"must be an object, found {sizes!r:.60}")
    missing = [name for name in names if name not in sizes]
    unknown = sorted(set(sizes) - set(names))
    if missing or unknown:
        name, problem = (missing[0], "must be given") if missing else (unknown[0], "is not supported")
        raise InputError(f"clip.{section}.{name}", problem, f"the entries are {', '.join(names)}")
    for name, value in {**sizes, "embed_dim": config["embed_dim"]}.items():
        most = _MOST.get(name, MAX_WIDTH)
        if type(value) is not int or not 1 <= value <= most:
            raise InputError(f"clip.{section}.{name}", f"must be an integer from 1 to {most}, found {value!r:.60}")
    heads = sizes["heads"] if "heads" in sizes else sizes["head_width"]
    if sizes["width"] % heads:
        raise InputError(f"clip.{section}.width", f"must be a multiple of {heads}, found {sizes['width']}")
    if sizes.get("patch_size", 1) > sizes.get("image_size", 1):
        raise InputError(f"clip.{section}.patch_size", f"must be at most image_size, found {sizes['patch_size']}")
    return sizes


def _activation(config: Mapping[str, Any]) -> str:
    return "quick_gelu" if config.get("quick_gelu", False) else "gelu"
