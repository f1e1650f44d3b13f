"""How convincing pictures are. PSNR over all pixels does not show it: it prefers blur to a misplaced detail.

The first frame is an input, so all measures but the flicker leave it out. Masks are known: for the true video the
clip's, for a generated one those of the trajectory it was asked to follow. Along true trajectories both are the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, Clip, Label, Trajectory, UInt8Array
from mask2iv.evaluation.measures.metrics import psnr
from mask2iv.trajectories.measures import centroids, pieces

MOVED_SHARE = 0.013
"""An object has moved in a frame when its centroid is farther than this from its first one, as a share of the diagonal:
4 pixels at 160x256."""
ACTOR_PIECE = 0.02
"""Connected pieces below this share of the actor's area in the frame do not count as a component of it."""
REGIONS = ("object", "actor", "rest")
GRADIENTS = tuple(f"gradient_{name}" for name in REGIONS)

Measures = dict[str, float | None]


def regions(trajectory: Trajectory) -> dict[str, BoolArray]:
    """The pixels of each of :data:`REGIONS`, bool [T-1, H, W], in the frames after the first.

    ``object``: the object in frames in which it has moved (:data:`MOVED_SHARE`); until then it can be copied from the
    first frame. ``actor``: any actor. ``rest``: all other pixels.
    """
    path = centroids(trajectory, Label.OBJECT)
    gone = np.linalg.norm(path - path[0], axis=1)[1:] / np.hypot(*trajectory.size)
    moved = trajectory.object[1:] & (gone > MOVED_SHARE)[:, None, None]  # false where a centroid is NaN
    actor = trajectory.actor[1:]
    return {"object": moved, "actor": actor, "rest": ~(moved | actor)}


def region_psnr(video: UInt8Array, clip: Clip) -> Measures:
    """``psnr_object`` and ``psnr_actor``: PSNR in dB over the true video's moved object and over its actor.

    Args:
        video: uint8 [T, H, W, 3].
        clip: the true clip.

    Returns:
        None where the true video has no such pixels.
    """
    where = regions(clip.trajectory)
    return {f"psnr_{name}": psnr(video, clip.video, where[name]) for name in ("object", "actor")}


def gradient_ratios(video: UInt8Array, requested: Trajectory, clip: Clip) -> Measures:
    """:data:`GRADIENTS`: detail of a video relative to the true one, by region: 1 is right, less is blur, more noise.

    Detail is the mean absolute difference, over frames and channels, of horizontal and vertical neighbours that are
    both in the region. Outlines, which depend on the surroundings, therefore do not count. Along true trajectories,
    where the regions agree, the ratio is that of the sums over frames.

    Args:
        video: uint8 [T, H, W, 3].
        requested: the trajectory it was asked to follow.
        clip: the true clip.

    Returns:
        None where a region is empty in either video, or has no detail in the true one.
    """
    own, true = _detail(video, requested), _detail(clip.video, clip.trajectory)
    found: Measures = {}
    for name in REGIONS:
        one, other = own[name], true[name]
        found[f"gradient_{name}"] = one / other if one is not None and other else None
    return found


def _detail(video: UInt8Array, trajectory: Trajectory) -> dict[str, float | None]:
    """Mean absolute difference of neighbouring pixels by region, in 8-bit levels; None where a region has none."""
    pictures = video[1:].astype(np.int16)
    differences = [_summed(pictures[:, :, 1:] - pictures[:, :, :-1]), _summed(pictures[:, 1:] - pictures[:, :-1])]
    found: dict[str, float | None] = {}
    for name, where in regions(trajectory).items():
        pairs = [where[:, :, 1:] & where[:, :, :-1], where[:, 1:] & where[:, :-1]]
        count = sum(int(np.count_nonzero(pair)) for pair in pairs)
        total = sum(int(size[pair].sum()) for size, pair in zip(differences, pairs, strict=True))
        found[name] = total / (3 * count) if count else None
    return found


def _summed(difference: NDArray[np.int16]) -> NDArray[np.int64]:
    """Absolute values [..., 3], summed over channels."""
    size = np.abs(difference)
    total: NDArray[np.int64] = (size[..., 0] + size[..., 1] + size[..., 2]).astype(np.int64)
    return total


def actor_flicker(video: UInt8Array, trajectory: Trajectory) -> float | None:
    """How much the actor's colour flickers, in 8-bit levels; close to the true video's value is good.

    For every three consecutive frames, take the mean colour of the pixels that show the actor in all three. The result
    is the mean absolute second difference of these colours over channels and frames, frames weighted by the number of
    such pixels. Colours are averaged first because blur lowers the second difference of single pixels that move.

    Args:
        video: uint8 [T, H, W, 3].
        trajectory: its masks.

    Returns:
        None where no pixel shows the actor in three consecutive frames.
    """
    actor = trajectory.actor
    total, count = 0.0, 0
    for t, lasting in enumerate(actor[:-2] & actor[1:-1] & actor[2:]):
        pixels = int(lasting.sum())
        if pixels:
            colours = [frame[lasting].mean(axis=0) for frame in video[t : t + 3]]
            total += pixels * float(np.abs(np.diff(colours, n=2, axis=0)).mean())
            count += pixels
    return total / count if count else None


def actor_components(found: Trajectory, true: Trajectory) -> Measures:
    """How many pieces the actor is in, and the ratio to the true actor, which an object in front of it may split too.

    Args:
        found: predicted masks, or masks segmented from a video.
        true: the clip's masks.

    Returns:
        ``actor_components``: connected pieces with at least :data:`ACTOR_PIECE` of its area (corners connect), mean
        over the frames that show an actor; None where no frame does. ``actor_components_ratio``: the same divided by
        the true trajectory's number; None where either shows no actor.
    """
    own, other = _components(found), _components(true)
    ratio = None if own is None or other is None else own / other
    return {"actor_components": own, "actor_components_ratio": ratio}


def _components(trajectory: Trajectory) -> float | None:
    numbers = [pieces(mask, ACTOR_PIECE) for mask in trajectory.actor[1:] if mask.any()]
    return float(np.mean(numbers)) if numbers else None
