"""Contact sheets of clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mask2iv.contract import LABEL_COLOURS, Clip, UInt8Array
from mask2iv.errors import InputError


def contact_sheet(clips: Sequence[Clip], columns: int = 6) -> UInt8Array:
    """Frames of clips side by side: for each clip a row of pictures above a row of the same with labels overlaid.

    Args:
        clips: clips of one picture size.
        columns: frames per clip, evenly spaced from the first to the last.

    Returns:
        uint8 [2 * len(clips) * H, columns * W, 3].

    Raises:
        InputError: no clips, fewer than one column, or clips of different sizes.
    """
    if not clips or columns < 1:
        raise InputError("clips", f"at least 1 clip and 1 column are needed, found {len(clips)} and {columns}")
    sizes = sorted({clip.trajectory.size for clip in clips})
    if len(sizes) > 1:
        raise InputError("clips", f"must have one picture size, found {sizes}")
    rows = []
    for clip in clips:
        frames = np.linspace(0, len(clip.video) - 1, columns).round().astype(int)
        labels = clip.trajectory.labels[frames]
        painted = np.where(labels[..., None] > 0, 0.5 * clip.video[frames] + 0.5 * LABEL_COLOURS[labels], 0)
        plain = np.where(labels[..., None] > 0, painted, clip.video[frames]).astype(np.uint8)
        rows += [np.concatenate(list(clip.video[frames]), axis=1), np.concatenate(list(plain), axis=1)]
    return np.concatenate(rows, axis=0)
