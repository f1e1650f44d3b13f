"""Masks propagated by dense optical flow, for machines without a network's weights: clearly worse than SAM 2.

The flow is OpenCV's DIS (Kroeger et al., 2016). It warps a mask from frame to frame. Each pixel of the mask remembers
its colour in the first frame; where a later frame shows another colour, the object is taken to be occluded.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.segmentation.interfaces import Prompt, Segmenter, VideoSegmenter, within_picture

UNLIKE = 22.0
"""Distance in 8-bit Lab, with lightness at half weight, from which a pixel counts as another colour."""
LOST = 0.12
"""An object of which less than this share is visible counts as occluded, and is searched for near its last place."""
MOST = 0.6
"""An object of which more than this share is visible: its place is trusted."""
STILL = 6.0
"""Distance in Lab below which a pixel has not changed since the first frame."""
REACH = 0.12
"""How far from its last place an occluded object is searched for: this share of the diagonal for each frame since, up
to three frames."""
FOUND = 14.0
"""Mean distance in Lab below which an occluded object counts as found again."""
_SPECK = 0.1
"""Components smaller than this share of the largest one are noise."""

Float = NDArray[np.float32]


class FlowSegmenter(VideoSegmenter):
    """A segmenter's mask of the first frame, propagated by optical flow.

    An object that was occluded is found again near its last place by its first look, unless it has turned or changed.

    Args:
        segmenter: finds the mask in a box or at a point; where it finds none, the track is empty.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self.segmenter = segmenter
        self.quality = f"{segmenter.name}+flow"

    def __call__(self, video: UInt8Array, prompts: Sequence[Prompt]) -> BoolArray:
        tracks = np.zeros((len(prompts), *video.shape[:3]), dtype=np.bool_)
        masks = [self._first(video[0], prompt) for prompt in prompts]
        found = [number for number, mask in enumerate(masks) if mask.any()]
        for number in found:
            tracks[number, 0] = masks[number]
        if not found or len(video) == 1:
            return tracks
        lab = to_lab(video[0])
        followed = [_Thing(masks[number], lab) for number in found]
        for frame, (_, backward) in enumerate(flows(video, forward=False), 1):
            lab = to_lab(video[frame])
            for number, thing in zip(found, followed, strict=True):
                tracks[number, frame] = thing.follow(lab, backward)
        return tracks

    def _first(self, image: UInt8Array, prompt: Prompt) -> BoolArray:
        """The mask in a box or at a point; empty where nothing stands out there."""
        height, width = image.shape[:2]
        prompt = within_picture(prompt, height, width)
        if len(prompt) == 4:
            x, y, w, h = prompt
            left, top = int(x), int(y)
            right, bottom = min(int(np.ceil(x + w)), width), min(int(np.ceil(y + h)), height)
            whole = (right - left) * (bottom - top) >= 0.98 * width * height
            if whole or right - left < 4 or bottom - top < 4:
                return np.zeros((height, width), np.bool_)
            prompt = (left, top, right - left, bottom - top)
        else:
            prompt = (int(prompt[0]), int(prompt[1]))
        try:
            return self.segmenter(image, prompt)
        except InputError:
            return np.zeros((height, width), np.bool_)


