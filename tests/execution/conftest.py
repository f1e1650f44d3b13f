"""Scenes of sim-robot that several tests execute in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mask2iv.execution.measuring.benchmark import SceneOfClip
from mask2iv.sim.benchmark import BENCHMARKS, read_record
from mask2iv.sim.world.render import Renderer

_ROBOT, _STAPLER = BENCHMARKS["sim-robot"], 5


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    config = _ROBOT.config("validation")
    made = Renderer(config.height, config.width)
    yield made
    made.close()


@pytest.fixture(scope="module")
def stapler(renderer: Renderer) -> SceneOfClip:
    """Clip 5 of validation: a stapler is picked up."""
    draw = read_record(_ROBOT, "validation")[_STAPLER].draw
    return SceneOfClip(_ROBOT.config("validation"), _ROBOT.series("validation"), _STAPLER, draw, renderer)
