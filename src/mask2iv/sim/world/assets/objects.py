"""Procedural objects: one function per category, drawing size and colour."""

from __future__ import annotations

import numpy as np

from mask2iv.sim.world.assets.paint import DARK, METAL, WHITE, bright, wood
from mask2iv.sim.world.assets.parts import (
    X_AXIS,
    Y_AXIS,
    Z_AXIS,
    Colour,
    Geom,
    Grip,
    ObjectModel,
    arc,
    ball,
    box,
    chain,
    palms,
    rod,
    shape,
)
from mask2iv.sim.world.geometry import Mesh, lathe, vec

Rng = np.random.Generator


def _vessel(r: float, h: float, wall: float, foot: float, colour: Colour) -> Geom:
    profile = [(0, 0), (foot, 0), (r, h * 0.35), (r, h), (r - wall, h), (r - wall, h * 0.35), (foot * 0.8, wall * 1.5)]
    return shape(lathe([*profile, (0, wall * 1.5)]), colour)


def mug(rng: Rng) -> ObjectModel:
    r, h, c = rng.uniform(0.036, 0.043), rng.uniform(0.08, 0.1), bright(rng)
    handle = chain(
        arc(vec(r - 0.002, 0, h * 0.52), h * 0.3, -np.pi / 2, np.pi / 2, 6, (X_AXIS, Z_AXIS)), 0.0055, c, touch=False
    )
    base = (_vessel(r, h, 0.004, r * 0.9, c), *handle)
    grips = (Grip("side", vec(0, 0, h * 0.5), None, r), Grip("top", vec(0, 0, h * 0.8), Y_AXIS, r))
    return ObjectModel("mug", base, r, h, grips, spout=vec(r, 0, h), turns=True)


def cup(rng: Rng) -> ObjectModel:
    r, h, c = rng.uniform(0.034, 0.04), rng.uniform(0.09, 0.115), bright(rng)
    base = (_vessel(r, h, 0.003, r * 0.7, c),)
    grips = (Grip("side", vec(0, 0, h * 0.55), None, r), Grip("top", vec(0, 0, h * 0.85), None, r))
    return ObjectModel("cup", base, r, h, grips, spout=vec(r, 0, h))


def can(rng: Rng) -> ObjectModel:
    r, h, c = rng.uniform(0.03, 0.037), rng.uniform(0.09, 0.125), bright(rng)
    base = (
        rod(vec(0, 0, 0), vec(0, 0, h), r, METAL, "cylinder", finish="metal"),
        rod(vec(0, 0, 0.008), vec(0, 0, h - 0.008), r + 0.001, c, "cylinder"),
        rod(vec(0, 0, h * 0.4), vec(0, 0, h * 0.65), r + 0.0015, bright(rng), "cylinder", touch=False),
    )
    grips = (Grip("side", vec(0, 0, h * 0.5), None, r), Grip("top", vec(0, 0, h * 0.8), None, r))
    return ObjectModel("can", base, r, h, grips)


def bottle(rng: Rng) -> ObjectModel:
    r, h, c = rng.uniform(0.03, 0.036), rng.uniform(0.17, 0.21), bright(rng)
    body = lathe([(0, 0), (r, 0), (r, h * 0.58), (r * 0.42, h * 0.78), (r * 0.42, h * 0.93), (0, h * 0.93)], 16)
    base = (
        shape(body, c),
        rod(vec(0, 0, h * 0.92), vec(0, 0, h), r * 0.5, bright(rng), "cylinder"),
        rod(vec(0, 0, h * 0.2), vec(0, 0, h * 0.48), r + 0.001, bright(rng), "cylinder"),
    )
    grips = (Grip("side", vec(0, 0, h * 0.38), None, r), Grip("top", vec(0, 0, h * 0.9), None, r * 0.5))
    return ObjectModel("bottle", base, r, h, grips, spout=vec(0, 0, h))


def carton(rng: Rng) -> ObjectModel:
    a, h, c = rng.uniform(0.03, 0.036), rng.uniform(0.13, 0.165), bright(rng)
    base = (
        box(vec(0, 0, h * 0.4), (a, a, h * 0.4), c),
        box(vec(0, 0, h * 0.42), (a + 0.001, a + 0.001, h * 0.14), bright(rng)),
        shape(_wedge(a, h * 0.8, h), WHITE),
    )
    grips = (Grip("side", vec(0, 0, h * 0.45), Y_AXIS, a), Grip("top", vec(0, 0, h * 0.78), Y_AXIS, a))
    return ObjectModel("carton", base, a * 1.35, h, grips, turns=True)


