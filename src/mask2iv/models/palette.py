"""An actor's palette: one RGB colour each for its near and its far part, for a whole clip.

Where the first frame shows no actor, its colours are unknown, and a decoder would paint the mean of all of them: mud.
So the decoder is given a palette: the one of the first frame's actor, or the one of the training clip whose actor is
nearest to what stage 2 drew.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mask2iv.contract import Label, UInt8Array, is_actor

PARTS = 2
"""Parts of an actor: near the object (a hand, a gripper), and far from it (a sleeve, the links of an arm)."""
_NEAR, _FAR = 0.25, 0.5
"""Shares of the actor's pixels in a frame that count as near and as far."""
_WHOLE = 0.02
"""An actor that covers this share of the first frame shows its own colours there."""


def actor_palette(frames: UInt8Array, labels: UInt8Array) -> NDArray[np.float32] | None:
    """Median colours of all actors' near and far parts, float32 [2, 3] in [-1, 1].

    Args:
        frames: uint8 [T, H, W, 3].
        labels: uint8 [T, H, W].

    Returns:
        None where no frame shows an actor.
    """
    near, far = [], []
    centre = None
    for frame, label in zip(frames, labels, strict=True):
        item = np.argwhere(label == Label.OBJECT)
        centre = item.mean(axis=0) if len(item) else centre
        mask = is_actor(label)
        if not mask.any():
            continue
        places, colours = np.argwhere(mask), frame[mask]
        away = np.square(places - (places.mean(axis=0) if centre is None else centre)).sum(axis=1)
        near.append(colours[away <= np.quantile(away, _NEAR)])
        far.append(colours[away >= np.quantile(away, 1 - _FAR)])
    if not near:
        return None
    medians = [np.median(np.concatenate(part), axis=0) for part in (near, far)]
    return (np.stack(medians) / 127.5 - 1.0).astype(np.float32)


def chosen_palette(
    bank: torch.Tensor, image: UInt8Array, decoded: UInt8Array, labels: UInt8Array
) -> NDArray[np.float32]:
    """The palette to paint a clip's actors with, float32 [2, 3]; zeros where no frame shows one.

    Args:
        bank: palettes of training clips, [N, 2, 3].
        image: first frame, uint8 [H, W, 3].
        decoded: stage 2's frames, uint8 [T, H, W, 3].
        labels: uint8 [T, H, W].
    """
    actor = is_actor(labels[0])
    if actor.mean() > _WHOLE:
        own = actor_palette(image[None], labels[:1])
        assert own is not None
        return own
    hint = actor_palette(decoded[1:], labels[1:])
    if hint is None:
        return np.zeros((PARTS, 3), np.float32)
    palettes = bank.detach().float().cpu().numpy()
    return np.asarray(palettes[np.square(palettes - hint).sum(axis=(1, 2)).argmin()], dtype=np.float32)
