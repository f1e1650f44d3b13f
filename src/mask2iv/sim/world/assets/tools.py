"""More procedural objects: tools and small furniture (with jointed.py: the categories of HOI4D)."""

from __future__ import annotations

import numpy as np

from mask2iv.sim.world.assets.paint import DARK, METAL, bright, wood
from mask2iv.sim.world.assets.parts import (
    X_AXIS,
    Y_AXIS,
    Z_AXIS,
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
from mask2iv.sim.world.geometry import Array, Pose, lathe, rotation, vec

Rng = np.random.Generator


def bucket(rng: Rng) -> ObjectModel:
    r, h = rng.uniform(0.058, 0.07), rng.uniform(0.09, 0.115)
    c = METAL if rng.random() < 0.3 else bright(rng)
    foot, grip_colour = r * rng.uniform(0.7, 0.8), DARK if rng.random() < 0.5 else METAL
    profile = [(0, 0), (foot, 0), (r, h), (r + 0.004, h), (r + 0.004, h + 0.004), (r - 0.004, h + 0.004)]
    body = lathe([*profile, (foot - 0.004, 0.006), (0, 0.006)], 24)
    arch = arc(vec(0, 0, h * 0.95), r * 1.02, 0.1, np.pi - 0.1, 8, (X_AXIS, Z_AXIS))
    top = h * 0.95 + r * 1.02
    held = rod(vec(-0.022, 0, top), vec(0.022, 0, top), 0.007, grip_colour)
    base = (shape(body, c), *chain(arch, 0.0032, METAL), held)
    grips = (Grip("top", vec(0, 0, top), Y_AXIS, 0.007), *palms(r * 0.93, h * 0.72))
    return ObjectModel("bucket", base, r * 1.1, top, grips, turns=True)


def _blade(a: Array, b: Array) -> Geom:
    """A flat level bar of metal from a to b."""
    way = b - a
    turn = rotation(Z_AXIS, float(np.arctan2(way[1], way[0])))
    return box((a + b) / 2, (float(np.linalg.norm(way)) / 2, 0.0075, 0.0025), METAL, turn, finish="metal")


def scissors(rng: Rng) -> ObjectModel:
    c, z = bright(rng), 0.008
    blade, spread, ring = rng.uniform(0.07, 0.085), rng.uniform(0.13, 0.24), rng.uniform(0.022, 0.027)
    base: list[Geom] = [ball(vec(0, 0, z + 0.004), 0.006, METAL, finish="metal")]
    for sign in (-1.0, 1.0):
        way = vec(np.cos(spread), sign * np.sin(spread), 0)
        middle = -vec(np.cos(spread), sign * np.sin(spread) * 1.2, 0) * 0.085 - vec(0, sign * 0.012, 0)
        base.append(_blade(Z_AXIS * z - way * 0.015, Z_AXIS * z + way * blade))
        base.append(rod(vec(0, 0, z), middle + vec(ring * 0.8, 0, z), 0.0065, c))
        base += chain(arc(middle + Z_AXIS * z, ring, 0, 2 * np.pi, 9, (X_AXIS, Y_AXIS * 0.75)), 0.006, c)
    grips = (Grip("top", vec(-0.028, 0, z + 0.002), Y_AXIS, 0.017),)
    return ObjectModel("scissors", tuple(base), 0.1, 0.018, grips, turns=True)


def pliers(rng: Rng) -> ObjectModel:
    c, z = bright(rng), 0.011
    length, gap = rng.uniform(0.09, 0.105), rng.uniform(0.016, 0.021)
    base: list[Geom] = [rod(vec(0, 0, z - 0.007), vec(0, 0, z + 0.008), 0.015, METAL, "cylinder", finish="metal")]
    for sign in (-1.0, 1.0):
        bend, end = vec(-0.04, sign * gap, z), vec(-length, sign * gap * 0.8, z)
        base += [rod(vec(-0.005, sign * 0.004, z), bend, 0.008, METAL, finish="metal"), rod(bend, end, 0.0095, c)]
        base.append(rod(vec(0.004, sign * 0.007, z), vec(0.05, sign * 0.003, z), 0.0075, METAL, finish="metal"))
    grips = (Grip("top", vec(-0.05, 0, z + 0.002), Y_AXIS, gap + 0.0095),)
    return ObjectModel("pliers", tuple(base), 0.095, 0.022, grips, turns=True)


def lamp(rng: Rng) -> ObjectModel:
    c = METAL if rng.random() < 0.3 else bright(rng)
    shade = bright(rng)
    r, low, high = rng.uniform(0.045, 0.055), rng.uniform(0.12, 0.14), rng.uniform(0.055, 0.075)
    reach = rng.uniform(0.045, 0.06)
    knee, head = vec(-0.02, 0, low), vec(reach, 0, low + high)
    cone = lathe([(0, 0.026), (0.014, 0.026), (0.036, -0.03), (0.034, -0.03), (0.01, 0.018), (0, 0.018)], 18)
    tilt = rotation(Y_AXIS, rng.uniform(-0.45, -0.2))
    base = (
        rod(vec(0, 0, 0), vec(0, 0, 0.012), r, c, "cylinder"),
        rod(vec(-0.02, 0, 0.01), knee, 0.0075, METAL if rng.random() < 0.5 else c),
        rod(knee, head, 0.0065, METAL),
        ball(knee, 0.0105, c),
        Geom("mesh", (), Pose(head + vec(0.004, 0, -0.01), tilt), shade, mesh=cone),
        ball(head + vec(0.004, 0, -0.022), 0.015, (1.0, 0.95, 0.7), touch=False),
    )
    grips = (Grip("side", vec(-0.02, 0, low * 0.55), None, 0.0075), Grip("top", knee, Y_AXIS, 0.0105))
    return ObjectModel("lamp", base, r + 0.03, low + high, grips, turns=True)


def stapler(rng: Rng) -> ObjectModel:
    c, foot = bright(rng), DARK if rng.random() < 0.7 else bright(rng)
    a, b = rng.uniform(0.062, 0.075), rng.uniform(0.013, 0.016)
    lift = rotation(Y_AXIS, -rng.uniform(0.1, 0.2))
    base = (
        box(vec(0, 0, 0.005), (a, b + 0.002, 0.005), foot),
        box(vec(-a * 0.85, 0, 0.02), (a * 0.14, b, 0.018), foot),
        box(vec(0.004, 0, 0.031), (a * 0.98, b * 0.8, 0.005), METAL, lift, finish="metal"),
        box(vec(0, 0, 0.042), (a, b, 0.008), c, lift),
        box(vec(a * 0.8, 0, 0.0105), (0.01, b * 0.7, 0.001), METAL, touch=False),
    )
    grips = (Grip("top", vec(0, 0, 0.036), Y_AXIS, b),)
    return ObjectModel("stapler", base, a, 0.055, grips, turns=True)


def chair(rng: Rng) -> ObjectModel:
    """A toy chair."""
    c = wood(rng) if rng.random() < 0.5 else bright(rng)
    seat = c if rng.random() < 0.4 else bright(rng)
    a, h, back, t = rng.uniform(0.042, 0.05), rng.uniform(0.07, 0.085), rng.uniform(0.075, 0.09), 0.0055
    legs = [box(vec(x * (a - t), y * (a - t), h / 2), (t, t, h / 2), c) for x in (-1, 1) for y in (-1, 1)]
    posts = [box(vec(x * (a - t), a - t, h + back / 2), (t, t, back / 2), c) for x in (-1, 1)]
    slats = [box(vec(0, a - t, h + back * s), (a - 2 * t, t * 0.7, back * 0.1), c) for s in (0.45, 0.85)]
    plate = box(vec(0, 0, h), (a + 0.002, a + 0.002, 0.0055), seat)
    grips = (Grip("top", vec(0, a - t, h + back * 0.85), Y_AXIS, t), *palms(a + 0.002, h))
    return ObjectModel("chair", (*legs, *posts, *slats, plate), a * 1.35, h + back, grips, turns=True)
