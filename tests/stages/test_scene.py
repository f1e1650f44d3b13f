"""Scenes: read from whatever stands for a picture and its masks, and brought to a result's size and shape."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask2iv.errors import InputError, InputWarning
from mask2iv.stages.scene import Scene, check_image


def test_a_scene_of_another_shape_is_cropped_around_its_masks() -> None:
    image = np.zeros((64, 32, 3), np.uint8)
    thing, target, far = np.zeros((3, 64, 32), bool)
    thing[40:48, 8:16] = target[34:40, 20:26] = far[:6, 4:10] = True
    image[thing], image[target] = (200, 0, 0), (0, 0, 200)
    made = Scene.read(image, thing, target_mask=target).at((32, 64))
    assert made.placement is not None
    assert made.placement.seen == (0, 33, 32, 16)
    assert made.target_mask is not None
    assert (made.image[made.object_mask, 0] > 100).mean() > 0.9
    assert (made.image[made.target_mask, 2] > 100).mean() > 0.9
    outside = r"target_mask: it lies outside the part of the picture that is used \(x=0 y=32 w=32 h=16\); .*pad"
    with pytest.raises(InputError, match=outside):
        Scene.read(image, thing, target_mask=far).at((32, 64))
    with pytest.raises(InputError, match="object_mask: it lies outside"):
        Scene.read(image, far).at((32, 64), "centre")
    padded = Scene.read(image, thing, target_mask=far).at((32, 64), "pad")
    assert padded.target_mask is not None
    assert padded.target_mask[:3, 26:29].all()
    tall = thing.copy()
    tall[40:] = True
    with pytest.warns(InputWarning, match="^object_mask: 3.% of it lies outside"):
        Scene.read(image, tall).at((32, 64))


def test_images_and_masks_may_be_files_and_pillow_images(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    mask = np.zeros((8, 16), bool)
    mask[2:5, 3:9] = True
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.rot90(image)).save(tmp_path / "image.png", exif=turned)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    for picture, marks in (
        (tmp_path / "image.png", tmp_path / "mask.png"),
        (f"{tmp_path}/image.png", f"{tmp_path}/mask.png"),
        (Image.open(tmp_path / "image.png"), Image.open(tmp_path / "mask.png")),
    ):
        scene = Scene.read(picture, marks, target_mask=marks, actor_mask=marks)
        np.testing.assert_array_equal(scene.image, image)
        for read in (scene.object_mask, scene.target_mask, scene.actor_mask):
            np.testing.assert_array_equal(read, mask)
    with pytest.raises(InputError, match=r"image: .*absent\.png does not exist"):
        check_image(tmp_path / "absent.png")
    with pytest.raises(InputError, match="image: must be a file, a PIL image or a uint8 array"):
        check_image(image / 255)
