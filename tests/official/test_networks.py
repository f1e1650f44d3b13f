"""Import of resampler, autoencoder and CLIP encoders, and the refusal of wrong state dicts."""

from __future__ import annotations

import json

import pytest
import torch

from mask2iv.backbones.dynamicrafter.resampler import Resampler
from mask2iv.backbones.dynamicrafter.sizes import ResamplerConfig
from mask2iv.errors import InputError
from mask2iv.models.image import preprocess_clip_image
from mask2iv.official.networks import (
    image_model_from_original,
    resampler_from_original,
    text_model_from_original,
    unet_from_original,
    vae_from_original,
)

IMPORTS = {
    "unet_tiny_8ch": lambda weights, info: unet_from_original(weights, info["config"]),
    "resampler_tiny": lambda weights, info: resampler_from_original(weights, info["config"]),
    "vae_tiny": lambda weights, info: vae_from_original(weights, info["ddconfig"], info["embed_dim"]),
}
CLIP_IMPORTS = {
    "text": lambda weights, info: text_model_from_original(weights, info["config"]),
    "image": lambda weights, info: image_model_from_original(weights, info["config"]),
}


def relative_error(result, expected):
    return float((result - expected).abs().max() / expected.abs().max())


@torch.no_grad()
def test_resampler(load_golden):
    golden = load_golden("resampler_tiny")
    net = resampler_from_original(golden.weights, golden.info["config"])
    torch.testing.assert_close(net(golden["input.x"]), golden["output.y"], rtol=0, atol=2e-5)
    layer, latents = net.layers[0], golden["small.input.latents"]
    assert relative_error(layer.attention(golden["small.input.x"], latents), golden["small.attn"]) < 1e-4
    assert relative_error(layer.feed_forward(latents), golden["small.ff"]) < 1e-4


def test_resampler_of_any_size():
    config = ResamplerConfig(
        dim=16, depth=1, dim_head=4, heads=3, num_queries=2, video_length=5, embedding_dim=12, output_dim=20, ff_mult=2
    )
    net = Resampler(config)
    assert net(torch.randn(3, 7, 12)).shape == (3, 5 * 2, 20)
    assert ResamplerConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(InputError, match=r"features \[B, S, 12\], found \[3, 7, 13\]"):
        net(torch.randn(3, 7, 13))
    with pytest.raises(InputError, match="heads"):
        ResamplerConfig(heads=0)


def test_resampler_without_video_length_makes_tokens_of_one_frame(load_golden):
    golden = load_golden("resampler_tiny")
    weights = {**golden.weights, "latents": golden.weights["latents"][:, :16]}
    flags = {name: value for name, value in golden.info["config"].items() if name != "video_length"}
    assert resampler_from_original(weights, flags)(golden["input.x"]).shape == (2, 16, 48)


@torch.no_grad()
def test_vae(load_golden):
    golden = load_golden("vae_tiny")
    vae = vae_from_original(golden.weights, golden.info["ddconfig"], golden.info["embed_dim"])
    posterior = vae.encode(golden["input.image"]).latent_dist
    torch.testing.assert_close(posterior.parameters, golden["posterior.moments"], rtol=0, atol=2e-5)
    sample = posterior.mean + posterior.std * golden["noise"]
    torch.testing.assert_close(sample, golden["posterior.sample"], rtol=0, atol=2e-5)
    decoded = vae.decode(golden["posterior.mean"]).sample
    torch.testing.assert_close(decoded, golden["decoded"], rtol=0, atol=2e-5)
    moments = vae.encode(golden["small.image"]).latent_dist.parameters
    assert relative_error(moments, golden["small.moments"]) < 1e-4
    torch.testing.assert_close(vae.decode(golden["small.z"]).sample, golden["small.decoded"], rtol=0, atol=2e-5)
    assert vae.config["scaling_factor"] == 0.18215
    assert not vae.training


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"double_z": False}, "double_z"),
        ({"dropout": 0.1}, "dropout"),
        ({"attn_resolutions": [64]}, "attn_resolutions"),
        ({"z_channels": 8}, "embed_dim"),
        ({"tanh_out": True}, "tanh_out"),
    ],
)
def test_unsupported_vae_flags_are_refused_by_name(load_golden, flags, named):
    golden = load_golden("vae_tiny")
    with pytest.raises(InputError, match=f"^autoencoder.{named}: "):
        vae_from_original(golden.weights, golden.info["ddconfig"] | flags)


