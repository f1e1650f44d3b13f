"""What planner and painter learn from: of every clip its plan, its masks as distances, and its scene.

Each clip is there twice, as it is and mirrored, with "left" and "right" exchanged in its caption.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mask2iv.contract import Label, UInt8Array
from mask2iv.distances import distance_map
from mask2iv.plan import plan_of
from mask2iv.plan_conditions import known_maps, scene_facts
from mask2iv.training.clips import ClipMemory
from mask2iv.training.shards import Shards, build_shards

_EXCHANGED = {
    "left": "right",
    "right": "left",
    "clockwise": "counterclockwise",
    "counterclockwise": "clockwise",
}
_LEVELS = 127


def mirrored_caption(caption: str) -> str:
    """What is said of a clip's mirror image."""
    return " ".join(_EXCHANGED.get(word, word) for word in caption.split(" "))


def build_plans(clips: ClipMemory, key: str, root: Path) -> Shards:
    """Rows 2 i and 2 i + 1 are clip i and its mirror image.

    Each has ``plan`` float32 [1, T, NUMBERS], ``moved``, ``actor`` and ``thing`` int8 [1, T, h, w] (distances in steps
    of 1/127; those of the known object moved, and of what is seen), and the fields of
    :class:`mask2iv.plan_conditions.SceneFacts`.

    Args:
        clips: of the model's size and length.
        key: hash of everything that the numbers depend on.
        root: folder of caches.

    Raises:
        InputError: a clip cannot be read, or its first frame lacks the object.
    """

    def compute(row: int) -> dict[str, torch.Tensor]:
        item = clips.item(row // 2)
        image, labels = item["video"][0].numpy(), item["labels"].numpy()
        if row % 2:
            image, labels = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(labels[:, :, ::-1])
        return {name: torch.from_numpy(np.asarray(value))[None] for name, value in _row(image, labels).items()}

    return build_shards(2 * len(clips), compute, key, root, {"size": list(clips.dataset.size)}, "plan")


def _row(image: UInt8Array, labels: UInt8Array) -> dict[str, object]:
    plan = plan_of(labels)
    facts = scene_facts(image, labels[0], labels[-1] == Label.OBJECT)
    moved, _, _ = known_maps(labels[0], plan.transforms(labels.shape[1]))
    seen = {
        "thing": np.stack([distance_map(frame == Label.OBJECT) for frame in labels]),
        "actor": np.stack([distance_map((frame != Label.OBJECT) & (frame != Label.BACKGROUND)) for frame in labels]),
        "moved": moved[:, 0],
    }
    return {
        "plan": plan.to_array().astype(np.float32),
        **{name: np.round(maps * _LEVELS).astype(np.int8) for name, maps in seen.items()},
        **vars(facts),
    }


def distances(stored: torch.Tensor) -> torch.Tensor:
    """Stored steps as distances in [-1, 1]."""
    return stored.float() / _LEVELS
