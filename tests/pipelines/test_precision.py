"""Reduced precision changes what is seen by next to nothing, on the weights that ship."""

from importlib import resources

import numpy as np
import pytest
import torch

from mask2iv.evaluation.measures.metrics import psnr
from mask2iv.media.images import read_image
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.masks import load_mask

SAMPLE = resources.files("mask2iv") / "samples" / "cup"


@pytest.fixture(scope="module")
def scene():
    image = read_image(str(SAMPLE / "image.png"))
    size = image.shape[:2]
    return image, load_mask(str(SAMPLE / "object_mask.png"), size), load_mask(str(SAMPLE / "target_mask.png"), size)


# PyTorch has no fast float16 kernels for CPUs; a GPU has.
@pytest.mark.parametrize("dtype", [torch.bfloat16, pytest.param(torch.float16, marks=pytest.mark.slow)])
def test_half_precision_stays_close_to_float32(scene, dtype) -> None:
    """Stage 2 above 40 dB. Stage 1 computes in float32 but reads the prompt in half precision, so the edges of its
    masks move by a part of a pixel, and the arm's pixels with them: above 35 dB."""
    image, object_mask, target_mask = scene
    reference = Mask2IVPipeline.from_pretrained("embedded")
    options = {"generator": [0], "progress": False}
    path = reference.trajectory(image, object_mask, target_mask=target_mask, **options)[0]
    video = reference.render(image, path, **options)[0]
    reduced = Mask2IVPipeline.from_pretrained("embedded", torch_dtype=dtype)
    same_path = reduced.trajectory(image, object_mask, target_mask=target_mask, **options)[0]
    assert np.mean(same_path.labels == path.labels) > 0.99
    for followed, least in ((path, 40), (same_path, 35)):  # stage 2 alone, then all in reduced precision
        ratio = psnr(reduced.render(image, followed, **options)[0], video)
        print(f"{dtype}: {ratio} dB, labels alike {np.mean(same_path.labels == path.labels):.5f}")
        assert ratio is None or ratio > least
