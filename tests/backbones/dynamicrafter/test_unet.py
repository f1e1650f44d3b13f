"""Properties of the U-Net beyond the golden numbers."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from mask2iv.backbones.dynamicrafter.attention import fused_attention
from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.errors import InputError

SMALL = UNetConfig(
    in_channels=6,
    out_channels=4,
    model_channels=32,
    channel_mult=(1, 2),
    num_res_blocks=1,
    attention_resolutions=(2,),
    num_head_channels=16,
    context_dim=24,
    text_tokens=5,
    image_tokens_per_frame=2,
    dropout=0.0,
    temporal_conv_dropout=0.0,
)


@pytest.fixture
def net():
    """A small network without the zeros of a fresh one."""
    torch.manual_seed(0)
    made = VideoUNet(SMALL)
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return made


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(2, 6, 3, 4, 8, generator=generator),
        torch.tensor([10, 700]),
        torch.randn(2, 5 + 3 * 2, 24, generator=generator),
        torch.tensor([8.0, 12.5]),
    )


@pytest.mark.parametrize(("channels", "parameters"), [(8, 1_438_854_980), (12, 1_438_866_500)])
def test_full_size_counts(channels, parameters):
    with torch.device("meta"):
        net = VideoUNet(UNetConfig(in_channels=channels))
    assert len(net.state_dict()) == 1516
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


def test_a_fresh_network_returns_zeros(inputs):
    result = VideoUNet(SMALL)(*inputs)
    assert result.shape == (2, 4, 3, 4, 8)
    assert not result.any()


def test_a_fresh_network_ignores_the_frame_rate():
    net = VideoUNet(SMALL)
    slow, fast = (net._embed(torch.tensor([5]), torch.tensor([fps])) for fps in (3.0, 30.0))
    assert torch.equal(slow, fast)


@torch.no_grad()
def test_samples_of_a_batch_do_not_touch_each_other(net, inputs):
    together = net(*inputs)
    for index in range(2):
        alone = net(*(value[index : index + 1] for value in inputs))
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_per_frame_tokens_equal_shared_ones_where_all_frames_have_the_same(net, inputs):
    x, timesteps, context, fps = inputs
    text, image = context[:, :5], context[:, 5:7]
    shared = net(x, timesteps, torch.cat([text, image], dim=1), fps)
    per_frame = net(x, timesteps, torch.cat([text, image.repeat(1, 3, 1)], dim=1), fps)
    torch.testing.assert_close(per_frame, shared, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_image_tokens_of_a_frame_reach_other_frames_only_through_temporal_layers(inputs):
    x, timesteps, context, fps = inputs
    config = dataclasses.replace(SMALL, temporal_attention=False, temporal_conv=False, init_attention=False)
    torch.manual_seed(0)
    net = VideoUNet(config)
    for parameter in net.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    changed = context.clone()
    changed[:, 5 + 2 : 5 + 4] += 1  # tokens of the second frame
    difference = (net(x, timesteps, changed, fps) - net(x, timesteps, context, fps)).abs().amax(dim=(0, 1, 3, 4))
    assert difference[1] > 1e-4
    assert difference[0] == 0
    assert difference[2] == 0


@torch.no_grad()
def test_no_frame_rate_means_the_default(net, inputs):
    x, timesteps, context, fps = inputs
    default = net(x, timesteps, context, torch.full((2,), float(SMALL.default_fps)))
    assert torch.equal(net(x, timesteps, context), default)
    assert not torch.allclose(net(x, timesteps, context, fps), default)


def test_gradient_checkpointing_changes_no_gradient(net, inputs, monkeypatch):
    recomputed = []
    monkeypatch.setattr(
        "mask2iv.backbones.dynamicrafter.unet.checkpoint",
        lambda block, *args, **options: recomputed.append(block) or checkpoint(block, *args, **options),
    )
    other = copy.deepcopy(net)
    other.enable_gradient_checkpointing()
    for network in (net, other):
        network(*inputs).square().mean().backward()
    assert recomputed == other.blocks
    for (name, left), (_, right) in zip(net.named_parameters(), other.named_parameters(), strict=True):
        assert left.grad is not None, name
        torch.testing.assert_close(left.grad, right.grad, rtol=1e-5, atol=1e-7)


def test_gradient_checkpointing_under_autocast_with_dropout(inputs):
    config = dataclasses.replace(SMALL, dropout=0.3, temporal_conv_dropout=0.3)
    gradients = []
    for enabled in (False, True):
        torch.manual_seed(0)
        net = VideoUNet(config)
        torch.nn.init.normal_(net.conv_out.weight, std=0.05)
        net.enable_gradient_checkpointing(enabled)
        torch.manual_seed(2)
        with torch.autocast("cpu", torch.bfloat16):
            result = net(*inputs)
        assert result.dtype == torch.float32
        result.square().mean().backward()
        gradients.append(net.conv_in.weight.grad)
    assert torch.isfinite(gradients[0]).all()
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("way", ["autocast", "bfloat16", "float16"])
@torch.no_grad()
def test_half_precision_stays_close(net, inputs, way):
    expected = net(*inputs)
    x, timesteps, context, fps = inputs
    if way == "autocast":
        with torch.autocast("cpu", torch.bfloat16):
            result = net(*inputs)
    else:
        dtype = getattr(torch, way)
        result = net.to(dtype)(x.to(dtype), timesteps, context.to(dtype), fps)
        assert result.dtype == dtype
    error = (result.float() - expected).norm() / expected.norm()
    assert error < (0.01 if way == "float16" else 0.03)


def test_attention_of_more_rows_than_a_kernel_takes():
    query, key, value = torch.randn(3, 70_000, 1, 2, 4).unbind()
    weights = (query @ key.transpose(2, 3) / 2).softmax(dim=-1)
    torch.testing.assert_close(fused_attention(query, key, value), weights @ value, rtol=1e-5, atol=1e-5)


def test_state_dict_round_trip(net, inputs):
    other = VideoUNet(SMALL)
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(other(*inputs), net(*inputs))


@pytest.mark.parametrize(
    ("position", "value", "named"),
    [
        (0, torch.zeros(2, 5, 3, 4, 8), "in_channels"),
        (0, torch.zeros(2, 6, 4, 8), r"x: VideoUNet expects \[B, 6, T, h, w\]"),
        (0, torch.zeros(2, 6, 3, 5, 8), "x: .*multiples of 2, found 5 x 8"),
        (1, torch.tensor([1]), r"timesteps: VideoUNet expects \[B=2\], found \[1\]"),
        (2, torch.zeros(2, 11, 25), r"context: VideoUNet expects \[B, L, 24\]"),
        (2, torch.zeros(1, 11, 24), "context: it is for 1 samples, x of VideoUNet has 2"),
        (2, torch.zeros(2, 0, 24), "context: VideoUNet found no tokens"),
        (3, torch.tensor(8.0), r"fps: VideoUNet expects \[B=2\]"),
    ],
)
def test_wrong_inputs_are_refused_by_name(inputs, position, value, named):
    changed = [*inputs]
    changed[position] = value
    with pytest.raises(InputError, match=named):
        VideoUNet(SMALL)(*changed)


def test_config_survives_json():
    assert UNetConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"channels": 4}, "channels"),
        ({"model_channels": 48}, "model_channels"),
        ({"channel_mult": []}, "channel_mult"),
        ({"channel_mult": [1, 0]}, "channel_mult"),
        ({"num_res_blocks": 0}, "num_res_blocks"),
        ({"num_head_channels": None}, "num_heads"),
        ({"num_head_channels": None, "num_heads": 2}, "init_attention"),
        ({"num_head_channels": 128}, "num_head_channels"),
        ({"dropout": 1}, "dropout"),
        ({"resample": "none"}, "resample"),
        ({"temporal_attention": 1}, "temporal_attention"),
        ({"default_fps": -1}, "default_fps"),
        ({"text_tokens": True}, "text_tokens"),
    ],
)
def test_wrong_configurations_are_refused_by_name(fields, named):
    with pytest.raises(InputError, match=named):
        UNetConfig.from_dict(SMALL.to_dict() | fields)


@torch.no_grad()
@pytest.mark.parametrize("depth", [1, 2])
def test_both_memory_formats_give_the_same_numbers(net, inputs, monkeypatch, depth):
    config = dataclasses.replace(SMALL, transformer_depth=depth, relative_position_range=2, init_attention_text=True)
    for made in (net.eval(), VideoUNet(config).eval()):
        for parameter in made.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.05)
        plain = made(*inputs)
        monkeypatch.setattr("mask2iv.backbones.dynamicrafter.unet.CHANNELS_LAST_WIDTH", 1)
        assert made._memory_format(torch.device("cpu")) is torch.channels_last
        torch.testing.assert_close(made(*inputs), plain, rtol=0, atol=2e-5)
        monkeypatch.undo()


@torch.no_grad()
def test_feed_forward_in_pieces_equals_the_whole(net):
    layer = net.middle[0].spatial.blocks[0].ff
    x = torch.randn(3, 700, layer.proj_out.out_features, generator=torch.Generator().manual_seed(0))
    with torch.enable_grad():
        whole = layer(x)
    torch.testing.assert_close(layer(x), whole, rtol=0, atol=1e-5)
