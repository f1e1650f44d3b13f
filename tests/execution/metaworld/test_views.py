"""Pictures, masks and depth of a small scene with the simulator's structure: a robot named base, and an object."""

from collections.abc import Iterator

import numpy as np
import pytest

from mask2iv.execution.metaworld.aims import camera_of
from mask2iv.sim.world.backend import require_mujoco

mujoco = require_mujoco()

from mask2iv.execution.metaworld.server.views import Views  # noqa: E402 - MuJoCo's OpenGL is chosen first

XML = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <camera name="corner" pos="0 -1 0.5" xyaxes="-1 0 0 0 -0.4 -1" fovy="50"/>
    <geom type="plane" size="2 2 0.1" rgba="0.5 0.5 0.5 1"/>
    <body name="base"><body name="arm" pos="0.15 0 0.1"><geom type="sphere" size="0.06" rgba="1 0 0 1"/></body></body>
    <body name="thing" pos="-0.15 0 0.1"><geom type="sphere" size="0.06" rgba="0 0 1 1"/></body>
  </worldbody>
</mujoco>
"""
SIZE = (60, 96)


@pytest.fixture(scope="module")
def views() -> Iterator[Views]:
    model = mujoco.MjModel.from_xml_string(XML)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    found = Views(model, data, [2], *SIZE)
    yield found
    found.close()


def middle(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)[::-1]


def test_masks_are_those_of_robot_and_object_and_the_picture_stands_upright(views: Views) -> None:
    labels, picture = views.labels("corner"), views.picture("corner")
    assert set(np.unique(labels)) == {0, 1, 2}
    # Seen from the front, what has the larger x is on the right; the camera hangs upside down.
    assert middle(labels == 1)[0] > middle(labels == 2)[0]
    assert picture[labels == 1].astype(int)[:, 0].mean() > picture[labels == 1].astype(int)[:, 2].mean() + 50
    assert picture[labels == 2].astype(int)[:, 2].mean() > picture[labels == 2].astype(int)[:, 0].mean() + 50


def test_camera_and_depth_say_where_the_object_is(views: Views) -> None:
    labels, depth = views.labels("corner"), views.depth("corner").astype(float)
    camera = camera_of(views.camera("corner"), SIZE)
    pixel, _ = camera.project(np.array([-0.15, 0.0, 0.1]))
    assert np.linalg.norm(pixel - middle(labels == 2)) < 1.0
    points = camera.points(depth)[labels == 2]
    assert np.linalg.norm(points - [-0.15, 0, 0.1], axis=1) == pytest.approx(0.06, abs=0.012)
