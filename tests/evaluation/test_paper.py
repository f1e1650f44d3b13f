"""The paper's protocol: its measures by hand, and that its figures are never taken for our own."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mask2iv.cli import main
from mask2iv.contract import Trajectory
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.paper import central_square, channel_miou, psnr_by_frame


def video(*levels: int) -> np.ndarray:
    """Frames of one grey each."""
    return np.stack([np.full((4, 6, 3), level, dtype=np.uint8) for level in levels])


def test_psnr_is_the_mean_of_the_frames_with_the_first() -> None:
    """Errors of 0, 1 and 16 levels: 100 dB at most, 20 log10(255), 20 log10(255 / 16)."""
    expected = (100 + 20 * math.log10(255) + 20 * math.log10(255 / 16)) / 3
    assert psnr_by_frame(video(10, 11, 26), video(10, 10, 10)) == pytest.approx(expected)
    with pytest.raises(InputError, match=r"predicted: must have the shape \[3, 4, 6, 3\]"):
        psnr_by_frame(video(1, 2), video(1, 2, 3))


def test_miou_over_channels_by_hand() -> None:
    """Two frames of 1 x 6. Red: 3 of 5 pixels shared; green: 1 of 4; blue: off in both, so 1."""
    true = np.array([[[2, 2, 2, 1, 1, 0]], [[0, 0, 2, 0, 0, 0]]], dtype=np.uint8)
    predicted = np.array([[[2, 2, 0, 3, 0, 0]], [[0, 0, 2, 2, 1, 1]]], dtype=np.uint8)
    found = channel_miou(Trajectory(predicted), Trajectory(true))
    assert found == pytest.approx((3 / 5 + 1 / 4 + 1) / 3)
    nothing = Trajectory(np.zeros_like(true))
    assert channel_miou(nothing, Trajectory(true)) == pytest.approx(1 / 3)
    assert channel_miou(nothing, nothing) == 1


def test_miou_counts_painted_colours() -> None:
    painted = np.array([[[[255, 255, 0], [0, 0, 255]]]], dtype=np.uint8)  # actor and object; a second part
    true = Trajectory(np.array([[[2, 2]]], dtype=np.uint8))
    found = channel_miou(Trajectory(true.labels, 8.0, painted), true)
    assert found == pytest.approx((1 / 2 + 0 + 0) / 3)


@pytest.mark.parametrize(("height", "width"), [(320, 512), (512, 320), (224, 224), (160, 256)])
def test_fvd_sees_the_middle_square(height: int, width: int) -> None:
    """A ramp over the longer side: what is left is its middle, at the scale that makes the shorter side 224."""
    wide = width >= height
    longer, shorter = max(height, width), min(height, width)
    ramp = torch.arange(longer, dtype=torch.float32)
    plane = ramp.expand(height, width) if wide else ramp[:, None].expand(height, width)
    found = central_square(plane.expand(1, 3, 2, height, width), 224)
    assert found.shape == (1, 3, 2, 224, 224)
    resized = math.ceil(longer * 224 / shorter)
    start = (resized - 224) // 2
    line = found[0, 0, 0, 100, :] if wide else found[0, 0, 0, :, 100]
    for at in (0, 57, 223):
        # Pixel centres: place p of the resized side lies at (p + 1/2) * longer / resized - 1/2 of the given one.
        place = min(max((start + at + 0.5) * longer / resized - 0.5, 0), longer - 1)
        assert line[at].item() == pytest.approx(place, abs=1e-2)


def test_the_two_protocols_are_recorded_and_not_compared(
    tiny_clips: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(protocol: str, out: Path) -> int:
        flags = ["--data", str(tiny_clips), "--model", str(tiny_model), "--out", str(out), "--limit", "2"]
        flags += ["--steps", "1", "--metrics", "psnr", "--threads", "1", "--device", "cpu"]
        return main(["evaluate", *flags, "--protocol", protocol])

    own, paper = tmp_path / "own", tmp_path / "paper"
    assert run("own", own) == 0
    assert "mIoU over colour channels" not in capsys.readouterr().out
    assert run("paper", paper) == 0
    assert "are by the paper's protocol and count the first frame" in capsys.readouterr().out
    found = {out.name: json.loads((out / "metrics.json").read_text()) for out in (own, paper)}
    for name, result in found.items():
        assert result["protocol"]["convention"] == name
        assert ("channel_miou" in result["trajectory"]["text"]) == (name == "paper")
    assert "mean over all frames" in found["paper"]["protocol"]["metrics"]["psnr"]
    assert "paper" in (paper / "report.html").read_text()
    # Of the repeated first frame, the first is right: it raises the paper's figure.
    stills = [result["video"]["still"]["psnr"]["value"] for result in found.values()]
    assert stills[1] > stills[0]
    assert main(["compare", str(own), str(paper)]) == 2
    assert "differ in convention (own and paper)" in capsys.readouterr().err
    assert run("own", paper) == 2
    assert "holds an evaluation that differs in convention, metrics, scoring" in capsys.readouterr().err
    # An evaluation from before there were two is one of our own.
    protocol = json.loads((own / "protocol.json").read_text())
    del protocol["convention"]
    (own / "protocol.json").write_text(json.dumps(protocol))
    assert run("own", own) == 0
    assert main(["compare", str(paper), str(own)]) == 2
    assert "differ in convention (paper and own)" in capsys.readouterr().err
