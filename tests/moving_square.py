"""A small video for tests of media and segmentation."""

import numpy as np


def moving_square(frames: int = 9, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [T, H, W, 3]: a red square that moves 4 pixels a frame to the right, before a grey ramp."""
    video = np.zeros((frames, height, width, 3), dtype=np.uint8)
    video[:] = np.linspace(40, 120, width, dtype=np.uint8)[:, None]
    for index, frame in enumerate(video):
        frame[16:32, 4 * index : 4 * index + 16] = (220, 60, 30)
    return video
