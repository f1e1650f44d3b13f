"""Recorded calls compute with the current inputs, whatever was given when they were recorded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.models.graphs import CudaGraphRecorder, StepGraphs


class Recorder:
    """As CUDA graphs do: all but tensors is fixed when recorded, and every result is written to the same memory."""

    def __init__(self) -> None:
        self.recorded = 0

    def __call__(self, call: Callable[[], Tensor]) -> Callable[[], Tensor]:
        self.recorded += 1
        result = call()
        return lambda: result.copy_(call())


def network(device: str = "cpu") -> VideoUNet:
    torch.manual_seed(0)
    config = UNetConfig(
        model_channels=32, num_head_channels=16, context_dim=48, channel_mult=(1, 2), num_res_blocks=1,
        attention_resolutions=(1, 2),
    )  # fmt: skip
    net = VideoUNet(config).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter.normal_(0, 0.05)
    return net.to(device)


def inputs(net: VideoUNet, batch: int, frames: int, seed: int) -> tuple:
    random = torch.Generator().manual_seed(seed)
    device = net.conv_in.weight.device
    x = torch.randn(batch, 12, frames, 8, 8, generator=random).to(device)
    context = torch.randn(batch, 77 + 16 * frames, 48, generator=random).to(device)
    times = torch.randint(0, 1000, (batch,), generator=random).to(device)
    fps = torch.full((batch,), 8.0, device=device)
    return x, times, context, fps


@torch.no_grad()
def check(net: VideoUNet, tolerance: float) -> None:
    """Other numbers, other contexts, other sizes, written in place, and the first ones again."""
    graphs = net.graphs
    given = [inputs(net, *shape) for shape in [(1, 4, 0), (1, 4, 1), (2, 4, 2), (1, 6, 3), (1, 4, 0)]]
    net.graphs = None
    expected = [net(*one) for one in given]
    moved = net(given[0][0] + 1, *given[0][1:])
    net.graphs = graphs
    found = [net(*one) for one in given]
    given[0][0].add_(1)
    found.append(net(*given[0]))
    for one, other in zip([*expected, moved], found, strict=True):
        torch.testing.assert_close(other, one, rtol=tolerance, atol=tolerance)
    assert not torch.allclose(expected[0], expected[1], atol=1e-3)


def test_replays_give_what_the_network_gives() -> None:
    net, recorder = network(), Recorder()
    net.graphs = StepGraphs(recorder)
    check(net, 0)
    assert recorder.recorded == len(net.graphs) == 3, "one for each size"


@torch.no_grad()
def test_a_context_is_copied_once() -> None:
    net = network()
    net.graphs = StepGraphs(Recorder())
    x, times, context, fps = inputs(net, 1, 4, 0)
    net(x, times, context, fps)
    recording = next(iter(net.graphs._recordings.values()))
    before = [buffer._version for buffer in recording.buffers]
    net(x + 1, times, context, fps)
    written = sum(buffer._version > old for buffer, old in zip(recording.buffers, before, strict=True))
    assert written == 1, "the latents alone"


@torch.no_grad()
def test_results_are_the_callers_own_and_old_sizes_are_forgotten() -> None:
    net, recorder = network(), Recorder()
    net.graphs = StepGraphs(recorder, limit=1)
    first = inputs(net, 1, 4, 0)
    one = net(*first)
    kept = one.clone()
    net(*inputs(net, 1, 4, 1))
    assert torch.equal(one, kept)
    net(*inputs(net, 2, 4, 1))
    assert len(net.graphs) == 1
    torch.testing.assert_close(net(*first), kept)
    assert recorder.recorded == 3


@torch.no_grad()
def test_other_weights_are_recorded_anew() -> None:
    net, recorder = network(), Recorder()
    net.graphs = StepGraphs(recorder)
    given = inputs(net, 1, 4, 0)
    net(*given)
    net.double().float()  # the same weights in another place
    net(*given)
    assert recorder.recorded == 2


def test_gradients_bypass_recordings() -> None:
    net, recorder = network(), Recorder()
    net.graphs = StepGraphs(recorder)
    x, times, _, fps = inputs(net, 1, 4, 0)
    net(x.requires_grad_(), times, torch.zeros(1, 77 + 64, 48), fps).sum().backward()
    assert recorder.recorded == 0
    assert x.grad is not None


@pytest.mark.gpu
def test_cuda_graphs_give_what_the_network_gives() -> None:
    net = network("cuda")
    net.graphs = StepGraphs(CudaGraphRecorder())
    check(net, 1e-4)
    assert len(net.graphs) == 3
