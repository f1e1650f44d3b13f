"""The room: table or counter, wall, light and camera, with procedural textures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mask2iv.contract import UInt8Array
from mask2iv.sim.world.assets.paint import WHITE, bright
from mask2iv.sim.world.assets.parts import box
from mask2iv.sim.world.backend import require_mujoco
from mask2iv.sim.world.compiled import StageBuilder
from mask2iv.sim.world.domains import Domain
from mask2iv.sim.world.geometry import Array, Pose, frame, to_quaternion, unit, vec, yaw
from mask2iv.sim.world.textures import draw_texture

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


def draw_camera(rng: Rng, away: float = 1.0) -> Camera:
    """A camera in front of the table, looking down at it by 32 to 58 degrees, `away` times the usual distance."""
    elevation, azimuth = np.radians(rng.uniform(32, 58)), np.radians(rng.uniform(-10, 10))
    distance, fovy = rng.uniform(0.6, 0.74) * away, rng.uniform(43, 48)
    target = vec(rng.uniform(-0.02, 0.02), rng.uniform(-0.02, 0.03), 0.05)
    back = yaw(azimuth) @ vec(0, -np.cos(elevation), np.sin(elevation))
    right = np.cross(vec(0, 0, 1), back)
    return Camera(target + back * distance, frame(right, back), float(fovy))


def _add_texture(spec: Any, name: str, picture: UInt8Array, repeat: float) -> None:
    height, width, _ = picture.shape
    texture = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=width, height=height, nchannel=3)
    texture.data = picture.tobytes()
    material = spec.add_material(name=name, texrepeat=[repeat, repeat], texuniform=True, specular=0.1, shininess=0.2)
    material.textures[int(mujoco.mjtTextureRole.mjTEXROLE_RGB)] = name


def build_room(
    builder: StageBuilder, rng: Rng, camera: Camera, height: int, width: int, domain: Domain, clear: Sequence[Array]
) -> dict[str, str]:
    """Add table, wall, floor, furniture, lights and camera; returns the choices, for the metadata.

    Args:
        clear: points on the table that furniture must keep clear.
    """
    spec = builder.spec
    surfaces = {"table": domain.table, "wall": domain.wall, "floor": domain.floor}
    chosen = {
        name: str(rng.choice(list(surface.kinds), p=list(surface.kinds.values()))) for name, surface in surfaces.items()
    }
    for name, surface in surfaces.items():
        picture = draw_texture(rng, chosen[name], surface)
        _add_texture(spec, name, picture, 1.0 if name == "floor" else rng.uniform(1.5, 3))
    turn = yaw(float(np.radians(rng.uniform(-12, 12))))
    grain = yaw(float(rng.integers(2)) * np.pi / 2)
    counter = bool(rng.random() < domain.counter)
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
    _add_lights(spec, rng, domain)
    _furnish(builder, rng, domain, turn, depth, clear)
    spec.worldbody.add_camera(name="camera", pos=camera.position, quat=to_quaternion(camera.r), fovy=camera.fovy)
    visual = spec.visual
    visual.global_.offwidth, visual.global_.offheight = width, height
    visual.quality.shadowsize, visual.quality.offsamples = domain.shadow, 4
    visual.quality.numslices, visual.quality.numstacks, visual.quality.numquads = 16, 10, 2
    visual.map.znear, visual.map.zfar, visual.map.shadowclip = 0.05, 8.0, 1.2
    spec.stat.extent, spec.stat.center = 1.0, [0, 0, 0.1]
    return chosen


def _furnish(
    builder: StageBuilder, rng: Rng, domain: Domain, turn: Array, depth: float, clear: Sequence[Array]
) -> None:
    """Add furniture along the back of the table, and a flat object on it."""
    if domain.furnish is not None:
        pieces = domain.furnish(rng)
        x = rng.uniform(-0.5, -0.35)
        for number in rng.permutation(len(pieces)):
            radius, geoms = pieces[number]
            spot = turn @ vec(x + radius, depth - 0.03 - min(radius, 0.08), 0)
            x += 2 * radius + rng.uniform(0.03, 0.12)
            if all(np.linalg.norm((spot - point)[:2]) > radius + 0.1 for point in clear):
                builder.add_static("room", geoms, Pose(spot, turn @ yaw(rng.uniform(-0.25, 0.25))))
    if domain.flat and rng.random() < domain.flat:
        half = (rng.uniform(0.1, 0.24), rng.uniform(0.08, 0.16), 0.0004)
        spot = vec(rng.uniform(-0.15, 0.15), rng.uniform(-0.05, 0.15), 0)
        sheet = box(vec(0, 0, 0), half, bright(rng) if rng.random() < 0.6 else WHITE, finish="matte", touch=False)
        builder.add_static("room", (sheet,), Pose(spot, yaw(rng.uniform(-0.4, 0.4))))


def _add_lights(spec: Any, rng: Rng, domain: Domain) -> None:
    warm = np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(*domain.warmth)])
    spec.visual.headlight.ambient = rng.uniform(*domain.ambient) * np.ones(3)
    spec.visual.headlight.diffuse = rng.uniform(0.12, 0.25) * np.ones(3)
    spec.visual.headlight.specular = 0.05 * np.ones(3)
    # From the camera's side: behind the wall, it would leave the table in shadow.
    angle, tilt = -rng.uniform(-0.3, np.pi + 0.3), rng.uniform(0.25, domain.low_sun)
    place = vec(np.cos(angle) * tilt, np.sin(angle) * tilt, 1.0) * 1.6
    spec.worldbody.add_light(
        name="sun",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=place,
        dir=-unit(place),
        castshadow=True,
        diffuse=warm * rng.uniform(*domain.sun),
        specular=0.3 * np.ones(3),
        ambient=np.zeros(3),
    )
