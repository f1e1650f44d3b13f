"""Which of the tracked things is the manipulated object, and which the actor.

The paper (section 4.1, BridgeData V2) takes the object whose mask changes most over time: the lowest mean IoU of its
masks with each other. :data:`OFFICIAL` follows the thresholds of the original code. :data:`ROBUST` judges each pair of
masks only where neither is hidden by another track, so that an object which the arm covers for a while does not count
as moving, and asks that the object is touched by the actor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Label, UInt8Array
from mask2iv.errors import InputError
from mask2iv.segmentation.interfaces import Detection
from mask2iv.trajectories.measures import iou

Pairs = Literal["all", "successive"]


@dataclass(frozen=True)
class SelectionRules:
    """How the object is chosen. "IoU" is a track's mean IoU with itself at other times.

    Attributes:
        samples: masks are compared at a stride of their number // samples, at least 1.
        pairs: "all" compares each sampled mask with each other one, "successive" with the next one only.
        hidden: whether what another track hides in one mask of a pair is left out of the comparison.
        actor_iou: an actor moves: its IoU is below this.
        object_iou: an object that is chosen has at most this IoU.
        soft_iou: the same for what moves little or in part, see `soft`.
        soft: words for such things.
        ends_iou: of things that are not soft, the first and the last mask's IoU is at most this.
        apart: whether the object, unless soft, must not meet the actor grown by one pixel in the first frame.
        touched: whether the actor must come near the object at some time.
        within_actor: a track of which more than this share lies within the actor's is a part of the actor.
        largest: tracks that cover more than this share of the picture are the room.
        free_actor: whether, where no phrase says who acts, the actor is told by the picture's border that it reaches in
            from; otherwise it is the best-scored track that moves.
        surest: whether of those that move the best-scored one is taken, instead of the one that changes most.
    """

    samples: int = 10
    pairs: Pairs = "all"
    hidden: bool = True
    actor_iou: float = 0.9
    object_iou: float = 0.97
    soft_iou: float = 0.985
    soft: tuple[str, ...] = ("drawer", "cloth", "towel", "laptop", "lid", "door")
    ends_iou: float = 1.0
    apart: bool = False
    touched: bool = True
    within_actor: float = 0.7
    largest: float = 0.5
    free_actor: bool = True
    surest: bool = False


ROBUST = SelectionRules()
"""The default."""
MOVING = SelectionRules(surest=True, touched=False)
"""For a detector that finds what moves: its score, how far, is surer than tracks that may get lost. Its actor is
not sure enough to ask that it touch the object."""
OFFICIAL = SelectionRules(
    hidden=False,
    actor_iou=0.65,
    object_iou=0.75,
    soft_iou=0.90,
    soft=("drawer", "cloth"),
    ends_iou=0.90,
    apart=True,
    touched=False,
    within_actor=1.0,
    largest=1.0,
    free_actor=False,
)
"""The original code's thresholds. Whether it compares all pairs of masks or successive ones is not known here; of a
drawer or a cloth it keeps all tracks that remain, here it is the best one."""


@dataclass(frozen=True)
class Choice:
    """What was chosen among tracks.

    Attributes:
        object: number of the object's track; None where there is none.
        actor: number of the actor's; None where there is none.
        reason: why, or why not: a short one that can be counted.
        scores: each track's mean IoU with itself under the rules, 0 (moves much) to 1 (stands still).
    """

    object: int | None
    actor: int | None
    reason: str
    scores: Mapping[int, float] = field(default_factory=dict)


def mean_mutual_iou(track: BoolArray, stride: int) -> float:
    """How little a mask changes over time: the mean IoU of all pairs of every `stride`-th mask.

    Args:
        track: bool [T, H, W].
        stride: in frames, at least 1.

    Returns:
        0 to 1. Empty masks are left out; 1.0 where fewer than two are left, as nothing was seen to move.

    Raises:
        InputError: a stride below 1.
    """
    return _mean_iou(track, np.zeros_like(track), stride, "all")


def select_object(
    tracks: BoolArray,
    detections: Sequence[Detection],
    actor_phrases: Sequence[str],
    rules: SelectionRules = ROBUST,
    object_phrases: Sequence[str] = (),
) -> Choice:
    """The manipulated object and the actor.

    Args:
        tracks: bool [N, T, H, W].
        detections: N, what each track began with.
        actor_phrases: words for the actor: "robot gripper". A detection is one if its phrase has the same words in it.
        rules: how to choose.
        object_phrases: words for the object, where known: tracks of these go before others that move.

    Raises:
        InputError: as many tracks as detections are needed.
    """
    if tracks.ndim != 4 or len(tracks) != len(detections):
        raise InputError(
            "tracks", f"must be bool [N={len(detections)}, T, H, W] as there are detections, found {tracks.shape}"
        )
    if not len(tracks):
        return Choice(None, None, "nothing detected")
    sizes = tracks.mean(axis=(2, 3)).max(axis=1)
    usable = [i for i in range(len(tracks)) if 0 < sizes[i] <= rules.largest]
    scores = {i: _score(tracks, i, [], rules) for i in range(len(tracks))}
    if not usable:
        return Choice(None, None, "no usable track", scores)
    actor = _actor(tracks, detections, actor_phrases, rules, scores, usable)
    if rules.hidden:
        scores = _without_hidden(tracks, usable, actor, rules, scores)
    named = {i for i in usable if _names(detections[i].phrase, actor_phrases)}
    others = [i for i in usable if i != actor and i not in named]
    if actor is not None:
        others = [i for i in others if not _part_of(tracks[i], tracks[actor], rules.within_actor)]
    if not others:
        return Choice(None, actor, "no object beside the actor", scores)
    moving = [i for i in others if _moves(tracks[i], detections[i], rules, scores[i])]
    if not moving:
        return Choice(None, actor, "no object moved", scores)
    if actor is not None:
        fitting = [i for i in moving if _fits(tracks[i], tracks[actor], detections[i], rules)]
        if not fitting:
            return Choice(None, actor, "no moving object fits the actor", scores)
        moving = fitting
    asked = [i for i in moving if _names(detections[i].phrase, object_phrases)]
    if rules.surest:
        best = min(asked or moving, key=lambda i: (-detections[i].score, scores[i], i))
        return Choice(best, actor, "moved farthest", scores)
    best = min(asked or moving, key=lambda i: (scores[i], -detections[i].score, i))
    return Choice(best, actor, "asked for and moved most" if asked else "moved most", scores)


def to_labels(tracks: BoolArray, choice: Choice) -> UInt8Array:
    """The chosen tracks as labels; where both are, the object is seen.

    Args:
        tracks: bool [N, T, H, W].
        choice: by :func:`select_object`.

    Returns:
        uint8 [T, H, W] with values of :class:`~mask2iv.contract.Label`.
    """
    labels = np.zeros(tracks.shape[1:], dtype=np.uint8)
    if choice.actor is not None:
        labels[tracks[choice.actor]] = Label.ACTOR
    if choice.object is not None:
        labels[tracks[choice.object]] = Label.OBJECT
    return labels


def _mean_iou(track: BoolArray, hidden: BoolArray, stride: int, pairs: Pairs) -> float:
    """Mean IoU of pairs of masks, without pixels that are `hidden` at either time unless both show the thing there."""
    if stride < 1:
        raise InputError("stride", f"must be at least 1 frame, found {stride}")
    rows, columns = (np.flatnonzero(track.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not len(rows):
        return 1.0
    part = np.s_[::stride, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    masks, covers = track[part], hidden[part]
    seen = [k for k in range(len(masks)) if masks[k].any()]
    found = []
    for a, b in combinations(seen, 2) if pairs == "all" else pairwise(seen):
        both = np.count_nonzero(masks[a] & masks[b])
        either = np.count_nonzero((masks[a] & (masks[b] | ~covers[b])) | (masks[b] & (masks[a] | ~covers[a])))
        if either:
            found.append(both / either)
    return float(np.mean(found)) if found else 1.0


def _score(tracks: BoolArray, index: int, before: Sequence[int], rules: SelectionRules) -> float:
    """A track's mean IoU, without what the tracks `before` it may hide."""
    mine, stride = tracks[index], max(1, tracks.shape[1] // rules.samples)
    # Another box of the same thing hides nothing of it.
    covers = [
        i for i in before if i != index and not _part_of(tracks[i], mine, 0.5) and not _part_of(mine, tracks[i], 0.5)
    ]
    hidden = _grown(np.logical_or.reduce(tracks[covers])) if covers else np.zeros_like(mine)
    return round(_mean_iou(mine, hidden, stride, rules.pairs), 4)


def _without_hidden(
    tracks: BoolArray, usable: Sequence[int], actor: int | None, rules: SelectionRules, plain: Mapping[int, float]
) -> dict[int, float]:
    """Scores without what the actor hides, and then without what hides that moves even so. The actor keeps its own."""
    scores = dict(plain)
    rest = [i for i in usable if i != actor]
    if actor is not None:
        scores |= {i: _score(tracks, i, [actor], rules) for i in rest}
    movers = [i for i in rest if scores[i] <= rules.object_iou]
    before = movers if actor is None else [actor, *movers]
    return scores | {i: _score(tracks, i, before, rules) for i in rest}


def _grown(masks: BoolArray, by: int = 1) -> BoolArray:
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.array([cv2.dilate(mask.astype(np.uint8), kernel) for mask in masks]).astype(np.bool_)


def _part_of(track: BoolArray, whole: BoolArray, share: float) -> bool:
    return int(np.count_nonzero(track & whole)) > share * max(int(np.count_nonzero(track)), 1)


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower()))


