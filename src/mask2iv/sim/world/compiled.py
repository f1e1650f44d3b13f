"""A compiled scene: moving parts are placed by pose, and distances are measured between 3D shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.sim.world.assets.parts import Geom
from mask2iv.sim.world.backend import require_mujoco
from mask2iv.sim.world.geometry import Array, Pose, to_quaternion

mujoco = require_mujoco()

_KINDS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "mesh": mujoco.mjtGeom.mjGEOM_MESH,
}
_HIDDEN_GROUP = 4
TARGET_GROUP = 1
"""MuJoCo's geom group of the target, so that it can be rendered alone."""
GeomIds = NDArray[np.int32]


class StageBuilder:
    """Collects the static shapes and moving parts of a scene."""

    def __init__(self) -> None:
        self.spec: Any = mujoco.MjSpec()
        self._groups: list[tuple[str, str, bool]] = []
        self._count = 0
        self._bodies = 0
        for name, specular, shininess in (("matte", 0.05, 0.1), ("plastic", 0.3, 0.5), ("metal", 0.7, 0.7)):
            self.spec.add_material(name=name, specular=specular, shininess=shininess)

    def add_static(self, group: str, geoms: Sequence[Geom], pose: Pose) -> None:
        """Add static shapes; `group` names them for distances and labels."""
        for geom in geoms:
            self._add(self.spec.worldbody, group, geom, pose @ geom.pose)

    def add_moving(self, group: str, geoms: Sequence[Geom]) -> int:
        """Add a moving part; returns its number for :meth:`CompiledScene.place`."""
        body = self.spec.worldbody.add_body(name=f"part{self._bodies}", mocap=True)
        for geom in geoms:
            self._add(body, group, geom, geom.pose)
        self._bodies += 1
        return self._bodies - 1

    def _add(self, body: Any, group: str, geom: Geom, pose: Pose) -> Any:
        """Adds a shape to a body of MuJoCo's specification; returns MuJoCo's shape."""
        name = f"{group}-{self._count}"
        self._count += 1
        extra: dict[str, Any] = {}
        if geom.mesh is not None:
            self.spec.add_mesh(
                name=name,
                uservert=geom.mesh.vertices.ravel(),
                userface=geom.mesh.faces.ravel(),
                inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
            )
            extra["meshname"] = name
        size = np.zeros(3)
        size[: len(geom.size)] = geom.size
        added = body.add_geom(
            name=name,
            type=_KINDS[geom.kind],
            size=size,
            pos=pose.p,
            quat=to_quaternion(pose.r),
            rgba=np.array([*geom.colour, 1.0]),
            material=geom.finish,
            contype=0,
            conaffinity=0,
            group=_HIDDEN_GROUP if not geom.visible else TARGET_GROUP if group in ("base", "mover") else 0,
            **extra,
        )
        self._groups.append((name, group, geom.touch))
        return added

    def compile(self) -> CompiledScene:
        return CompiledScene(self.spec.compile(), self._groups, self._bodies)


class CompiledScene:
    """A compiled scene.

    Attributes:
        model, data: MuJoCo's model and data.
    """

    def __init__(self, model: Any, groups: list[tuple[str, str, bool]], bodies: int) -> None:
        self.model = model
        self.data = mujoco.MjData(model)
        self._touch: dict[str, list[int]] = {}
        self._all: dict[str, list[int]] = {}
        for name, group, touch in groups:
            number = model.geom(name).id
            self._all.setdefault(group, []).append(number)
            if touch:
                self._touch.setdefault(group, []).append(number)
        self._mocap = [int(model.body(f"part{i}").mocapid[0]) for i in range(bodies)]

    def ids(self, *groups: str) -> GeomIds:
        """Geom ids of groups, of shapes that take part in contact tests."""
        return np.array([i for group in groups for i in self._touch.get(group, [])], dtype=np.int32)

    def all_ids(self, group: str) -> list[int]:
        """All geom ids of a group, for labels."""
        return self._all.get(group, [])

    def place(self, part: int, pose: Pose) -> None:
        """Place a moving part; takes effect at :meth:`update`."""
        self.data.mocap_pos[self._mocap[part]] = pose.p
        self.data.mocap_quat[self._mocap[part]] = to_quaternion(pose.r)

    def update(self) -> None:
        mujoco.mj_kinematics(self.model, self.data)

    def update_lights(self) -> None:
        """Update everything the renderer needs: poses, camera and lights."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)

    def distance(self, first: GeomIds, second: GeomIds, limit: float) -> tuple[float, Array]:
        """Smallest signed distance in metres between two sets of geoms, at most `limit`.

        Returns:
            The distance, and the segment [2, 3] from the nearest point of the first set to that of the second; the
            segment is meaningless when the distance equals `limit`.
        """
        best, segment = limit, np.zeros((2, 3))
        if not len(first) or not len(second):
            return best, segment
        centres, bounds = self.data.geom_xpos, self.model.geom_rbound
        gaps = np.linalg.norm(centres[first][:, None] - centres[second][None], axis=-1)
        gaps -= bounds[first][:, None] + bounds[second][None]
        fromto = np.zeros(6)
        for i, j in np.argwhere(gaps < limit):
            value = mujoco.mj_geomDistance(self.model, self.data, int(first[i]), int(second[j]), best, fromto)
            if value < best:
                best, segment = float(value), fromto.reshape(2, 3).copy()
        return best, segment
