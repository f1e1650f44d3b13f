"""Procedural objects with a moving part: lids, a door, a drawer."""

from __future__ import annotations

import numpy as np

from mask2iv.sim.world.assets.paint import DARK, METAL, WHITE, bright, wood
from mask2iv.sim.world.assets.parts import X_AXIS, Y_AXIS, Z_AXIS, Grip, Joint, ObjectModel, box, palms, rod, shape
from mask2iv.sim.world.geometry import lathe, vec

Rng = np.random.Generator


def laptop(rng: Rng) -> ObjectModel:
    c = METAL if rng.random() < 0.6 else bright(rng)
    a, b = rng.uniform(0.105, 0.125), rng.uniform(0.075, 0.088)
    screen = ((0.2, 0.4, 0.7), (0.15, 0.5, 0.45), (0.5, 0.25, 0.5))[rng.integers(3)]
    base = (
        box(vec(0, 0, 0.006), (a, b, 0.006), c),
        box(vec(0, b * 0.25, 0.0125), (a * 0.88, b * 0.5, 0.001), DARK, touch=False),
        box(vec(0, -b * 0.6, 0.0125), (a * 0.3, b * 0.26, 0.001), (0.5, 0.5, 0.52), touch=False),
    )
    # The lid's frame is on the hinge at the back; at 0 it lies on the base, screen down.
    mover = (
        box(vec(0, -b, 0.004), (a, b, 0.004), c),
        box(vec(0, -b, -0.0005), (a * 0.92, b * 0.88, 0.001), screen, touch=False),
        box(vec(0.2 * a, -b * 1.2, -0.001), (a * 0.3, b * 0.3, 0.001), WHITE, touch=False),
    )
    opened = rng.uniform(1.75, 2.0)
    joint = Joint("turn", -X_AXIS, vec(0, b, 0.0145), 0.0, opened, vec(0, -2 * b, 0.004))
    return ObjectModel("laptop", base, a * 1.1, 0.03, (), mover, joint)


def drawer(rng: Rng) -> ObjectModel:
    c, front = wood(rng), wood(rng) if rng.random() < 0.5 else bright(rng)
    a, b, h, t = rng.uniform(0.085, 0.105), rng.uniform(0.07, 0.08), rng.uniform(0.085, 0.1), 0.006
    base = (
        box(vec(0, 0, h - t), (a, b, t), c),
        box(vec(0, 0, t), (a, b, t), c),
        box(vec(-a + t, 0, h / 2), (t, b, h / 2), c),
        box(vec(a - t, 0, h / 2), (t, b, h / 2), c),
        box(vec(0, b - t, h / 2), (a, t, h / 2), c),
    )
    inside, low = a - 2.2 * t, h * 0.3
    mover = (
        box(vec(0, -b, h / 2), (a - 2 * t, 0.006, h / 2 - 2 * t), front),
        box(vec(0, 0, 2.6 * t), (inside, b - t, 0.003), WHITE),
        box(vec(-inside, 0, low + t), (0.003, b - t, low), WHITE),
        box(vec(inside, 0, low + t), (0.003, b - t, low), WHITE),
        rod(vec(-0.03, -b - 0.036, h / 2), vec(0.03, -b - 0.036, h / 2), 0.006, METAL, finish="metal"),
        rod(vec(-0.028, -b - 0.036, h / 2), vec(-0.028, -b, h / 2), 0.005, METAL, finish="metal"),
        rod(vec(0.028, -b - 0.036, h / 2), vec(0.028, -b, h / 2), 0.005, METAL, finish="metal"),
    )
    joint = Joint("slide", -Y_AXIS, vec(0, 0, 0), 0.0, rng.uniform(0.1, 0.125), vec(0, -b - 0.036, h / 2))
    grips = (Grip("top", vec(0, -b - 0.036, h / 2), Y_AXIS, 0.006), *palms(a, 0.055))
    return ObjectModel("drawer", base, a * 1.2, h, grips, mover, joint)


