"""Masks followed by dense optical flow, where there are no networks: clearly worse than SAM 2, and called so.

Flow is OpenCV's DIS (Kroeger et al., 2016). A mask goes on from frame to frame with it, and each of its pixels keeps
the colour that it had in the first frame: where the picture shows another one, the thing is hidden there.
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
"""Distance in 8-bit Lab, lightness at half weight, from which a pixel no longer shows its colour of the first frame."""
LOST = 0.12
"""A thing of which less than this share is seen is hidden; it is looked for where it was."""
MOST = 0.6
"""A thing of which more than this share is seen is where it seems to be."""
STILL = 6.0
"""Distance in Lab below which a pixel has not changed since the first frame."""
REACH = 0.12
"""How far from its last place a hidden thing is looked for, as a share of the diagonal per frame, at most thrice."""
FOUND = 14.0
"""Mean distance in Lab below which a hidden thing is found again."""
_SPECK = 0.1

Float = NDArray[np.float32]


class FlowSegmenter(VideoSegmenter):
    """A segmenter's mask of the first frame, followed by optical flow.

    What is covered for a while is found again near where it was, by its look; turned or changed meanwhile, it is not.

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
        # Where each pixel of the picture was in the first frame, (y, x): of pixels of the whole thing.
        self.origin: Float = self.grid.copy()
        self.whole: BoolArray = mask.copy()
        self.seen: BoolArray = mask.copy()
        # How far it is from its first place, in whole pixels (y, x).
        self.shift = np.zeros(2, np.int_)
        self.hidden_for = 0

    def follow(self, lab: Float, backward: Float) -> BoolArray:
        """What is seen of it in the next frame, whose flow to the one before is [H, W, 2] (x, y)."""
        if self.hidden_for:
            return self._look_for(lab)
        # The thing goes by its own flow where that can be trusted, and where it is covered by that of the rest of it.
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
        # What covers a thing drags its flow along: its place is known while most of it is seen.
        if seen.sum() > MOST * self.area:
            self.shift = shift
        return seen

    def _filled(
        self, lab: Float, whole: BoolArray, origin: Float, seen: BoolArray, shift: NDArray[np.int_]
    ) -> tuple[BoolArray, Float]:
        """The thing's extent with what of its first mask, shifted as most of it is, looks as it did.

        Edges that flow has worn off, and what something covered for a while, come back so.
        """
        there = self.grid - shift.astype(np.float32)[:, None, None]
        lacking = _shifted(self.first, shift) & ~seen & self._like(lab, there)
        return whole | lacking, np.where(lacking, there, origin).astype(np.float32)

    def _step(self, backward: Float) -> Float:
        """The middle of the backward flow where the thing was seen and, as it moved, is about now: [2] (x, y)."""
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
        """Where the flow is near enough to the whole thing's to be its own, bool [H, W]."""
        allowed = 2.0 + 0.5 * float(np.hypot(*step)) + 0.08 * float(np.sqrt(self.area))
        steady: BoolArray = np.hypot(*np.moveaxis(backward - step, -1, 0)) < allowed
        return steady

    def _like(self, lab: Float, origin: Float) -> BoolArray:
        """Where the picture shows the colour of the first frame's pixel."""
        then = cv2.remap(self.lab, origin[1], origin[0], cv2.INTER_LINEAR)
        like: BoolArray = (np.linalg.norm(lab - then, axis=-1) < UNLIKE) & ~self._unchanged(lab)
        return like

    def _unchanged(self, lab: Float) -> BoolArray:
        """Where the picture shows what it showed in the first frame, and that was not the thing."""
        unchanged: BoolArray = (np.linalg.norm(lab - self.lab, axis=-1) < STILL) & ~self.first
        return unchanged

    def _look_for(self, lab: Float) -> BoolArray:
        """The thing near its last place, as it looked in the first frame; nothing where it is still hidden."""
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
        # Where it was is looked at first: what stands still is most often only covered.
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
            # Where it was, a part that comes out is enough; elsewhere most of it must be seen, as much looks alike.
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
        # Until most of it is seen, its place is not sure, and is looked for anew.
        self.hidden_for = 0 if like.sum() > MOST * self.area else 1
        return seen


def to_lab(frame: UInt8Array) -> Float:
    """A frame in 8-bit Lab with lightness at half weight, slightly blurred, float [H, W, 3]."""
    lab = cv2.cvtColor(cv2.GaussianBlur(np.ascontiguousarray(frame), (3, 3), 0), cv2.COLOR_RGB2Lab).astype(np.float32)
    lab[..., 0] *= 0.5
    return np.asarray(lab, dtype=np.float32)


def flows(video: UInt8Array, forward: bool = True) -> list[tuple[Float, Float]]:
    """Optical flow between each two frames.

    Args:
        video: uint8 [T, H, W, 3].
        forward: whether to compute the flow to the next frame; otherwise it is zero.

    Returns:
        T - 1 pairs [H, W, 2] (x, y) in pixels: to the next frame, and from the next frame back.
    """
    grey = [cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY) for frame in video]
    # DIS needs some pixels to begin with.
    height, width = grey[0].shape
    scale = max(1, int(np.ceil(64 / min(height, width))))
    if scale > 1:
        size = width * scale, height * scale
        grey = [cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR) for frame in grey]
    # OpenCV's type hints lack it.
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
