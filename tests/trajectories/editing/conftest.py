import cv2
import numpy as np
import pytest

from mask2iv.contract import Label, Trajectory

SIZE = (60, 96)


@pytest.fixture
def reach() -> Trajectory:
    """A box of 12x20 pixels that an arm from the right border pushes to the left, 2 pixels a frame, in 8 frames."""
    labels = np.zeros((8, *SIZE), dtype=np.uint8)
    for index, frame in enumerate(labels):
        right = 60 - 2 * index
        cv2.line(frame, (right, 30), (SIZE[1] - 1, 34), int(Label.ACTOR), 7)
        frame[24:36, right - 20 : right] = Label.OBJECT
    return Trajectory(labels, 8.0)
