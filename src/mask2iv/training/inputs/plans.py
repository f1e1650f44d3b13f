"""Training data of planner and painter: each clip's plan, its masks as distances and its scene; also mirrored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mask2iv.backbones.planning.conditions import known_maps, scene_facts
from mask2iv.contract import Label, UInt8Array, is_actor
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.inputs.shards import Shards, build_shards
from mask2iv.trajectories.distances import distance_map
from mask2iv.trajectories.plan import ACTOR_NUMBERS, ACTORS, OBJECT_NUMBERS, plan_of

_LEVELS = 127
_MAPS = ("moved", "actor", "thing")
_POSE_MIRROR = torch.tensor([-1.0, 1.0, 1.0, -1.0])


def build_plans(clips: ClipMemory, key: str, root: Path) -> Shards:
    """Of each clip: ``plan``, float32 [1, T, NUMBERS]; ``moved``, ``actor`` and ``thing``, int8 [1, T, h, w] (distances
    in steps of 1/127: of the first frame's object moved by the plan, of the actors and of the object); ``width`` (of
    the picture, in units of its height); and the fields of :class:`mask2iv.backbones.planning.conditions.SceneFacts`.

    Args:
        clips: at the model's size and length.
        key: hash of everything that the numbers depend on.
        root: folder of caches.

    Raises:
        InputError: a clip cannot be read, or its first frame lacks the object.
    """

    def prepare(row: int) -> dict[str, torch.Tensor]:
        item = clips.item(row)
        values = _row(item["video"][0].numpy(), item["labels"].numpy())
        return {name: torch.from_numpy(np.asarray(value))[None] for name, value in values.items()}

    def compute(row: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return row

    return build_shards(len(clips), compute, key, root, {"size": list(clips.dataset.size)}, "plan", prepare)


class PlanRows:
    """Plans with their captions' tokens, each clip twice: rows 2 i and 2 i + 1 are clip i and its mirror image.

    Args:
        shards: of :func:`build_plans`.
        text: tokens of each row's caption, [2 N, L, D]; see :func:`mirrored_caption`.
        device: where the batches go.
    """

    def __init__(self, shards: Shards, text: torch.Tensor, device: torch.device) -> None:
        self.text, self.device = text.to(device), device
        rows = [shards.row(index) for index in range(len(shards))]
        # 100 kB each: thousands of clips fit into memory, and small networks must not wait for files.
        self.tensors = {name: torch.cat([row[name] for row in rows]).to(device) for name in rows[0]}

    def __len__(self) -> int:
        return len(self.text)

    def batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """Fields of these rows, [B, ...], distances as floats in [-1, 1], with ``text``."""
        index = torch.tensor(rows, device=self.device)
        found = {name: value[index // 2] for name, value in self.tensors.items()}
        for name in _MAPS:
            found[name] = found[name].float() / _LEVELS
        turned = (index % 2).bool()
        mirror = mirrored(found)
        return {
            **{name: torch.where(_like(turned, value), mirror[name], value) for name, value in found.items()},
            "text": self.text[index],
        }


def mirrored(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same clips mirrored: pictures and maps flipped left to right, coordinates accordingly."""
    width = batch["width"]
    plan, actors, start, target = (batch[name].clone() for name in ("plan", "actors", "start", "target"))
    plan[..., :OBJECT_NUMBERS] *= _POSE_MIRROR.to(plan)
    target *= _POSE_MIRROR.to(target)
    start[:, 0] = width - start[:, 0]
    for numbers, side in ((plan[..., OBJECT_NUMBERS:], width.unsqueeze(1)), (actors, width)):
        for first in range(0, ACTORS * ACTOR_NUMBERS, ACTOR_NUMBERS):
            present = numbers[..., first]
            numbers[..., first + 1] *= -1
            for x in (first + 3, first + 6):
                numbers[..., x] = present * side - numbers[..., x]
    # Mirrored, the right hand, which comes first, is a left one.
    hands = plan[..., OBJECT_NUMBERS:]
    both = (hands[..., ACTOR_NUMBERS] > 0.5).any(dim=1).view(-1, 1, 1)
    plan[..., OBJECT_NUMBERS:] = torch.where(both, hands.roll(ACTOR_NUMBERS, dims=-1), hands)
    turned = {name: batch[name].flip(-1) for name in (*_MAPS, "picture")}
    return {**batch, **turned, "plan": plan, "actors": actors, "start": start, "target": target}


def _like(flags: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return flags.view(-1, *(1,) * (values.ndim - 1))


def _row(image: UInt8Array, labels: UInt8Array) -> dict[str, object]:
    plan = plan_of(labels)
    facts = scene_facts(image, labels[0], labels[-1] == Label.OBJECT)
    moved, _, _ = known_maps(labels[0], plan.transforms(labels.shape[1]))
    seen = {
        "thing": np.stack([distance_map(frame == Label.OBJECT) for frame in labels]),
        "actor": np.stack([distance_map(is_actor(frame)) for frame in labels]),
        "moved": moved[:, 0],
    }
    return {
        "plan": plan.to_array().astype(np.float32),
        **{name: np.round(maps * _LEVELS).astype(np.int8) for name, maps in seen.items()},
        "width": np.float32((labels.shape[2] - 1) / (labels.shape[1] - 1)),
        **vars(facts),
    }
