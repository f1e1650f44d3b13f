"""What the commands are given in most tests: a picture and masks, good and bad."""

from __future__ import annotations

import numpy as np
import pytest

from mask2iv.contract import BoolArray, UInt8Array


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
