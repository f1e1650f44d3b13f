"""Procedural textures of surfaces."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.sim.world.geometry import Array

Rng = np.random.Generator


@dataclass(frozen=True)
class Surface:
    """The possible looks of a surface of a room.

    Attributes:
        kinds: texture kind -> its probability.
        value, hue, saturation: ranges of the base colour, 0 to 1.
    """

    kinds: dict[str, float]
    value: tuple[float, float] = (0.35, 0.9)
    hue: tuple[float, float] = (0.0, 1.0)
    saturation: tuple[float, float] = (0.02, 0.22)


def _noise(rng: Rng, shape: tuple[int, int], size: int) -> Array:
    small = rng.random(shape).astype(np.float32)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float64)


def draw_texture(rng: Rng, kind: str, surface: Surface, size: int = 128) -> UInt8Array:
    """A texture, uint8 [size, size, 3]: "wood", "marble", "tiles", "cloth", "plain" or one of the patterns below."""
    hue, value = surface.hue, surface.value
    tone = hue[0] + (hue[1] - hue[0]) * rng.random()
    base = np.array(colorsys.hsv_to_rgb(tone, rng.uniform(*surface.saturation), rng.uniform(*value)))
    other = np.clip(base * rng.uniform(0.7, 0.9) + rng.uniform(-0.05, 0.05, 3), 0, 1)
    if kind == "wood":
        base = np.array(colorsys.hsv_to_rgb(rng.uniform(0.05, 0.11), rng.uniform(0.3, 0.65), rng.uniform(*value)))
        other = base * rng.uniform(0.72, 0.86)
        mix = 0.65 * _noise(rng, (24, 3), size) + 0.35 * _noise(rng, (9, 2), size)
    elif kind == "marble":
        mix = 0.7 * _noise(rng, (5, 5), size) + 0.3 * _noise(rng, (14, 14), size)
    elif kind in ("tiles", "cloth"):
        cells = int(rng.integers(2, 5))
        y, x = np.mgrid[:size, :size] * cells // size
        mix = ((x + y) % 2).astype(np.float64) if kind == "tiles" else (x % 2).astype(np.float64)
        mix = 0.85 * mix + 0.15 * _noise(rng, (8, 8), size)
        other = base * rng.uniform(0.75, 0.92)
    elif kind in _PATTERNS:
        mix, other = _PATTERNS[kind](rng, size), base * rng.uniform(0.45, 0.75)
    else:
        mix = 0.5 * _noise(rng, (4, 4), size)
        other = base * 0.88
    mix = np.clip(mix, 0, 1)[..., None]
    return np.round(255 * np.clip(base * (1 - mix) + other * mix, 0, 1)).astype(np.uint8)


def _brick(rng: Rng, size: int) -> Array:
    """Courses of bricks of different tones, with mortar joints."""
    rows = int(rng.integers(5, 8))
    tones = rng.random((rows, 4)) * 0.5
    y, x = np.mgrid[:size, :size] / size
    row = (y * rows).astype(int)
    along = (x * 3 + 0.5 * (row % 2)) % 3
    joint = ((y * rows) % 1 < 0.12) | (along % 1 < 0.05)
    return np.where(joint, 1.0, tones[row, along.astype(int)] + 0.15 * _noise(rng, (32, 32), size))


def _planks(rng: Rng, size: int) -> Array:
    """Boards with grain and dark gaps."""
    boards = int(rng.integers(4, 7))
    y, _ = np.mgrid[:size, :size] / size
    board = (y * boards).astype(int)
    tone = (rng.random(boards) * 0.6)[board]
    return np.where((y * boards) % 1 < 0.05, 1.0, tone + 0.35 * _noise(rng, (40, 4), size))


def _speckle(rng: Rng, size: int) -> Array:
    """Terrazzo: chips in a matrix."""
    return 0.9 * (_noise(rng, (40, 40), size) > 0.72) + 0.2 * _noise(rng, (6, 6), size)


def _holes(rng: Rng, size: int) -> Array:
    """A board with a grid of holes."""
    cells = int(rng.integers(6, 10))
    y, x = np.mgrid[:size, :size] * cells / size % 1 - 0.5
    return np.where(x**2 + y**2 < 0.03, 1.0, 0.12 * _noise(rng, (5, 5), size))


def _brushed(rng: Rng, size: int) -> Array:
    """Brushed metal."""
    return 0.45 * _noise(rng, (96, 3), size) + 0.25 * _noise(rng, (3, 3), size)


def _grid(rng: Rng, size: int) -> Array:
    """Thin lines on a plain background: a cutting mat, or small tiles."""
    cells = int(rng.integers(4, 9))
    y, x = np.mgrid[:size, :size] * cells / size % 1
    return np.where((x < 0.07) | (y < 0.07), 0.8, 0.15 * _noise(rng, (6, 6), size))


def _stained(rng: Rng, size: int) -> Array:
    """Noise at many scales: concrete, plaster, a worn bench."""
    layers = ((3, 0.4), (9, 0.3), (27, 0.25), (81, 0.2))
    return np.sum([share * _noise(rng, (cells, cells), size) for cells, share in layers], axis=0) - 0.1


_PATTERNS = {
    "brick": _brick,
    "planks": _planks,
    "speckle": _speckle,
    "holes": _holes,
    "brushed": _brushed,
    "grid": _grid,
    "stained": _stained,
}