class _Thing:
    """One thing being followed.

    Args:
        mask: of the first frame, bool [H, W].
        lab: the first frame, [H, W, 3].
    """

    def __init__(self, mask: BoolArray, lab: Float) -> None:
        self.first, self.lab = mask, lab
        self.area = int(mask.sum())
        rows, columns = np.nonzero(mask)
        self.part = np.s_[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        self.grid = np.indices(mask.shape).astype(np.float32)
        # For each pixel of the object in the current frame: where it was in the first one, (y, x).
        self.origin: Float = self.grid.copy()
        self.whole: BoolArray = mask.copy()
        self.seen: BoolArray = mask.copy()
        # The object's displacement since the first frame, in whole pixels (y, x).
        self.shift = np.zeros(2, np.int_)
        self.hidden_for = 0

    def follow(self, lab: Float, backward: Float) -> BoolArray:
        """Its visible part in the next frame, bool [H, W].

        Args:
            lab: that frame, [H, W, 3].
            backward: flow from it to the frame before, [H, W, 2] (x, y) in pixels.
        """
        if self.hidden_for:
            return self._look_for(lab)
        # Each pixel moves by its own flow where that is plausible, else (where it is occluded) by the object's median.
        step = self._step(backward)
        flow = np.where(self._steady(backward, step)[..., None], backward, step)
        map_x, map_y = self.grid[1] + flow[..., 0], self.grid[0] + flow[..., 1]
        whole = cv2.remap(self.whole.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR) > 0.5
        origin = np.stack([cv2.remap(one, map_x, map_y, cv2.INTER_LINEAR) for one in self.origin])
        seen = _cleaned(whole & self._like(lab, origin))
        if seen.any():
            shift = np.round(np.median((self.grid - origin)[:, seen], axis=1)).astype(np.int_)
            whole, origin = self._filled(lab, whole, origin, seen, shift)
            seen = _cleaned(whole & self._like(lab, origin))
        if seen.sum() < max(LOST * self.area, 1):
            self.hidden_for = 1
            return self._look_for(lab)
        self.whole, self.origin, self.seen = whole, origin, seen
        # An occluder drags the flow along, so the place is updated only while most of the object is visible.
        if seen.sum() > MOST * self.area:
            self.shift = shift
        return seen

    def _filled(
        self, lab: Float, whole: BoolArray, origin: Float, seen: BoolArray, shift: NDArray[np.int_]
    ) -> tuple[BoolArray, Float]:
        """The object's extent, completed by those pixels of its shifted first mask that have their first colours.

        This restores edges that warping has eroded, and parts that were occluded.
        """
        there = self.grid - shift.astype(np.float32)[:, None, None]
        lacking = _shifted(self.first, shift) & ~seen & self._like(lab, there)
        return whole | lacking, np.where(lacking, there, origin).astype(np.float32)

    def _step(self, backward: Float) -> Float:
        """The object's median backward flow, [2] (x, y): at its last place, then twice where that predicts it."""
        step = np.median(backward[self.seen], axis=0)
        for _ in range(2):
            move = np.array([[1, 0, -step[0]], [0, 1, -step[1]]], np.float32)
            size = self.seen.shape[::-1]
            there = cv2.warpAffine(self.seen.astype(np.uint8), move, size).astype(np.bool_)
            if not there.any():
                break
            step = np.median(backward[there], axis=0)
        return np.asarray(step, dtype=np.float32)

    def _steady(self, backward: Float, step: Float) -> BoolArray:
        """Where the flow is near enough to the object's median to be the object's, bool [H, W]."""
        allowed = 2.0 + 0.5 * float(np.hypot(*step)) + 0.08 * float(np.sqrt(self.area))
        steady: BoolArray = np.hypot(*np.moveaxis(backward - step, -1, 0)) < allowed
        return steady

    def _like(self, lab: Float, origin: Float) -> BoolArray:
        """Where the frame has the colour that the first one has at `origin`, bool [H, W]."""
        then = cv2.remap(self.lab, origin[1], origin[0], cv2.INTER_LINEAR)
        like: BoolArray = (np.linalg.norm(lab - then, axis=-1) < UNLIKE) & ~self._unchanged(lab)
        return like

    def _unchanged(self, lab: Float) -> BoolArray:
        """Where the frame is as the first one, outside of the object's first mask, bool [H, W]."""
        unchanged: BoolArray = (np.linalg.norm(lab - self.lab, axis=-1) < STILL) & ~self.first
        return unchanged

    def _look_for(self, lab: Float) -> BoolArray:
        """The object where its first look is found near its last place, bool [H, W]; empty if it is occluded."""
        height, width = self.first.shape
        empty = np.zeros_like(self.first)
        reach = int(REACH * float(np.hypot(height, width)) * min(self.hidden_for, 3))
        self.hidden_for += 1
        part, look = self.first[self.part], self.lab[self.part]
        h, w = part.shape
        row = int(np.clip(self.part[0].start + self.shift[0], 0, height - h))
        column = int(np.clip(self.part[1].start + self.shift[1], 0, width - w))
        top, left = max(0, row - reach), max(0, column - reach)
        bottom, right = min(height, row + h + reach), min(width, column + w + reach)
        # Its last place comes first: an object that does not move is most often only occluded.
        places = [(row, column)]
        weights = np.repeat(part[..., None], 3, axis=-1).astype(np.float32)
        window = np.ascontiguousarray(lab[top:bottom, left:right])
        squares = cv2.matchTemplate(window, np.ascontiguousarray(look), cv2.TM_SQDIFF, mask=weights)
        _, _, (x, y), _ = cv2.minMaxLoc(squares)
        places.append((top + y, left + x))
        unchanged = self._unchanged(lab)
        for y, x in places:
            where = np.s_[y : y + h, x : x + w]
            distance = np.linalg.norm(lab[where] - look, axis=-1)
            like = part & (distance < UNLIKE) & ~unchanged[where]
            # At its last place a part is enough; elsewhere most must be visible, since other things look alike.
            least = 3 * LOST if (y, x) == (row, column) else MOST
            if like.sum() >= least * self.area and distance[like].mean() <= FOUND:
                return self._take_up(where, part, like)
        return empty

    def _take_up(self, where: tuple[slice, slice], part: BoolArray, like: BoolArray) -> BoolArray:
        whole, seen = np.zeros_like(self.first), np.zeros_like(self.first)
        whole[where], seen[where] = part, like
        seen = _cleaned(seen)
        if seen.sum() < LOST * self.area:
            return np.zeros_like(seen)
        self.shift = np.array([a.start - b.start for a, b in zip(where, self.part, strict=True)], np.int_)
        self.origin = self.grid - self.shift.astype(np.float32)[:, None, None]
        self.whole, self.seen = whole, seen
        # Until most of it is visible its place is uncertain, so the next frame is searched again.
        self.hidden_for = 0 if like.sum() > MOST * self.area else 1
        return seen


def to_lab(frame: UInt8Array) -> Float:
    """A frame in 8-bit Lab with lightness at half weight, slightly blurred, float [H, W, 3]."""
    lab = cv2.cvtColor(cv2.GaussianBlur(np.ascontiguousarray(frame), (3, 3), 0), cv2.COLOR_RGB2Lab).astype(np.float32)
    lab[..., 0] *= 0.5
    return np.asarray(lab, dtype=np.float32)


def flows(video: UInt8Array, forward: bool = True) -> list[tuple[Float, Float]]:
    """Optical flow between consecutive frames.

    Args:
        video: uint8 [T, H, W, 3].
        forward: whether to compute the flow to the next frame; otherwise it is zero.

    Returns:
        T - 1 pairs [H, W, 2] (x, y) in pixels: to the next frame, and from the next frame back.
    """
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in video]
    # DIS needs pictures of a least size.
    height, width = grey[0].shape
    scale = max(1, int(np.ceil(64 / min(height, width))))
    if scale > 1:
        size = width * scale, height * scale
        grey = [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in grey]
    # OpenCV's type hints lack this function.
    create: Any = vars(cv2)["DISOpticalFlow_create"]
    dis = create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def between(a: Any, b: Any) -> Float:
        flow = np.asarray(dis.calc(a, b, None), dtype=np.float32)
        small = flow if scale == 1 else cv2.resize(flow, (width, height), interpolation=cv2.INTER_AREA) / scale
        return np.asarray(small, dtype=np.float32)

    nothing = np.zeros((height, width, 2), np.float32)
    return [(between(a, b) if forward else nothing, between(b, a)) for a, b in pairwise(grey)]


def _shifted(mask: BoolArray, by: NDArray[np.int_]) -> BoolArray:
    """A mask moved by whole pixels (y, x); what leaves the picture is cut off."""
    move = np.array([[1, 0, by[1]], [0, 1, by[0]]], np.float32)
    moved: BoolArray = cv2.warpAffine(mask.astype(np.uint8), move, mask.shape[::-1]).astype(np.bool_)
    return moved


def _cleaned(mask: BoolArray) -> BoolArray:
    """A mask without specks and with small gaps filled."""
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
    sizes = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    sizes[0] = 0
    kept: BoolArray = np.isin(pieces, np.flatnonzero((sizes >= _SPECK * sizes.max()) & (sizes > 0)))
    return kept
