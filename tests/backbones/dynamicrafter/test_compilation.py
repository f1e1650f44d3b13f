"""Compiled parts give the same numbers, and a failure to compile is reported."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from mask2iv.backbones.dynamicrafter.compilation import REGIONS, Compilation
from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet

CONFIG = UNetConfig(
    model_channels=32, num_head_channels=16, context_dim=48, channel_mult=(1,), num_res_blocks=1,
    attention_resolutions=(1,),
)  # fmt: skip


def network() -> VideoUNet:
    torch.manual_seed(0)
    net = VideoUNet(CONFIG).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.normal_(0, 0.05)
    return net


def inputs(batch: int = 1, size: int = 8) -> tuple:
    random = torch.Generator().manual_seed(batch)
    x = torch.randn(batch, 12, 2, size, size, generator=random)
    context = torch.randn(batch, 77 + 32, 48, generator=random)
    return x, torch.full((batch,), 500), context, torch.full((batch,), 8.0)


def options(backend: Any) -> dict[str, Any]:
    return {"fullgraph": True, "dynamic": False, "backend": backend}


@torch.no_grad()
def compare(backend: str, net: VideoUNet, given: list[tuple]) -> None:
    expected = [net(*one) for one in given]
    Compilation(**options(backend)).add(net)
    for one, want in zip(given, expected, strict=True):
        torch.testing.assert_close(net(*one), want, rtol=1e-4, atol=1e-5)


def test_parts_are_captured_whole_and_equal_ones_once() -> None:
    torch._dynamo.reset()
    counters.clear()
    compare("eager", network(), [inputs()])
    parts = sum(isinstance(module, REGIONS) for module in network().modules())
    # Residual blocks of 32 and of 64 channels, one spatial and one temporal transformer, and a wider one at the start.
    assert counters["stats"]["unique_graphs"] == 5 < parts
    assert not counters["graph_break"]


@pytest.mark.slow
def test_compiled_numbers_are_the_networks_own() -> None:
    """With the real compiler, at two sizes and batches."""
    compare("inductor", network(), [inputs(), inputs(2, 16)])


def broken(graph: Any, examples: Any) -> Any:
    raise RuntimeError("no compiler today")


@torch.no_grad()
def test_a_failure_is_said_once_and_computed_without() -> None:
    torch._dynamo.reset()
    net = network()
    expected = net(*inputs())
    compilation = Compilation(**options(broken))
    compilation.add(net)
    with pytest.warns(RuntimeWarning, match="going on without it.*TemporalTransformer.*no compiler today") as said:
        found = net(*inputs())
    assert len([one for one in said if one.category is RuntimeWarning]) == 1, "whatever else PyTorch has to say"
    assert torch.equal(found, expected)
    assert "no compiler today" in (compilation.failure or "")


def test_what_can_never_work_is_given_up_at_once() -> None:
    torch._dynamo.reset()
    with pytest.warns(
        RuntimeWarning, match=r"torch.compile does not work here: .*no compiler today.*; going on without"
    ):
        assert not Compilation(**options(broken)).works(torch.device("cpu"))
