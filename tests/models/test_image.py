"""Preprocessing for the CLIP image encoder."""

from __future__ import annotations

import pytest
import torch

from mask2iv.errors import InputError
from mask2iv.models.image import CLIP_MEAN, CLIP_STD, preprocess_clip_image


def to_float(raw):
    return raw.float() / 127.5 - 1


def test_reduced_image(load_golden):
    golden = load_golden("clip_tiny")
    result = preprocess_clip_image(to_float(golden["image.raw_u8"]))
    torch.testing.assert_close(result, golden["image.preprocessed"], rtol=0, atol=2e-5)


def test_enlarged_image_is_not_blurred(load_golden):
    golden = load_golden("clip_preprocess")
    result = preprocess_clip_image(to_float(golden["up.raw_u8"]))
    torch.testing.assert_close(result, golden["up.preprocessed"], rtol=0, atol=2e-5)


def test_one_side_enlarged_and_one_reduced(load_golden):
    raw = load_golden("clip_tiny")["image.raw_u8"][:, :, :160]
    expected = load_golden("clip_preprocess")["mix.preprocessed"]
    torch.testing.assert_close(preprocess_clip_image(to_float(raw)), expected, rtol=0, atol=2e-5)


def test_grey_becomes_the_same_pixel_everywhere_at_any_size():
    result = preprocess_clip_image(torch.zeros(2, 3, 700, 90), size=56)
    grey = torch.tensor([(0.5 - mean) / std for mean, std in zip(CLIP_MEAN, CLIP_STD, strict=True)])
    torch.testing.assert_close(result, grey.view(1, 3, 1, 1).expand(2, 3, 56, 56), rtol=0, atol=1e-5)


def test_dtype_is_kept():
    assert preprocess_clip_image(torch.zeros(1, 3, 300, 300, dtype=torch.bfloat16), size=32).dtype == torch.bfloat16


@pytest.mark.parametrize("image", [torch.zeros(3, 8, 8), torch.zeros(1, 4, 8, 8), torch.zeros(1, 3, 8, 8).byte()])
def test_wrong_images_are_refused(image):
    with pytest.raises(InputError, match="image: preprocess_clip_image expects float"):
        preprocess_clip_image(image)
