"""Objects: all categories, standing on the table; a numbered instance is the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the sim extra is not installed")

from mask2iv.sim import OBJECTS, Renderer
from mask2iv.sim.world.assets.catalogue import instance
from mask2iv.sim.world.assets.parts import ObjectModel, ball
from mask2iv.sim.world.compiled import StageBuilder
from mask2iv.sim.world.geometry import IDENTITY, Pose, frame, to_quaternion, vec

HOI4D = {
    *("toy car", "mug", "laptop", "drawer", "bottle", "safe", "bowl", "bucket", "scissors", "pliers", "kettle"),
    *("knife", "trash can", "lamp", "stapler", "chair"),
}


def _outline(model: ObjectModel) -> np.ndarray:
    """Lowest and highest point in world metres, [2, 3], of everything visible."""
    builder = StageBuilder()
    builder.add_static("base", [g for g in model.base if g.visible], IDENTITY)
    if model.joint is not None:
        builder.add_static("mover", model.mover, model.joint.pose(model.joint.closed))
    stage = builder.compile()
    stage.update()
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    points = []
    for i in range(stage.model.ngeom):
        box = stage.model.geom_aabb[i]
        local = box[:3] + corners * box[3:]
        points.append(stage.data.geom_xpos[i] + local @ stage.data.geom_xmat[i].reshape(3, 3).T)
    found = np.concatenate(points)
    return np.stack([found.min(axis=0), found.max(axis=0)])


def test_categories_of_hoi4d_are_there() -> None:
    assert set(OBJECTS) >= HOI4D


@pytest.mark.parametrize("kind", OBJECTS)
def test_object_stands_on_the_table_within_its_measures(kind: str) -> None:
    for number in (0, 199):
        model = instance(kind, number)
        low, high = _outline(model)
        assert -0.006 < low[2] < 0.006
        assert high[2] < model.height + 0.03
        assert max(*-low[:2], *high[:2]) < model.radius + 0.1
        assert all(np.all(grip.point <= high + 0.2) for grip in model.grips)


def test_an_instance_is_the_same_wherever_it_is_used() -> None:
    first, again, other = instance("lamp", 7), instance("lamp", 7), instance("lamp", 8)
    assert first.instance == again.instance == "lamp-007"
    assert [g.size for g in first.base] == [g.size for g in again.base]
    assert [g.colour for g in first.base] == [g.colour for g in again.base]
    assert [g.size for g in first.base] != [g.size for g in other.base]


def test_ids_are_where_the_shapes_are() -> None:
    height, width, fovy = 64, 96, 45.0
    eye = Pose(vec(0.02, -0.7, 0.3), frame(vec(1, 0, 0), vec(0, -0.9, 0.4)))
    centres, radii = np.array([[0.0, 0.0, 0.05], [0.06, 0.12, 0.09]]), np.array([0.08, 0.1])
    builder = StageBuilder()
    for group, centre, radius in zip(("base", "clutter"), centres, radii, strict=True):
        builder.add_static(group, [ball(centre, radius, (0.5, 0.5, 0.5))], IDENTITY)
    spec = builder.spec
    spec.worldbody.add_camera(name="camera", pos=eye.p, quat=to_quaternion(eye.r), fovy=fovy)
    spec.visual.global_.offwidth, spec.visual.global_.offheight = width, height
    spec.visual.quality.numslices, spec.visual.quality.numstacks = 96, 96
    spec.visual.map.znear, spec.visual.map.zfar = 0.05, 8.0
    spec.stat.extent = 1.0
    stage = builder.compile()
    renderer = Renderer(height, width)
    renderer.load(stage.model)
    stage.update_lights()
    ids = renderer.ids(stage.data)
    alone = renderer.target_area(stage.data)
    renderer.close()

    # Rays through pixel centres, intersected with the spheres in closed form.
    scale = np.tan(np.radians(fovy) / 2) / (height / 2)
    y, x = np.mgrid[:height, :width]
    local = np.stack([(x + 0.5 - width / 2) * scale, (height / 2 - y - 0.5) * scale, -np.ones(x.shape)], axis=-1)
    rays = local @ eye.r.T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    offset = eye.p - centres
    along = np.einsum("hwc,nc->nhw", rays, offset)
    inside = along**2 - ((offset**2).sum(axis=1) - radii**2)[:, None, None]
    reach = np.where(inside > 0, -along - np.sqrt(np.maximum(inside, 0)), np.inf)
    expected = np.where(np.isfinite(reach).any(axis=0), reach.argmin(axis=0), -1)
    # Spheres are rendered as polyhedra: single pixels of the outline may differ.
    assert (ids != expected).mean() < 0.004
    assert (expected == 1).sum() > 50
    assert abs(alone - int((inside[0] > 0).sum())) < 12