def _wedge(a: float, low: float, high: float) -> Mesh:
    """A gable roof over a square with half side a."""
    v = np.array([(-a, -a, low), (a, -a, low), (a, a, low), (-a, a, low), (-a, 0, high), (a, 0, high)])
    f = np.array([(0, 1, 5), (0, 5, 4), (2, 3, 4), (2, 4, 5), (1, 2, 5), (3, 0, 4), (0, 2, 1), (0, 3, 2)])
    return Mesh(v.astype(np.float64), f.astype(np.int32))


def block(rng: Rng) -> ObjectModel:
    a, b, h = rng.uniform(0.042, 0.06), rng.uniform(0.028, 0.038), rng.uniform(0.05, 0.09)
    c, stripe = bright(rng), bright(rng)
    at = rng.uniform(-0.4, 0.4) * a
    base = (
        box(vec(0, 0, h / 2), (a, b, h / 2), c),
        box(vec(at, 0, h / 2), (a * 0.25, b + 0.001, h / 2 + 0.001), stripe),
    )
    grips = (Grip("top", vec(0, 0, h * 0.8), Y_AXIS, b), Grip("side", vec(0, 0, h * 0.5), Y_AXIS, b))
    return ObjectModel("box", base, float(np.hypot(a, b)), h, grips, turns=True)


def wide_box(rng: Rng) -> ObjectModel:
    """A low box, large enough to stack objects on."""
    a, b, h, c = rng.uniform(0.055, 0.065), rng.uniform(0.05, 0.06), rng.uniform(0.045, 0.07), bright(rng)
    band = box(vec(0, 0, h / 2), (a + 0.001, b + 0.001, h * 0.15), bright(rng))
    return ObjectModel("box", (box(vec(0, 0, h / 2), (a, b, h / 2), c), band), float(np.hypot(a, b)), h)


def large_box(rng: Rng) -> ObjectModel:
    """A parcel for two hands."""
    a, b, h = rng.uniform(0.075, 0.1), rng.uniform(0.06, 0.08), rng.uniform(0.09, 0.13)
    c = wood(rng) if rng.random() < 0.5 else bright(rng)
    tape, label = bright(rng), rng.uniform(-0.4, 0.4) * a
    base = (
        box(vec(0, 0, h / 2), (a, b, h / 2), c),
        box(vec(0, 0, h / 2), (a * 0.14, b + 0.001, h / 2 + 0.001), tape),
        box(vec(label, -b, h * 0.6), (a * 0.22, 0.001, h * 0.2), WHITE, touch=False),
    )
    return ObjectModel("box", base, float(np.hypot(a, b)), h, palms(a, h * 0.5), turns=True)


def bowl(rng: Rng) -> ObjectModel:
    r, h, c = rng.uniform(0.062, 0.078), rng.uniform(0.045, 0.06), bright(rng)
    outer = [(0, 0), (r * 0.45, 0), (r * 0.8, h * 0.4), (r, h)]
    inner = [(r - 0.005, h), (r * 0.76, h * 0.45), (r * 0.4, 0.008), (0, 0.008)]
    ring = []
    for a in np.arange(12) * (2 * np.pi / 12):
        out = vec(np.cos(a), np.sin(a), 0)
        turn = np.stack([out, np.cross(Z_AXIS, out), Z_AXIS], axis=1)
        ring.append(box(out * r * 0.95 + Z_AXIS * h * 0.75, (0.004, r * 0.26, h * 0.25), c, turn, visible=False))
    base = (shape(lathe(outer + inner, 24), c, touch=False), *ring)
    return ObjectModel("bowl", base, r, h, (Grip("top", vec(r * 0.95, 0, h * 0.85), X_AXIS, 0.005),))


def kettle(rng: Rng) -> ObjectModel:
    r, h = rng.uniform(0.052, 0.062), rng.uniform(0.085, 0.1)
    c = METAL if rng.random() < 0.4 else bright(rng)
    grip_colour = DARK if rng.random() < 0.7 else wood(rng)
    body = lathe([(0, 0), (r, 0), (r * 1.02, h * 0.35), (r * 0.8, h * 0.75), (r * 0.5, h), (0, h)])
    arch = arc(vec(0, 0, h * 0.75), r * 1.02, 0.25, np.pi - 0.25, 7, (X_AXIS, Z_AXIS * 0.95))
    base = (
        shape(body, c, finish="metal"),
        ball(vec(0, 0, h + 0.004), 0.009, grip_colour, touch=False),
        rod(vec(r * 0.75, 0, h * 0.4), vec(r * 1.55, 0, h * 0.95), 0.011, c, finish="metal"),
        *chain(arch, 0.0075, grip_colour),
    )
    grips = (Grip("top", vec(0, 0, h * 0.75 + r * 0.97), Y_AXIS, 0.0075),)
    return ObjectModel("kettle", base, r * 1.2, h * 0.75 + r, grips, spout=vec(r * 1.6, 0, h), turns=True)


