"""A studio with the tests' tiny model, and a served one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.loaded import LoadedModel
from mask2iv.generation.options import Sampling
from mask2iv.segmentation.grabcut import GrabCut
from mask2iv.studio.sessions import Session, Sessions
from mask2iv.studio.steps import Studio
from mask2iv.studio.worker import Worker


@pytest.fixture(scope="module")
def studio(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    sampling = Sampling(model=str(tiny_model), threads=1)
    root = tmp_path_factory.mktemp("studio")
    worker = Worker(lambda: LoadedModel("generate", sampling, Acceleration(), progress=False))
    worker.wait_until_ready()
    made = Studio(Sessions(root), worker, sampling, {"grabcut": GrabCut()})
    yield made
    made.close()
    assert not list(root.iterdir()), "the studio leaves nothing behind"


@pytest.fixture
def user(studio: Studio, request: pytest.FixtureRequest) -> Iterator[Session]:
    yield studio.sessions.of(request.node.name)
    studio.sessions.close(request.node.name)


@pytest.fixture
def another(studio: Studio) -> Iterator[Callable[[str], Session]]:
    names: list[str] = []

    def make(name: str) -> Session:
        names.append(name)
        return studio.sessions.of(name)

    yield make
    for name in names:
        studio.sessions.close(name)


@pytest.fixture(scope="module")
def address(tiny_model: Path) -> Iterator[str]:
    """Of a served studio."""
    pytest.importorskip("gradio")
    from mask2iv.studio.page.serve import served

    with served(0, Sampling(model=str(tiny_model), threads=1), Acceleration()) as found:
        yield found
