"""The benchmark counts and times what generation really does."""

import json
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mask2iv.backbones.dynamicrafter.sizes import UNetConfig
from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.cli import main
from mask2iv.commands.measuring.bench import PARTS
from mask2iv.commands.measuring.speed import PartTiming, original_pipeline, part_calls, time_part
from mask2iv.official.layout import OriginalConfig
from mask2iv.pipelines.pipeline import Mask2IVPipeline


def bench(model: Path, *flags: str) -> int:
    return main(["bench", "--model", str(model), "--runs", "2", "--steps", "1", "--threads", "1", *flags])


def test_every_part_of_a_model_is_timed(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(tiny_model, "--json", "--batch", "2") == 0
    report = json.loads(capsys.readouterr().out)
    assert tuple(report["parts"]) == PARTS
    assert report["size"] == "32x64"
    for row in report["parts"].values():
        assert row["min_s"] <= row["median_s"] <= row["max_s"]
        assert row["runs"] == 2
        assert row["peak_gib"] > 0
    parts = report["parts"]
    assert parts["generation"]["tflop"] == pytest.approx(
        parts["trajectory"]["tflop"] + parts["video"]["tflop"], rel=0.1
    ), "both stages and nothing else"


def test_chosen_parts_as_a_table(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench(tiny_model, "--parts", "text,network") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith(("| text", "| network"))] == [
        "| text",
        "| network",
    ]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--parts", "unet"), "--parts: 'unet' is not a part; choose from network"),
        (("--batch", "0"), "--batch: must be at least 1, found 0"),
        (("--size", "33x64"), "must be multiples of"),
    ],
)
def test_bad_flags_say_so(
    flags: tuple[str, ...], message: str, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(tiny_model, *flags) == 2
    assert message in capsys.readouterr().err


def test_operations_on_the_cpu_are_counted_with_attention() -> None:
    """The CPU's own kernels must not make a network look cheaper than the same network without storage."""
    config = UNetConfig(model_channels=32, num_head_channels=16, context_dim=48, channel_mult=(1, 2))
    shapes = (1, 12, 4, 8, 8), (1,), (1, 77 + 4 * 16, 48)

    def count(device: str) -> int:
        with torch.device(device):
            net = VideoUNet(config).eval().requires_grad_(False)
            x, t, context = torch.zeros(shapes[0]), torch.zeros(shapes[1]), torch.zeros(shapes[2])
        if device == "cpu":
            return time_part(lambda: net(x, t, context), torch.device("cpu"), runs=1).flops
        with FlopCounterMode(display=False) as counter:
            net(x, t, context)
        return counter.get_total_flops()

    assert count("cpu") == count("meta") > 0


@pytest.mark.slow
def test_operations_of_what_is_compiled_are_counted(tiny_model: Path) -> None:
    pipe = Mask2IVPipeline.from_pretrained(tiny_model).requires_grad_(False)
    call = part_calls(pipe, (32, 64), batch=1, steps=1)["network"]
    plain = time_part(call, torch.device("cpu"), runs=1)
    pipe.compile(backend="eager")
    again = time_part(call, torch.device("cpu"), runs=1, uncompiled=pipe.uncompiled)
    assert again.flops == plain.flops > 0


def test_shares_and_rates_follow_from_the_figures() -> None:
    row = PartTiming([2.0, 1.0, 4.0], flops=4 * 10**12, peak_bytes=3 * 2**30).record(peak_flops=8e12)
    assert (row["median_s"], row["tflop_per_s"], row["share_of_peak"], row["peak_gib"]) == (2.0, 2.0, 0.25, 3.0)


def test_random_networks_of_an_original_model_generate() -> None:
    clip = {
        "embed_dim": 32,
        "vision_cfg": {"image_size": 28, "layers": 2, "width": 32, "head_width": 16, "patch_size": 14},
        "text_cfg": {"context_length": 77, "vocab_size": 512, "width": 48, "heads": 4, "layers": 2},
    }
    base = OriginalConfig()
    config = OriginalConfig(
        unet={**base.unet, "model_channels": 32, "num_head_channels": 16, "context_dim": 48, "temporal_length": 4},
        resampler={**base.resampler, "dim": 32, "dim_head": 8, "heads": 3, "embedding_dim": 32, "output_dim": 48,
                   "video_length": 4},
        autoencoder={"ch": 32},
        clip=clip, height=64, width=64,
    )  # fmt: skip
    pipeline = original_pipeline(torch.float32, config).requires_grad_(False)
    calls = part_calls(pipeline, (64, 64), batch=1, steps=1)
    assert set(calls) == set(PARTS)
    assert calls["generation"]().frames[0].shape == (4, 64, 64, 3)
