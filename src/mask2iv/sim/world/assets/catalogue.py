"""All categories, and the source of a clip's objects: newly generated, or from a pool of known instances."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mask2iv.sim.world.assets import jointed, objects, tools
from mask2iv.sim.world.assets.parts import ObjectModel

Rng = np.random.Generator
CATALOGUE: dict[str, Callable[[Rng], ObjectModel]] = {
    "mug": objects.mug,
    "cup": objects.cup,
    "can": objects.can,
    "bottle": objects.bottle,
    "carton": objects.carton,
    "box": objects.block,
    "bowl": objects.bowl,
    "kettle": objects.kettle,
    "banana": objects.banana,
    "apple": objects.apple,
    "knife": objects.knife,
    "spatula": objects.spatula,
    "toy car": objects.toy_car,
    "laptop": jointed.laptop,
    "drawer": jointed.drawer,
    "lidded box": jointed.lidded_box,
    "safe": jointed.safe,
    "trash can": jointed.trash_can,
    "bucket": tools.bucket,
    "scissors": tools.scissors,
    "pliers": tools.pliers,
    "lamp": tools.lamp,
    "stapler": tools.stapler,
    "chair": tools.chair,
}
OBJECTS: tuple[str, ...] = tuple(CATALOGUE)
"""Categories an object can have, as written in captions."""
HOUSEHOLD: tuple[str, ...] = OBJECTS[:16]
"""The categories drawn by default; the shipped weights know their names."""
_BUILDERS = CATALOGUE | {"wide box": objects.wide_box, "large box": objects.large_box}
_POOL_SEED = 20251003


@dataclass(frozen=True)
class Props:
    """The source of a clip's objects.

    Attributes:
        kinds: categories that may be handled or placed as distractors.
        instances: numbers of the instances to draw from; None generates new objects.
    """

    kinds: tuple[str, ...] = HOUSEHOLD
    instances: range | None = None

    def among(self, kinds: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `kinds` that may be used, in the same order, with repetitions."""
        return tuple(kind for kind in kinds if kind in self.kinds)

    def make(self, kind: str, rng: Rng) -> ObjectModel:
        """An object of a category, or a "wide box" or "large box"."""
        if self.instances is None:
            return _BUILDERS[kind](rng)
        return instance(kind, self.instances[int(rng.integers(len(self.instances)))])


def instance(kind: str, number: int) -> ObjectModel:
    """Instance `number` of a category: the same shape and colours wherever it is used."""
    model = _BUILDERS[kind](np.random.default_rng([_POOL_SEED, number, *kind.encode()]))
    return replace(model, instance=f"{kind.replace(' ', '-')}-{number:03d}")
