"""Colours of objects."""

from __future__ import annotations

import colorsys

import numpy as np

from mask2iv.sim.world.assets.parts import Colour

Rng = np.random.Generator
METAL: Colour = (0.72, 0.73, 0.76)
DARK: Colour = (0.12, 0.12, 0.13)
WHITE: Colour = (0.93, 0.93, 0.9)


def bright(rng: Rng) -> Colour:
    """A saturated colour, or sometimes white or dark grey."""
    pick = rng.random()
    if pick < 0.12:
        return WHITE
    if pick < 0.18:
        return (0.2, 0.21, 0.24)
    r, g, b = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.55, 0.95), rng.uniform(0.55, 0.95))
    return (r, g, b)


def wood(rng: Rng) -> Colour:
    """A brown."""
    r, g, b = colorsys.hsv_to_rgb(rng.uniform(0.05, 0.1), rng.uniform(0.4, 0.7), rng.uniform(0.35, 0.75))
    return (r, g, b)