@torch.no_grad()
def test_text_encoder(load_golden):
    golden = load_golden("clip_tiny")
    encoder = text_model_from_original(golden.weights, golden.info["config"])
    output = encoder(input_ids=golden["text.ids"], output_hidden_states=True)
    penultimate = encoder.final_layer_norm(output.hidden_states[-2])
    torch.testing.assert_close(penultimate, golden["text.penultimate"], rtol=0, atol=2e-5)
    torch.testing.assert_close(output.last_hidden_state, golden["text.last"], rtol=0, atol=2e-5)


@torch.no_grad()
def test_image_encoder(load_golden):
    golden = load_golden("clip_tiny")
    encoder = image_model_from_original(golden.weights, golden.info["config"])
    pixels = preprocess_clip_image(golden["image.raw_u8"].float() / 127.5 - 1)
    torch.testing.assert_close(encoder(pixels).last_hidden_state, golden["image.tokens"], rtol=0, atol=2e-5)
    empty = preprocess_clip_image(torch.zeros(1, 3, 40, 64))
    torch.testing.assert_close(encoder(empty).last_hidden_state, golden["image.zero_tokens"], rtol=0, atol=2e-5)


def test_clip_configuration_must_be_complete(load_golden):
    golden = load_golden("clip_tiny")
    config = golden.info["config"]
    with pytest.raises(InputError, match=r"^clip: must contain embed_dim and text_cfg, found embed_dim$"):
        text_model_from_original(golden.weights, {"embed_dim": 48})
    with pytest.raises(InputError, match=r"^clip\.vision_cfg\.head_width: must be given"):
        image_model_from_original(
            golden.weights, config | {"vision_cfg": {"image_size": 224, "layers": 3, "width": 64, "patch_size": 14}}
        )
    with pytest.raises(InputError, match=r"^clip\.text_cfg\.pool_type: is not supported"):
        text_model_from_original(golden.weights, config | {"text_cfg": config["text_cfg"] | {"pool_type": "last"}})


@pytest.mark.parametrize("name", [*IMPORTS, *CLIP_IMPORTS])
def test_wrong_state_dicts_are_refused_by_key(load_golden, name):
    golden = load_golden(name if name in IMPORTS else "clip_tiny")
    make = (IMPORTS | CLIP_IMPORTS)[name]
    key = {"text": "ln_final.weight", "image": "visual.ln_pre.weight"}.get(name) or list(golden.weights)[-2]
    field = {"unet_tiny_8ch": "unet", "resampler_tiny": "resampler", "vae_tiny": "autoencoder"}.get(
        name, f"{name}_encoder"
    )
    missing = {other: value for other, value in golden.weights.items() if other != key}
    with pytest.raises(InputError, match=f"^{field}.state_dict: misses the key {key}"):
        make(missing, golden.info)
    with pytest.raises(InputError, match=f"^{field}.state_dict: has the unexpected key surplus"):
        make({**golden.weights, "surplus.weight": torch.zeros(1)}, golden.info)
    with pytest.raises(InputError, match=f"^{field}.state_dict: {key} has shape"):
        make({**golden.weights, key: torch.zeros(3, 1)}, golden.info)


def test_every_key_is_used_and_none_is_shared(load_golden):
    """Changing any original tensor changes the network, and the network does not write into the state dict."""
    golden = load_golden("unet_tiny_8ch")
    net = unet_from_original(golden.weights, golden.info["config"])
    assert len(net.state_dict()) == len(golden.weights) == 1516
    total = sum(float(value.double().abs().sum()) for value in net.state_dict().values())
    expected = sum(float(value.double().abs().sum()) for value in golden.weights.values())
    assert total == pytest.approx(expected, rel=1e-9)
    storages = {value.data_ptr() for value in golden.weights.values()}
    assert not storages & {value.data_ptr() for value in net.state_dict().values()}
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_half_precision_weights_load_in_float32(load_golden):
    golden = load_golden("resampler_tiny")
    net = resampler_from_original({k: v.half() for k, v in golden.weights.items()}, golden.info["config"])
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
