"""The room: table or counter, wall, light and camera, with procedural textures."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.sim.backend import require_mujoco
from mask2iv.sim.geometry import Array, Pose, frame, to_quaternion, unit, vec, yaw
from mask2iv.sim.parts import box
from mask2iv.sim.stage import StageBuilder

mujoco = require_mujoco()
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera: position, rotation (columns right, up, backward) and vertical field of view in degrees."""

    position: Array
    r: Array
    fovy: float

    def project(self, point: Array, aspect: float) -> tuple[float, float]:
        """Picture position of a world point: x, y in [-1, 1] when inside, y upward."""
        local = self.r.T @ (point - self.position)
        scale = max(-float(local[2]), 1e-6) * np.tan(np.radians(self.fovy) / 2)
        return float(local[0] / scale / aspect), float(local[1] / scale)


def draw_camera(rng: Rng) -> Camera:
    """A camera in front of the table's origin looking down at it by 30 to 60 degrees."""
    elevation, azimuth = np.radians(rng.uniform(32, 58)), np.radians(rng.uniform(-10, 10))
    distance, fovy = rng.uniform(0.6, 0.74), rng.uniform(43, 48)
    target = vec(rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.03), 0.05)
    back = yaw(azimuth) @ vec(0, -np.cos(elevation), np.sin(elevation))
    right = np.cross(vec(0, 0, 1), back)
    return Camera(target + back * distance, frame(right, back), float(fovy))


def _palette(rng: Rng, value: tuple[float, float]) -> Array:
    return np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.02, 0.22), rng.uniform(*value)))


def _noise(rng: Rng, shape: tuple[int, int], size: int) -> Array:
    small = rng.random(shape).astype(np.float32)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float64)


def draw_texture(rng: Rng, kind: str, value: tuple[float, float] = (0.35, 0.9), size: int = 128) -> UInt8Array:
    """A texture, uint8 [size, size, 3], of kind "wood", "marble", "tiles", "cloth" or "plain"."""
    base = _palette(rng, value)
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
    else:
        mix = 0.5 * _noise(rng, (4, 4), size)
        other = base * 0.88
    mix = np.clip(mix, 0, 1)[..., None]
    return np.round(255 * np.clip(base * (1 - mix) + other * mix, 0, 1)).astype(np.uint8)


def _add_texture(spec: Any, name: str, picture: UInt8Array, repeat: float) -> None:
    height, width, _ = picture.shape
    texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3)
    texture.data = picture.tobytes()
    material = spec.add_material(name=name, texrepeat=[repeat, repeat], texuniform=True, specular=0.1, shininess=0.2)
    material.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name


def build_room(builder: StageBuilder, rng: Rng, camera: Camera, height: int, width: int) -> dict[str, str]:
    """Add table, wall, floor, lights and camera; returns what was drawn, for the metadata."""
    spec = builder.spec
    kinds = ("wood", "marble", "tiles", "cloth", "plain")
    chosen = {
        "table": str(rng.choice(kinds, p=(0.4, 0.2, 0.1, 0.1, 0.2))),
        "wall": str(rng.choice(kinds, p=(0.1, 0.15, 0.25, 0.1, 0.4))),
        "floor": str(rng.choice(kinds, p=(0.4, 0.2, 0.2, 0.0, 0.2))),
    }
    _add_texture(spec, "table", draw_texture(rng, chosen["table"]), rng.uniform(1.5, 3))
    _add_texture(spec, "wall", draw_texture(rng, chosen["wall"], (0.45, 0.95)), rng.uniform(1.5, 3))
    _add_texture(spec, "floor", draw_texture(rng, chosen["floor"], (0.2, 0.6)), 1.0)
    turn = yaw(float(np.radians(rng.uniform(-12, 12))))
    grain = yaw(float(rng.integers(2)) * np.pi / 2)
    counter = bool(rng.random() < 0.4)
    depth = rng.uniform(0.46, 0.62)
    white = (1.0, 1.0, 1.0)
    half = (1.6, 1.6, 0.02) if counter else (rng.uniform(0.6, 1.2), depth, 0.02)
    centre = vec(0, depth - half[1], -0.02)
    if not counter and half[0] < 0.8:
        grain = np.eye(3)
    swap = abs(grain[0, 1]) > 0.5
    table = box(vec(0, 0, 0), (half[1], half[0], half[2]) if swap else half, white, finish="table")
    builder.add_static("table", (table,), Pose(turn @ centre, turn @ grain))
    gap = 0.02 if counter else rng.uniform(0.3, 1.0)
    wall = box(vec(0, 0, 0), (3.0, 1.5, 0.02), white, finish="wall")
    upright = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    builder.add_static("room", (wall,), Pose(turn @ vec(0, depth + gap, 0.6), turn @ upright))
    floor = box(vec(0, 0, 0), (3.0, 3.0, 0.02), white, finish="floor")
    builder.add_static("room", (floor,), Pose(vec(0, 0, -0.75), turn))
    chosen["surface"] = "counter" if counter else "table"
    _add_lights(spec, rng)
    spec.worldbody.add_camera(name="camera", pos=camera.position, quat=to_quaternion(camera.r), fovy=camera.fovy)
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = width, height
    visual.quality.shadowsize, visual.quality.offsamples = 2048, 4
    visual.quality.numslices, visual.quality.numstacks, visual.quality.numquads = 16, 10, 2
    visual.map.znear, visual.map.zfar, visual.map.shadowclip = 0.05, 8.0, 1.2
    spec.stat.extent, spec.stat.center = 1.0, [0, 0, 0.1]
    return chosen


def _add_lights(spec: Any, rng: Rng) -> None:
    warm = np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(0.82, 1.0)])
    spec.visual.headlight.ambient = rng.uniform(0.38, 0.5) * np.ones(3)
    spec.visual.headlight.diffuse = rng.uniform(0.12, 0.25) * np.ones(3)
    spec.visual.headlight.specular = 0.05 * np.ones(3)
    # From the camera's side: from behind, the wall would shade the table.
    angle, tilt = -rng.uniform(-0.3, np.pi + 0.3), rng.uniform(0.25, 0.8)
    place = vec(np.cos(angle) * tilt, np.sin(angle) * tilt, 1.0) * 1.6
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=place,
        dir=-unit(place),
        castshadow=True,
        diffuse=warm * rng.uniform(0.55, 0.75),
        specular=0.3 * np.ones(3),
        ambient=np.zeros(3),
    )
