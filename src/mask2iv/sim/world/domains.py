"""Kinds of rooms: surfaces, light, and furniture along the back of the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mask2iv.sim.world.assets.paint import DARK, METAL, WHITE, bright, wood
from mask2iv.sim.world.assets.parts import Colour, Geom, ball, box, rod
from mask2iv.sim.world.geometry import vec
from mask2iv.sim.world.textures import Surface

Rng = np.random.Generator
Furnish = Callable[[Rng], list[tuple[float, list[Geom]]]]


@dataclass(frozen=True)
class Domain:
    """A kind of room.

    Attributes:
        table, wall, floor: surfaces.
        counter: probability that the table reaches the wall.
        ambient, sun, warmth: ranges of the ambient light, the main light, and the main light's blue.
        low_sun: largest slope of the main light from the vertical.
        furnish: draws furniture with a footprint of 6 to 12 cm radius, at its own origin: (radius, shapes).
        flat: probability of a flat object on the table: a mat, a sheet.
        shadow: side of the shadow map in pixels; a finer one costs more time.
    """

    table: Surface
    wall: Surface
    floor: Surface
    counter: float = 0.4
    ambient: tuple[float, float] = (0.38, 0.5)
    sun: tuple[float, float] = (0.55, 0.75)
    warmth: tuple[float, float] = (0.82, 1.0)
    low_sun: float = 0.8
    furnish: Furnish | None = None
    flat: float = 0.0
    shadow: int = 1024


def _kitchen(rng: Rng) -> list[tuple[float, list[Geom]]]:
    r, h, c = rng.uniform(0.035, 0.05), rng.uniform(0.1, 0.16), bright(rng)
    jar = [
        rod(vec(0, 0, 0), vec(0, 0, h), r, c, "cylinder"),
        rod(vec(0, 0, h), vec(0, 0, h + 0.02), r * 0.8, wood(rng), "cylinder"),
    ]
    holder = [rod(vec(0, 0, 0), vec(0, 0, 0.12), 0.045, bright(rng), "cylinder")]
    for _ in range(4):
        lean = rng.uniform(-0.05, 0.05, 2)
        tip = vec(lean[0], lean[1], rng.uniform(0.2, 0.27))
        holder.append(rod(vec(0, 0, 0.05), tip, 0.006, wood(rng) if rng.random() < 0.5 else METAL))
    board = [box(vec(0, 0, 0.1), (0.075, 0.01, 0.1), wood(rng))]
    stack = [
        rod(vec(0, 0, 0.012 * i), vec(0, 0, 0.012 * i + 0.01), 0.085 - 0.004 * i, WHITE, "cylinder") for i in range(4)
    ]
    return [(r, jar), (0.07, holder), (0.08, board), (0.09, stack)]


def _office(rng: Rng) -> list[tuple[float, list[Geom]]]:
    screen: Colour = ((0.25, 0.4, 0.6), (0.1, 0.12, 0.16), (0.85, 0.87, 0.9))[rng.integers(3)]
    monitor = [
        box(vec(0, 0, 0.008), (0.07, 0.05, 0.008), DARK),
        box(vec(0, 0, 0.07), (0.012, 0.008, 0.06), DARK),
        box(vec(0, 0, 0.2), (0.16, 0.008, 0.1), DARK),
        box(vec(0, -0.0085, 0.2), (0.152, 0.001, 0.092), screen),
        box(vec(-0.04, -0.0095, 0.22), (0.07, 0.001, 0.04), bright(rng)),
    ]
    books, z = [], 0.0
    for _ in range(int(rng.integers(2, 6))):
        t = rng.uniform(0.008, 0.018)
        turn = vec(rng.uniform(-0.008, 0.008), rng.uniform(-0.008, 0.008), z + t)
        books.append(box(turn, (rng.uniform(0.07, 0.09), rng.uniform(0.05, 0.065), t), bright(rng)))
        z += 2 * t
    pens = [rod(vec(0, 0, 0), vec(0, 0, 0.09), 0.035, DARK, "cylinder")]
    for _ in range(4):
        x, y = rng.uniform(-0.03, 0.03, 2)
        pens.append(rod(vec(0, 0, 0.05), vec(x, y, 0.14), 0.0045, bright(rng)))
    pot: Colour = (0.7, 0.4, 0.3)
    plant = [rod(vec(0, 0, 0), vec(0, 0, 0.08), 0.045, pot, "cylinder")]
    for _ in range(9):
        x, y = rng.uniform(-0.06, 0.06, 2)
        leaf: Colour = (0.1, rng.uniform(0.35, 0.6), 0.15)
        plant.append(rod(vec(0, 0, 0.08), vec(x, y, rng.uniform(0.13, 0.22)), 0.011, leaf))
    return [(0.16, monitor), (0.1, books), (0.05, pens), (0.07, plant)]


def _workshop(rng: Rng) -> list[tuple[float, list[Geom]]]:
    c = bright(rng)
    toolbox = [
        box(vec(0, 0, 0.05), (0.13, 0.06, 0.05), c),
        box(vec(0, 0, 0.105), (0.132, 0.062, 0.008), DARK),
        rod(vec(-0.06, 0, 0.14), vec(0.06, 0, 0.14), 0.008, DARK),
        rod(vec(-0.06, 0, 0.11), vec(-0.06, 0, 0.14), 0.007, METAL),
        rod(vec(0.06, 0, 0.11), vec(0.06, 0, 0.14), 0.007, METAL),
    ]
    blue: Colour = (0.15, 0.25, 0.45)
    vice = [
        box(vec(0, 0, 0.02), (0.06, 0.05, 0.02), blue),
        box(vec(0, 0.03, 0.07), (0.05, 0.015, 0.05), blue),
        box(vec(0, -0.02, 0.07), (0.05, 0.012, 0.05), blue),
        rod(vec(0, -0.08, 0.06), vec(0, 0, 0.06), 0.011, METAL),
    ]
    offcuts = [
        box(vec(0, 0, 0.018 + 0.036 * i), (rng.uniform(0.06, 0.12), 0.04, 0.017), wood(rng))
        for i in range(int(rng.integers(2, 5)))
    ]
    tin = [
        rod(vec(0, 0, 0), vec(0, 0, 0.11), 0.055, METAL, "cylinder"),
        rod(vec(0, 0, 0.02), vec(0, 0, 0.09), 0.056, bright(rng), "cylinder"),
    ]
    return [(0.13, toolbox), (0.08, vice), (0.11, offcuts), (0.06, tin)]


def _lab(rng: Rng) -> list[tuple[float, list[Geom]]]:
    shell: Colour = WHITE if rng.random() < 0.6 else (0.3, 0.33, 0.38)
    device = [
        box(vec(0, 0, 0.06), (0.1, 0.07, 0.06), shell),
        box(vec(-0.03, -0.0705, 0.075), (0.05, 0.001, 0.028), (0.1, 0.25, 0.2)),
    ]
    for x in (0.04, 0.06, 0.08):
        device.append(ball(vec(x, -0.07, 0.08), 0.006, bright(rng)))
        device.append(rod(vec(x, -0.065, 0.04), vec(x, -0.078, 0.04), 0.008, DARK, "cylinder"))
    rack = [box(vec(0, 0, 0.02), (0.08, 0.03, 0.02), bright(rng))]
    for i in range(6):
        x = -0.065 + 0.026 * i
        rack.append(rod(vec(x, 0, 0.03), vec(x, 0, 0.095), 0.008, (0.8, 0.88, 0.92)))
        rack.append(rod(vec(x, 0, 0.09), vec(x, 0, 0.105), 0.0095, bright(rng), "cylinder"))
    frame = [box(vec(x, 0, 0.16), (0.015, 0.015, 0.16), METAL, finish="metal") for x in (-0.11, 0.11)]
    frame.append(box(vec(0, 0, 0.31), (0.125, 0.015, 0.015), METAL, finish="metal"))
    flask = [
        rod(vec(0, 0, 0.05), vec(0, 0, 0.051), 0.045, bright(rng)),
        rod(vec(0, 0, 0.09), vec(0, 0, 0.13), 0.014, (0.85, 0.9, 0.93), "cylinder"),
    ]
    return [(0.1, device), (0.09, rack), (0.13, frame), (0.05, flask)]


DOMAINS: dict[str, Domain] = {
    "studio": Domain(
        Surface({"wood": 0.4, "marble": 0.2, "tiles": 0.1, "cloth": 0.1, "plain": 0.2}),
        Surface({"wood": 0.1, "marble": 0.15, "tiles": 0.25, "cloth": 0.1, "plain": 0.4}, (0.45, 0.95)),
        Surface({"wood": 0.4, "marble": 0.2, "tiles": 0.2, "cloth": 0.0, "plain": 0.2}, (0.2, 0.6)),
        shadow=2048,
    ),
    "kitchen": Domain(
        Surface(
            {"wood": 0.3, "marble": 0.3, "speckle": 0.25, "brushed": 0.15}, (0.45, 0.95), (0.03, 0.14), (0.03, 0.3)
        ),
        Surface({"grid": 0.5, "brick": 0.15, "tiles": 0.35}, (0.65, 1.0), (0.0, 1.0), (0.02, 0.3)),
        Surface({"planks": 0.5, "tiles": 0.5}, (0.3, 0.7), (0.04, 0.12), (0.1, 0.4)),
        counter=0.75,
        ambient=(0.36, 0.46),
        warmth=(0.68, 0.9),
        furnish=_kitchen,
        flat=0.35,
    ),
    "office": Domain(
        Surface({"plain": 0.35, "wood": 0.4, "planks": 0.1, "stained": 0.15}, (0.5, 0.97), (0.05, 0.65), (0.01, 0.12)),
        Surface({"plain": 0.5, "stained": 0.3, "grid": 0.2}, (0.7, 0.98), (0.05, 0.65), (0.02, 0.2)),
        Surface({"cloth": 0.3, "stained": 0.7}, (0.25, 0.5), (0.5, 0.7), (0.05, 0.3)),
        counter=0.3,
        ambient=(0.45, 0.56),
        sun=(0.4, 0.6),
        warmth=(0.95, 1.05),
        furnish=_office,
        flat=0.6,
    ),
    "workshop": Domain(
        Surface({"planks": 0.5, "stained": 0.3, "wood": 0.2}, (0.3, 0.65), (0.05, 0.11), (0.2, 0.55)),
        Surface({"holes": 0.45, "brick": 0.4, "stained": 0.15}, (0.35, 0.8), (0.0, 0.12), (0.1, 0.5)),
        Surface({"stained": 1.0}, (0.25, 0.5), (0.0, 1.0), (0.0, 0.1)),
        counter=0.6,
        ambient=(0.26, 0.36),
        sun=(0.65, 0.85),
        warmth=(0.7, 0.95),
        low_sun=1.1,
        furnish=_workshop,
        flat=0.4,
    ),
    "lab": Domain(
        Surface({"holes": 0.4, "plain": 0.25, "brushed": 0.2, "speckle": 0.15}, (0.25, 0.95), (0.5, 0.65), (0.0, 0.12)),
        Surface({"plain": 0.4, "grid": 0.4, "brushed": 0.2}, (0.6, 1.0), (0.45, 0.65), (0.0, 0.15)),
        Surface({"grid": 0.4, "speckle": 0.6}, (0.4, 0.8), (0.5, 0.65), (0.0, 0.1)),
        counter=0.25,
        ambient=(0.42, 0.55),
        sun=(0.45, 0.7),
        warmth=(1.0, 1.12),
        furnish=_lab,
        flat=0.45,
    ),
}
"""Name -> kind of room. "studio" has no furniture, and surfaces of any colour."""
_SCENE_SEED = 20251004


def scene_of(number: int, domains: tuple[str, ...]) -> tuple[str, Rng]:
    """The domain of a scene of the pool, and the random source that its room is built from."""
    return domains[number % len(domains)], np.random.default_rng([_SCENE_SEED, number])
