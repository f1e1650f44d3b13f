"""The weights and samples that ship with the package."""

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from mask2iv.cli import main
from mask2iv.contract import Label
from mask2iv.media.images import read_image
from mask2iv.media.videos import read_video
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import iou
from mask2iv.trajectories.storage import load_trajectory

PACKAGE = Path(str(resources.files("mask2iv")))


def test_all_shipped_weights_stay_under_64_mib_and_hold_nothing_that_runs() -> None:
    files = [path for path in (PACKAGE / "weights").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 64 * 2**20
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}


@pytest.mark.parametrize("sample", ["cup", "box"])
def test_samples_are_complete_and_their_words_are_known(sample: str) -> None:
    folder = PACKAGE / "samples" / sample
    size = read_image(folder / "image.png").shape[:2]
    for name in ("object_mask.png", "target_mask.png"):
        assert load_mask(folder / name, size).any()
    assert not Mask2IVPipeline.from_pretrained("embedded").unknown_words((folder / "prompt.txt").read_text())


def test_the_embedded_model_generates_from_a_shipped_sample() -> None:
    folder = PACKAGE / "samples" / "cup"
    image = read_image(folder / "image.png")
    mask = load_mask(folder / "object_mask.png", image.shape[:2])
    target = load_mask(folder / "target_mask.png", image.shape[:2])
    pipe = Mask2IVPipeline.from_pretrained("embedded")
    output = pipe(
        image, mask, (folder / "prompt.txt").read_text(), target, num_inference_steps=4, video_num_inference_steps=4,
        generator=torch.Generator().manual_seed(0), progress=False,
    )  # fmt: skip
    labels, video = output.trajectory[0].labels, output.frames[0]
    assert labels.shape == (16, 160, 256)
    assert iou(labels[0] == Label.OBJECT, mask) > 0.5, "the object starts where it was painted"
    assert (labels == Label.ACTOR).any(), "somebody handles it"
    far = ~(labels != Label.BACKGROUND).any(axis=0)
    error = np.abs(video[:, far].astype(int) - image[far].astype(int)).mean()
    assert error < 20, "the room stays what it was"


def test_the_demo_command_writes_trajectory_and_video(tmp_path: Path) -> None:
    """As `make demo` runs it."""
    sample = PACKAGE / "samples" / "cup"
    flags = ["--image", f"{sample}/image.png", "--object-mask", f"{sample}/object_mask.png"]
    flags += ["--target-mask", f"{sample}/target_mask.png", "--prompt", (sample / "prompt.txt").read_text().strip()]
    assert main(["generate", *flags, "--out", str(tmp_path / "demo")]) == 0
    trajectory = load_trajectory(tmp_path / "demo" / "trajectory")
    assert trajectory.object.any(axis=(1, 2)).all(), "the object is never gone"
    assert read_video(tmp_path / "demo" / "video.mp4")[0].shape == (16, 160, 256, 3)
