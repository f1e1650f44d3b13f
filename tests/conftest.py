"""A tiny clip set and a tiny model, made once per test run. They prove that everything works, not how well."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from mask2iv.cli import main
from mask2iv.contract import Clip, Label, Trajectory, UInt8Array
from mask2iv.data.store import SIMULATOR, ClipSetWriter

TESTS = Path(__file__).parent
CLIPS, FRAMES, HEIGHT, WIDTH, FPS = 6, 4, 32, 64, 8.0
Keep = Callable[..., Path]
COMPONENTS = ("vae", "encoders", "trajectory", "video", "reference")


def _module(path: Path) -> ModuleType:
    """A helper file of the tests as a module; the test folders are not packages."""
    name = f"tests_{path.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@pytest.fixture(scope="session")
def checkpoints() -> ModuleType:
    """Makers of small original checkpoints, tests/golden/checkpoints.py."""
    return _module(TESTS / "golden" / "checkpoints.py")


@pytest.fixture(scope="session")
def encoding() -> ModuleType:
    """A writer of videos as cameras and programs write them, tests/media/encoding.py."""
    return _module(TESTS / "media" / "encoding.py")


@pytest.fixture(scope="session")
def trees() -> ModuleType:
    """Builders of miniature HOI4D and BridgeData V2 trees, tests/curation/sources/trees.py."""
    return _module(TESTS / "curation" / "sources" / "trees.py")


@pytest.fixture(scope="session")
def hoi4d(trees: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    """A HOI4D tree with every trap, and the names of its sequences; not to be changed."""
    root = tmp_path_factory.mktemp("hoi4d")
    return root, trees.write_hoi4d(root)


@pytest.fixture(scope="session")
def bridge(trees: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mapping[str, str]]:
    """A BridgeData V2 tree with every trap, and the names of its trajectories; not to be changed."""
    root = tmp_path_factory.mktemp("bridge")
    return root, trees.write_bridge(root)


def make_clip(index: int) -> Clip:
    """A coloured square that a disc pushes to the right or to the left."""
    colour, name = [((200, 60, 40), "box"), ((60, 90, 200), "can"), ((220, 200, 60), "book")][index % 3]
    direction = 1 if index % 2 else -1
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    labels = np.zeros((FRAMES, HEIGHT, WIDTH), dtype=np.uint8)
    video: UInt8Array = np.full((FRAMES, HEIGHT, WIDTH, 3), (120, 130, 125), dtype=np.uint8)
    for t in range(FRAMES):
        centre = WIDTH // 2 + direction * 4 * t
        labels[t, 14:24, centre - 5 : centre + 5] = Label.OBJECT
        labels[t, (rows - 20) ** 2 + (columns - centre + direction * 10) ** 2 < 36] = Label.ACTOR
    video[labels == Label.OBJECT] = colour
    video[labels == Label.ACTOR] = (230, 180, 150)
    side = "right" if direction > 0 else "left"
    return Clip(
        clip_id=f"clip-{index}",
        video=video,
        trajectory=Trajectory(labels, FPS),
        caption=f"a hand pushing a {name} to the {side}",
        verb="pushing",
        object_name=name,
        actor="hand",
    )


@pytest.fixture(scope="session")
def tiny_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip set of 6 clips, 4 frames of 32x64."""
    folder = tmp_path_factory.mktemp("tiny") / "clips"
    with ClipSetWriter(folder, (HEIGHT, WIDTH), FRAMES, FPS, {"generator": SIMULATOR}) as writer:
        for index in range(CLIPS):
            writer.add(make_clip(index))
    return folder


@pytest.fixture(scope="session")
def keep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Keep:
    """A folder that is made once for each state of the source; see tests/keeping.py."""

    def kept(name: str, make: Callable[[Path], None], *makers: Path) -> Path:
        copy = tmp_path_factory.mktemp("kept") / name
        found: Path = _module(TESTS / "keeping.py").keep(request.config, name, copy, make, *makers)
        return found

    return kept


@pytest.fixture(scope="session")
def tiny_model(tiny_clips: Path, keep: Keep) -> Path:
    """A model folder with the paper's two stages and what they need, by the recipe ``tiny``, a few steps each."""
    return keep("model", lambda folder: _train(COMPONENTS, tiny_clips, folder), Path(__file__))


@pytest.fixture(scope="session")
def planning_model(tiny_clips: Path, tiny_model: Path, keep: Keep) -> Path:
    """The same with a stage 1 by plans, and without the diffusion network in its place."""

    def make(folder: Path) -> None:
        ignored = shutil.ignore_patterns("training", "trajectory_*")
        shutil.copytree(tiny_model, folder, ignore=ignored, dirs_exist_ok=True)
        index = json.loads((folder / "model_index.json").read_text())
        rest = {name: value for name, value in index.items() if not name.startswith("trajectory_")}
        (folder / "model_index.json").write_text(json.dumps(rest))
        _train(("painter", "planner"), tiny_clips, folder)

    return keep("planning-model", make, Path(__file__))


def _train(components: Sequence[str], clips: Path, folder: Path) -> None:
    for component in components:
        flags = ["--data", str(clips), "--out", str(folder), "--recipe", "tiny", "--threads", "1"]
        assert main(["train", component, *flags]) == 0


@pytest.fixture(scope="module")
def no_open_clip() -> Iterator[None]:
    """What a test finds must not depend on whether open_clip is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mask2iv.official.tokenizer._installed", lambda: None)
        yield


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """A Ray of this machine, started once: RayCrew("local") finds it. Its workers find the tests' modules."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from mask2iv.scaling.ray import RayCrew

    RayCrew("local", 1)
    yield
    ray.shutdown()


# --- golden files, and a plain second implementation of the U-Net


@pytest.fixture(scope="session")
def load_golden() -> Callable[[str], Any]:
    """Reads a golden file by name, once."""
    return cache(_module(TESTS / "golden" / "loader.py").load_golden)


@pytest.fixture(scope="session")
def golden_weight() -> Callable[..., torch.Tensor]:
    """The deterministic weight of an original key and shape."""
    weight: Callable[..., torch.Tensor] = _module(TESTS / "golden" / "loader.py").golden_weight
    return weight


@pytest.fixture(scope="session")
def naive_unet() -> Callable[..., Any]:
    """The plain second implementation."""
    network: Callable[..., Any] = _module(TESTS / "backbones" / "dynamicrafter" / "naive_unet.py").NaiveUNet
    return network
