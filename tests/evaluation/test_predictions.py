"""Videos of other programs are paired by clip id and scored; what does not fit is named."""

import json
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from mask2iv.cli import main
from mask2iv.data.store import ClipSet
from mask2iv.files import sha256_file
from mask2iv.media.videos import write_video
from mask2iv.models.lpips import shipped_identity
from mask2iv.trajectories.storage import save_trajectory_file, save_trajectory_folder


def foreign(clips: Path, folder: Path, names: list[str] | None = None) -> Path:
    """The true videos, as another program might have written them."""
    for clip in ClipSet(clips):
        if names is None or clip.clip_id in names:
            write_video(folder / f"{clip.clip_id}.mp4", clip.video, clip.fps, crf=1, pixel_format="yuv444p")
    return folder


def score(clips: Path, folder: Path, out: Path, *more: str) -> int:
    flags = ["--predictions", str(folder), "--data", str(clips), "--out", str(out), "--device", "cpu", *more]
    return main(["evaluate", *flags, "--metrics", "psnr,ssim,interaction"])


def test_true_videos_score_like_the_true_videos(tiny_clips: Path, tmp_path: Path) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs")
    assert score(tiny_clips, folder, tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["predictions"]["model"]["psnr"]["value"] > 40
    assert found["predictions"]["gain"]["psnr"]["low"] > 0
    cards = found["interaction"]
    assert cards["predictions"]["object_miou"]["value"] == pytest.approx(
        cards["true"]["object_miou"]["value"], abs=0.05
    )
    assert found["protocol"]["missing"] == []
    assert found["protocol"]["scoring"]["num_frames"] == 4


def test_a_video_is_held_against_the_trajectory_beside_it(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs")
    clips = ClipSet(tiny_clips)
    assert score(tiny_clips, folder, tmp_path / "plain") == 0
    for index, clip in enumerate(clips):
        wrong = clip.trajectory.labels.copy()
        wrong[1:] = np.roll(wrong[1:], 12, axis=1)
        trajectory = type(clip.trajectory)(wrong, clip.fps)
        if index % 2:
            save_trajectory_file(trajectory, folder / clip.clip_id / "labels.npz")
        else:
            save_trajectory_folder(trajectory, folder / clip.clip_id / "trajectory")
    assert score(tiny_clips, folder, tmp_path / "other") == 0
    plain, other = (
        json.loads((tmp_path / name / "metrics.json").read_text())["interaction"]["predictions"]["object_miou"]["value"]
        for name in ("plain", "other")
    )
    assert other < plain - 0.3
    # Videos and trajectories together tell one output from another.
    save_trajectory_file(ClipSet(tiny_clips)[1].trajectory, folder / "clip-1" / "labels.npz")
    assert score(tiny_clips, folder, tmp_path / "other") == 2
    assert "holds an evaluation that differs in predictions_sha256" in capsys.readouterr().err


def test_missing_videos_are_an_error_or_stated(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs", ["clip-1", "clip-4"])
    assert score(tiny_clips, folder, tmp_path / "out") == 2
    assert "has no video for clip-0, clip-2, clip-3, clip-5" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert score(tiny_clips, folder, tmp_path / "out", "--allow-missing") == 0
    protocol = json.loads((tmp_path / "out" / "protocol.json").read_text())
    assert (protocol["clips"], protocol["missing"]) == (2, ["clip-0", "clip-2", "clip-3", "clip-5"])


def test_extra_and_misshapen_videos_are_named(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs")
    clip = ClipSet(tiny_clips)[0]
    write_video(folder / "clip-99.mp4", clip.video, 8.0)
    assert score(tiny_clips, folder, tmp_path / "out") == 2
    assert "clip-99 in" in capsys.readouterr().err
    (folder / "clip-99.mp4").unlink()
    write_video(folder / "clip-0.mp4", clip.video[:3], 8.0)
    assert score(tiny_clips, folder, tmp_path / "out") == 2
    assert "clip-0.mp4 is 3 frames of 32x64, and clip clip-0 is scored at 4 frames of 32x64" in capsys.readouterr().err


def test_other_endings_are_found_and_hidden_files_ignored(
    tiny_clips: Path, tmp_path: Path, encoding: ModuleType
) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs")
    video = ClipSet(tiny_clips)[0].video
    (folder / "clip-0.mp4").unlink()
    encoding.encode(folder / "clip-0.webm", video, codec="libvpx-vp9")
    (folder / "clip-1.mp4").rename(folder / "clip-1.MP4")
    (folder / "clip-2").mkdir()
    (folder / "clip-2.mp4").rename(folder / "clip-2" / "video.mp4")
    save_trajectory_folder(ClipSet(tiny_clips)[3].trajectory, folder / "clip-3" / "trajectory")
    (folder / "clip-3" / "trajectory" / "._0000.png").write_bytes(b"x")
    for name in ("._clip-4.mp4", ".DS_Store", ".hidden.webm"):
        (folder / name).write_bytes(b"what macOS leaves beside files")
    assert score(tiny_clips, folder, tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["predictions"]["model"]["psnr"]["value"] > 28


def test_two_videos_of_one_clip_are_refused(
    tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs")
    shutil.copy(folder / "clip-0.mp4", folder / "clip-0.mov")
    assert score(tiny_clips, folder, tmp_path / "out") == 2
    assert "clip-0.mov and " in capsys.readouterr().err


def test_too_many_frames_name_the_flag(tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs")
    assert score(tiny_clips, folder, tmp_path / "out", "--frames", "99") == 2
    assert "--frames: 99 frames cannot be taken from a clip of 4; lower it" in capsys.readouterr().err


def test_several_answers_per_clip(tiny_clips: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        foreign(tiny_clips, tmp_path / "theirs" / f"seed-{seed}")
    assert score(tiny_clips, tmp_path / "theirs", tmp_path / "out") == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert found["protocol"]["seeds"] == 2
    assert found["interaction"]["predictions"]["diversity"]["value"] == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "embedded", "--predictions", "x"], "--model: is of no use with --predictions"),
        (["--frames", "3"], "--frames: belongs to --predictions"),
        (["--predictions", "/nowhere"], "--predictions: /nowhere is not a folder"),
    ],
)
def test_flags_that_do_not_go_together(
    flags: list[str], message: str, tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--data", str(tiny_clips), "--out", str(tmp_path / "o"), "--metrics", "psnr", *flags]) == 2
    assert message in capsys.readouterr().err


def test_given_weights_are_used_and_named(tiny_clips: Path, tmp_path: Path) -> None:
    """With weights at hand the metrics appear in the output; here networks of the right interface."""
    folder = foreign(tiny_clips, tmp_path / "theirs")
    module = torch.jit.script(Means())
    module.save(str(tmp_path / "net.pt"))
    digest = sha256_file(tmp_path / "net.pt")
    flags = ["--predictions", str(folder), "--data", str(tiny_clips), "--out", str(tmp_path / "out"), "--device", "cpu"]
    weights = ["--weights", f"fid={tmp_path / 'net.pt'}@sha256:{digest}", f"fvd={tmp_path / 'net.pt'}@sha256:{digest}"]
    assert main(["evaluate", *flags, "--metrics", "fid,fvd,lpips", *weights]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    still, theirs = (found["distribution"]["fid"][name]["value"] for name in ("still", "predictions"))
    assert theirs < still / 1000, "encoding barely changes the colours"
    assert found["protocol"]["weights"]["fid"] == {"name": "net.pt", "sha256": digest}
    assert found["protocol"]["unavailable"]["fvd"] == "it takes clips of 10 frames or more, and these have 4"
    assert found["protocol"]["weights"]["lpips"] == shipped_identity()


def test_lpips_is_measured_without_being_given_anything(tiny_clips: Path, tmp_path: Path) -> None:
    folder = foreign(tiny_clips, tmp_path / "theirs")
    flags = ["--predictions", str(folder), "--data", str(tiny_clips), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(["evaluate", *flags]) == 0
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "lpips" not in found["protocol"]["unavailable"]
    assert found["protocol"]["weights"]["lpips"] == shipped_identity()
    theirs, still = (found["predictions"][name]["lpips"]["value"] for name in ("model", "still"))
    assert 0 < theirs < still


class Means(nn.Module):
    """Colours at two places of a frame: what moves past them changes them."""

    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        return torch.cat([x.float()[..., :12].mean(dim=(2, 3)), x.float()[..., 12:24].mean(dim=(2, 3))], dim=1)
