"""Inputs of the commands in most tests: a picture and masks, good and bad, and a folder with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.media.images import write_png


@pytest.fixture
def pictures() -> dict[str, UInt8Array | BoolArray]:
    """A picture of 64x128 pixels with a red box, and masks by what they are."""
    box = np.zeros((64, 128), dtype=np.bool_)
    box[26:46, 50:72] = True
    image = np.full((64, 128, 3), (120, 130, 125), dtype=np.uint8)
    image[box] = (200, 60, 40)
    dot = np.zeros_like(box)
    dot[0, 0] = True
    bad = {"other_size": box[:32], "empty": box & False, "full": box | True, "dot": dot}
    return {"image": image, "object": box, "target": np.roll(box, 30, axis=1), **bad}


@pytest.fixture
def desk(
    tmp_path: Path, tiny_model: Path, pictures: dict[str, UInt8Array | BoolArray], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working directory with a folder ``scenes`` of a picture of 64x128 pixels and masks, and a link to the model."""
    folder = tmp_path / "scenes"
    folder.mkdir()
    for name, pixels in pictures.items():
        write_png(folder / f"{name}.png", pixels)
    (tmp_path / "model").symlink_to(tiny_model)
    monkeypatch.chdir(tmp_path)
    return tmp_path