def lidded_box(rng: Rng) -> ObjectModel:
    c, lid = bright(rng), bright(rng)
    a, b, h, t = rng.uniform(0.075, 0.095), rng.uniform(0.055, 0.065), rng.uniform(0.06, 0.08), 0.004
    base = (
        box(vec(0, 0, t), (a, b, t), c),
        box(vec(-a + t, 0, h / 2), (t, b, h / 2), c),
        box(vec(a - t, 0, h / 2), (t, b, h / 2), c),
        box(vec(0, -b + t, h / 2), (a, t, h / 2), c),
        box(vec(0, b - t, h / 2), (a, t, h / 2), c),
    )
    mover = (
        box(vec(0, -b, 0.005), (a + 0.003, b + 0.003, 0.005), lid),
        box(vec(0, -2 * b - 0.006, 0.005), (0.018, 0.006, 0.006), DARK),
    )
    joint = Joint("turn", -X_AXIS, vec(0, b, h), 0.0, rng.uniform(1.6, 1.9), vec(0, -2 * b - 0.008, 0.005))
    return ObjectModel("lidded box", base, a * 1.2, h, palms(a, 0.05), mover, joint)


def safe(rng: Rng) -> ObjectModel:
    c = ((0.25, 0.27, 0.3), (0.2, 0.3, 0.24), (0.32, 0.3, 0.28))[rng.integers(3)] if rng.random() < 0.6 else bright(rng)
    front = c if rng.random() < 0.5 else bright(rng)
    a, b, h, t = rng.uniform(0.075, 0.095), rng.uniform(0.06, 0.075), rng.uniform(0.13, 0.165), 0.006
    base = (
        box(vec(0, 0, h - t), (a, b, t), c),
        box(vec(0, 0, t), (a, b, t), c),
        box(vec(-a + t, 0, h / 2), (t, b, h / 2), c),
        box(vec(a - t, 0, h / 2), (t, b, h / 2), c),
        box(vec(0, b - t, h / 2), (a, t, h / 2), DARK),
        box(vec(0, 0, h * 0.45), (a - 2 * t, b - t, 0.002), METAL, touch=False),
    )
    # The door's frame is on the hinge at the left front edge; the door protrudes at the right, for a finger.
    half, free = a + 0.005, 2 * a + 0.01
    dial = vec(half * 1.15, -0.014, h / 2)
    bolt = vec(half * 0.55, -0.014, h / 2)
    mover = (
        box(vec(half, -0.006, h / 2), (half, 0.006, h / 2 - 0.002), front),
        rod(dial + vec(0, 0.008, 0), dial - vec(0, 0.006, 0), 0.02, METAL, "cylinder", finish="metal", touch=False),
        rod(dial - vec(0, 0.006, 0), dial - vec(0, 0.009, 0), 0.012, DARK, "cylinder", touch=False),
        box(bolt, (0.005, 0.006, 0.022), METAL, finish="metal", touch=False),
    )
    joint = Joint(
        "turn",
        -Z_AXIS,
        vec(-a, -b, 0),
        0.0,
        rng.uniform(1.5, 1.85),
        vec(free, -0.006, h * 0.68),
        pull=vec(0.004, 0.012, 0),
        press=vec(-0.03, -0.014, 0),
        along=vec(0, 0, 0.012),
        door=True,
    )
    return ObjectModel("safe", base, a * 1.3, h, palms(a, h * 0.5), mover, joint)


def trash_can(rng: Rng) -> ObjectModel:
    c, lid = (METAL if rng.random() < 0.3 else bright(rng)), bright(rng)
    r, h = rng.uniform(0.058, 0.07), rng.uniform(0.12, 0.15)
    foot = r * rng.uniform(0.78, 0.92)
    body = [(0, 0), (foot, 0), (r, h), (r - 0.004, h), (foot - 0.004, 0.006), (0, 0.006)]
    base = (
        shape(lathe(body, 24), c),
        box(vec(0, -foot - 0.008, 0.008), (0.016, 0.012, 0.004), DARK, touch=False),
    )
    mover = (
        rod(vec(0, -r, 0.002), vec(0, -r, 0.012), r + 0.003, lid, "cylinder"),
        rod(vec(0, -r, 0.012), vec(0, -r, 0.018), r * 0.6, lid, "cylinder"),
        box(vec(0, -2 * r - 0.007, 0.007), (0.018, 0.008, 0.005), DARK),
    )
    joint = Joint("turn", -X_AXIS, vec(0, r, h), 0.0, rng.uniform(1.5, 1.8), vec(0, -2 * r - 0.01, 0.007))
    return ObjectModel("trash can", base, r * 1.15, h + 0.015, palms(r, h * 0.55), mover, joint)
