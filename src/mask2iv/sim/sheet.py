"""Contact sheets: clips at a glance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mask2iv.contract import LABEL_COLOURS, Clip, UInt8Array
from mask2iv.errors import InputError


def contact_sheet(clips: Sequence[Clip], columns: int = 6) -> UInt8Array:
    """Frames of clips side by side, each clip as a row of pictures above a row of the same with labels laid over.

    Args:
        clips: of one picture size.
        columns: frames shown per clip, spread evenly from the first to the last.

    Returns:
        uint8 [2 * len(clips) * H, columns * W, 3].

    Raises:
        InputError: no clips, fewer than one column, or clips of different sizes.
    """
    if not clips or columns < 1:
        raise InputError(f"contact_sheet needs clips and at least 1 column, found {len(clips)} and {columns}")
    if len({clip.trajectory.size for clip in clips}) > 1:
        raise InputError("contact_sheet needs clips of one picture size")
    rows = []
    for clip in clips:
        frames = np.linspace(0, len(clip.video) - 1, columns).round().astype(int)
        labels = clip.trajectory.labels[frames]
        painted = np.where(labels[..., None] > 0, 0.5 * clip.video[frames] + 0.5 * LABEL_COLOURS[labels], 0)
        plain = np.where(labels[..., None] > 0, painted, clip.video[frames]).astype(np.uint8)
        rows += [np.concatenate(list(clip.video[frames]), axis=1), np.concatenate(list(plain), axis=1)]
    return np.concatenate(rows, axis=0)