def banana(rng: Rng) -> ObjectModel:
    c = (0.93, rng.uniform(0.75, 0.84), rng.uniform(0.1, 0.25))
    radius = rng.uniform(0.085, 0.1)
    points = arc(vec(0, -radius * 0.85, 0.018), radius, np.pi / 2 - 0.8, np.pi / 2 + 0.8, 7, (X_AXIS, Y_AXIS))
    widths = (0.012, 0.017, 0.0185, 0.0185, 0.017, 0.012)
    base = [rod(p, q, w, c) for p, q, w in zip(points[:-1], points[1:], widths, strict=True)]
    base += [ball(points[0], 0.012, (0.35, 0.27, 0.12)), rod(points[-1], points[-1] + vec(-0.012, 0, 0), 0.007, DARK)]
    return ObjectModel(
        "banana", tuple(base), 0.075, 0.036, (Grip("top", vec(0, radius * 0.15, 0.02), Y_AXIS, 0.0185),), turns=True
    )


def apple(rng: Rng) -> ObjectModel:
    r = rng.uniform(0.036, 0.042)
    c = ((0.8, 0.12, 0.12), (0.5, 0.72, 0.2), (0.85, 0.6, 0.15))[rng.integers(3)]
    base = (
        ball(vec(0, 0, r * 0.95), r, c),
        rod(vec(0, 0, r * 1.9), vec(0.004, 0, r * 2.2), 0.003, (0.3, 0.2, 0.1), touch=False),
    )
    return ObjectModel("apple", base, r, r * 2, (Grip("top", vec(0, 0, r * 1.1), None, r),))


def knife(rng: Rng) -> ObjectModel:
    handle = DARK if rng.random() < 0.5 else bright(rng)
    length = rng.uniform(0.055, 0.065)
    base = (
        rod(vec(-0.1, 0, 0.013), vec(-0.01, 0, 0.013), 0.013, handle),
        box(vec(length, 0.004, 0.01), (length, 0.015, 0.003), METAL, finish="metal"),
        box(vec(2 * length, -0.004, 0.01), (0.012, 0.007, 0.003), METAL, finish="metal", touch=False),
    )
    return ObjectModel("knife", base, 0.11, 0.026, (Grip("top", vec(-0.045, 0, 0.014), Y_AXIS, 0.013),), turns=True)


def spatula(rng: Rng) -> ObjectModel:
    c, blade = wood(rng) if rng.random() < 0.5 else bright(rng), bright(rng)
    base = (
        rod(vec(-0.12, 0, 0.011), vec(0.03, 0, 0.011), 0.0105, c),
        box(vec(0.075, 0, 0.01), (0.045, 0.032, 0.005), blade),
    )
    return ObjectModel("spatula", base, 0.12, 0.022, (Grip("top", vec(-0.05, 0, 0.012), Y_AXIS, 0.0105),), turns=True)


def toy_car(rng: Rng) -> ObjectModel:
    c, glass = bright(rng), (0.35, 0.5, 0.6)
    a, b = rng.uniform(0.055, 0.068), rng.uniform(0.027, 0.032)
    wheels = [
        rod(vec(x, s * (b - 0.004), 0.014), vec(x, s * (b + 0.004), 0.014), 0.014, DARK, "cylinder")
        for x in (-a * 0.6, a * 0.6)
        for s in (-1, 1)
    ]
    base = (
        box(vec(0, 0, 0.026), (a, b, 0.014), c),
        box(vec(-a * 0.1, 0, 0.052), (a * 0.5, b * 0.88, 0.013), glass),
        box(vec(-a * 0.1, 0, 0.066), (a * 0.46, b * 0.84, 0.003), c),
        box(vec(a, 0, 0.028), (0.002, b * 0.8, 0.004), (0.95, 0.93, 0.6), touch=False),
        *wheels,
    )
    return ObjectModel("toy car", base, a, 0.069, (Grip("top", vec(-a * 0.1, 0, 0.05), Y_AXIS, b),), turns=True)