def _names(phrase: str, wanted: Sequence[str]) -> bool:
    """Whether a phrase is one of those wanted, or has all words of one, or only words of one."""
    words = _words(phrase)
    return bool(words) and any(words <= (other := _words(one)) or other <= words for one in wanted if _words(one))


def _actor(
    tracks: BoolArray,
    detections: Sequence[Detection],
    phrases: Sequence[str],
    rules: SelectionRules,
    scores: Mapping[int, float],
    usable: Sequence[int],
) -> int | None:
    named = [i for i in usable if _names(detections[i].phrase, phrases)]
    nameless = not any(detections[i].phrase for i in usable)
    moving = [i for i in (named or (usable if nameless else [])) if scores[i] < rules.actor_iou]
    if named or not rules.free_actor:
        return min(moving, key=lambda i: (-detections[i].score, i), default=None)
    reach = {i: _at_border(tracks[i]) for i in moving}
    areas: NDArray[np.float64] = tracks.mean(axis=(1, 2, 3))
    return min((i for i in moving if reach[i] > 0.5), key=lambda i: (-round(reach[i], 2), -areas[i], i), default=None)


def _at_border(track: BoolArray) -> float:
    """Share of the frames with a mask in which it reaches the picture's border."""
    seen = track.any(axis=(1, 2))
    rim = track[:, 0].any(1) | track[:, -1].any(1) | track[:, :, 0].any(1) | track[:, :, -1].any(1)
    return float(rim.sum() / max(seen.sum(), 1))


def _soft(detection: Detection, rules: SelectionRules) -> bool:
    return bool(_words(detection.phrase) & set(rules.soft))


def _moves(track: BoolArray, detection: Detection, rules: SelectionRules, score: float) -> bool:
    if _soft(detection, rules):
        return score <= rules.soft_iou
    return score <= rules.object_iou and (rules.ends_iou >= 1 or iou(track[0], track[-1]) <= rules.ends_iou)


def _fits(track: BoolArray, actor: BoolArray, detection: Detection, rules: SelectionRules) -> bool:
    if rules.apart and not _soft(detection, rules) and (track[0] & _grown(actor[:1])[0]).any():
        return False
    if not rules.touched:
        return True
    reach = max(2, round(0.015 * float(np.hypot(*track.shape[1:]))))
    return any((_grown(a[None], reach)[0] & b).any() for a, b in zip(actor, track, strict=True) if a.any() and b.any())
