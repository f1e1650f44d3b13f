"""The U-Net reproduces the numbers of the original code."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mask2iv.backbones.dynamicrafter.attention import Context
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.official.networks import unet_from_original

CASES = [
    (name, case)
    for name, cases in {
        "unet_tiny_8ch": ("input", "b2", "shared", "t8"),
        "unet_tiny_12ch": ("input", "b2", "shared", "t8"),
        "unet_tiny_8ch_alpha": ("input", "shared"),
    }.items()
    for case in cases
]
BLOCKS = [
    "res_2d",
    "res",
    "res_b2",
    "temporal_conv",
    "spatial",
    "temporal",
    "init_attn",
    "out",
    "down",
    "spatial_self_attn",
    "spatial_cross_attn",
    "spatial_ff",
    "spatial_block",
]


@pytest.fixture(scope="module")
def network(load_golden):
    """Networks by golden file, each made once."""
    made: dict[str, VideoUNet] = {}

    def get(name: str) -> VideoUNet:
        if name not in made:
            golden = load_golden(name)
            made[name] = unet_from_original(golden.weights, golden.info["config"]).eval()
        return made[name]

    return get


@pytest.mark.parametrize(("name", "case"), CASES)
@torch.no_grad()
def test_whole_network(load_golden, network, name, case):
    golden = load_golden(name)
    expected = golden["output.y" if case == "input" else f"{case}.y"]
    fps = golden.tensors.get(f"{case}.fs")
    result = network(name)(golden[f"{case}.x"], golden[f"{case}.timesteps"], golden[f"{case}.context"], fps)
    torch.testing.assert_close(result, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize(("name", "case"), [("unet_tiny_8ch", "b2"), ("unet_tiny_8ch_alpha", "shared")])
@torch.no_grad()
def test_the_plain_second_implementation_agrees_too(load_golden, naive_unet, name, case):
    golden = load_golden(name)
    plain = naive_unet(golden.weights, golden.info["config"])
    fps = golden.tensors.get(f"{case}.fs")
    result = plain(golden[f"{case}.x"], golden[f"{case}.timesteps"], golden[f"{case}.context"], fps)
    torch.testing.assert_close(result, golden[f"{case}.y"], rtol=0, atol=2e-5)
    assert plain.used == set(golden.weights)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("scale", ["unit", "small"])
@torch.no_grad()
def test_single_block(load_golden, network, block, scale):
    """The small inputs (deviation 1e-3) show the epsilon of every norm."""
    golden = load_golden("unet_tiny_blocks")
    expected = golden[f"{scale}.{block}"]
    context = golden["input.context"]
    result = _run(network("unet_tiny_blocks"), block, golden[f"input.x_{scale}"], context, golden["input.emb"])
    atol = 1e-4 * float(expected.abs().max()) if scale == "small" else 2e-5
    torch.testing.assert_close(result.reshape(expected.shape), expected, rtol=0, atol=atol)


def _run(net: VideoUNet, block: str, x: Tensor, context: Tensor, embedding: Tensor) -> Tensor:
    """One block on four rows: frames of one sample, or two samples of two frames for ``res_b2``."""
    first = net.encoder[0]
    res, spatial, temporal = first.res, first.spatial, first.temporal
    # The golden context is per row; here text is given once per sample, and each row is a sample of its own.
    tokens = Context(context[:, :77], context[:, 77:])
    transformer = spatial.blocks[0]
    flat = x.flatten(2).transpose(1, 2)
    if block.startswith("res"):
        if block == "res_2d":
            return _without_temporal_conv(res, x, embedding)
        hidden = _without_temporal_conv(res, x, embedding)
        return res.temporal_conv(hidden, 2 if block == "res_b2" else 1)
    video = {"temporal_conv": lambda: res.temporal_conv(x, 1)}
    video["temporal"] = lambda: temporal(x, tokens, 1)
    video["init_attn"] = lambda: net.init_attention(x, tokens, 1)
    if block in video:
        return video[block]().transpose(0, 1)
    return {
        "spatial": lambda: spatial(x, tokens),
        "out": lambda: net.conv_out(torch.nn.functional.silu(net.norm_out(x))),
        "down": lambda: net.encoder[2].resample(x),
        "spatial_self_attn": lambda: transformer.attn1(flat),
        "spatial_cross_attn": lambda: transformer.attn2(flat, tokens),
        "spatial_ff": lambda: transformer.ff(flat),
        "spatial_block": lambda: transformer(flat, tokens),
    }[block]()


def _without_temporal_conv(res, x: Tensor, embedding: Tensor) -> Tensor:
    temporal_conv, res.temporal_conv = res.temporal_conv, None
    try:
        return res(x, embedding, batch_size=x.shape[0])
    finally:
        res.temporal_conv = temporal_conv
