"""Boxes around moving objects, where there is no detector."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.segmentation.flow import Float, flows, to_lab
from mask2iv.segmentation.interfaces import Box, Detection, Detector

FAR = 0.03
"""A pixel has moved when it is this far from its first place, as a share of the diagonal,"""
GONE = 8.0
"""when its first place has changed by more than this (in Lab, see :func:`mask2iv.segmentation.flow.to_lab`),"""
SAME = 18.0
"""and when it looks less different than this from what it was."""
LEAST = 0.0008
"""Regions below this share of the picture are noise."""


class MotionDetector(Detector):
    """Finds objects that leave their place in the first frame. It ignores phrases, and needs a static camera.

    The first frame's pixels are followed by optical flow. Those that move far, keep their look, and uncover something
    else at their first place belong to a moving object. Connected pixels are one object, so a hand that holds something
    from the first frame on is one object with it.

    Args:
        most: boxes at most, of each video.
    """

    quality = "motion"

    def __init__(self, most: int = 8) -> None:
        self.most = most

    def __call__(self, videos: Sequence[UInt8Array], phrases: Sequence[Sequence[str]]) -> list[list[Detection]]:
        if len(videos) != len(phrases):
            raise InputError("phrases", f"must be one list per video, {len(videos)}, found {len(phrases)}")
        return [self._detect(video) for video in videos]

    def _detect(self, video: UInt8Array) -> list[Detection]:
        height, width = video.shape[1:3]
        if len(video) < 2:
            return []
        moved, how_far = _moved(video)
        _, pieces, stats, _ = cv2.connectedComponentsWithStats(moved.astype(np.uint8), connectivity=8)
        found = []
        for number, (left, top, w, h, area) in enumerate(stats.tolist()):
            if not number or area < LEAST * height * width:
                continue
            # Flow is not exact at edges: some pixels around.
            edge = 1 + round(0.05 * min(w, h))
            x, y = max(left - edge, 0), max(top - edge, 0)
            box: Box = (x, y, min(left + w + edge, width) - x, min(top + h + edge, height) - y)
            far = float(np.median(how_far[pieces == number])) / (0.25 * float(np.hypot(height, width)))
            found.append(Detection(box, round(min(far, 1.0), 4), ""))
        return sorted(found, key=lambda one: (-one.score, one.box))[: self.most]


def _spread_out(place: Float) -> BoolArray:
    """Where the followed pixels' places [H, W, 2] keep about their distances, bool [H, W].

    Flow drags the background in front of a moving object along; such pixels pile up at the object's edge.
    """
    smooth = cv2.blur(place, (5, 5))
    down, across = np.gradient(smooth, axis=0), np.gradient(smooth, axis=1)
    area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    spread: BoolArray = (area > 0.35) & (area < 3.0)
    return spread


def _moved(video: UInt8Array) -> tuple[BoolArray, Float]:
    """The first frame's pixels that move, bool [H, W], and how far they get in pixels."""
    height, width = video.shape[1:3]
    first = to_lab(video[0])
    rows, columns = np.indices((height, width)).astype(np.float32)
    place = np.stack([columns, rows], axis=-1)
    far, moved = np.zeros((height, width), np.float32), np.zeros((height, width), np.bool_)
    least = FAR * float(np.hypot(height, width))
    lost = np.zeros((height, width), np.bool_)
    for frame, (forward, backward) in zip(video[1:], flows(video), strict=True):
        step = cv2.remap(forward, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        there = place + step
        back = cv2.remap(backward, there[..., 0], there[..., 1], cv2.INTER_LINEAR)
        # Where forward and backward flow disagree, something was occluded.
        lost |= np.linalg.norm(step + back, axis=-1) > 1.5 + 0.1 * np.linalg.norm(step, axis=-1)
        place = there
        lab = to_lab(frame)
        distance = np.hypot(place[..., 0] - columns, place[..., 1] - rows)
        looks = cv2.remap(lab, place[..., 0], place[..., 1], cv2.INTER_LINEAR)
        same = np.linalg.norm(looks - first, axis=-1) < SAME
        gone = np.linalg.norm(lab - first, axis=-1) > GONE
        now = (distance > least) & same & gone & ~lost & _spread_out(place)
        far = np.where(now, np.maximum(far, distance), far)
        moved |= now
    kernel = np.ones((3, 3), np.uint8)
    closed = cv2.morphologyEx(moved.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return cv2.morphologyEx(closed, cv2.MORPH_OPEN, kernel).astype(np.bool_), far
