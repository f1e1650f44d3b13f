"""Clips exported with what an arm does in them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.contract import Clip, Trajectory
from mask2iv.curation.sources.interfaces import Recording
from mask2iv.curation.sources.lerobot import LeRobotSource
from mask2iv.data.store import SIMULATOR, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.execution.demonstrations.clips import executed, origins_of
from mask2iv.export.clips import listed, opened
from mask2iv.generation.results import write_trajectory
from mask2iv.media.videos import write_video
from mask2iv.sim.benchmark import BENCHMARKS, read_record
from mask2iv.sim.generate import simulate_clip
from mask2iv.sim.world.render import Renderer

parquet = pytest.importorskip("pyarrow.parquet")
ROBOT = BENCHMARKS["sim-robot"]
CONFIG, RECORD = ROBOT.config("validation"), read_record(ROBOT, "validation")
STAPLER = 5
"""A stapler is picked up."""
NAME = f"sim-robot-validation-{STAPLER:06d}"


@pytest.fixture(scope="module")
def clip() -> Clip:
    renderer = Renderer(CONFIG.height, CONFIG.width)
    made, _ = simulate_clip(CONFIG, ROBOT.series("validation"), STAPLER, renderer, RECORD[STAPLER].draw)
    renderer.close()
    return ROBOT.named(made, "validation")


@pytest.fixture(scope="module")
def exported(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip, and one in which nothing moves."""
    folder = tmp_path_factory.mktemp("demonstrations")
    still = Trajectory(np.repeat(clip.trajectory.labels[:1], 16, axis=0), clip.fps)
    with ClipSetWriter(folder / "clips", (160, 256), 16, 8.0, {"generator": SIMULATOR, **asdict(CONFIG)}) as writer:
        writer.add(clip)
        writer.add(replace(clip, clip_id="still", trajectory=still))
    assert main(["export", "lerobot", str(folder / "clips"), "--with-actions", "--out", str(folder / "set")]) == 0
    return folder / "set"


def test_states_and_actions_are_exported(exported: Path, clip: Clip) -> None:
    info = json.loads((exported / "meta/info.json").read_text())
    assert (info["robot_type"], info["synthetic"], info["total_episodes"]) == ("mask2iv_arm", "all", 1)
    names = ["turret", "shoulder", "elbow", "roll", "bend", "twist", "gripper"]
    for key in ("observation.state", "action"):
        assert info["features"][key] == {"dtype": "float32", "shape": [7], "names": names}
    table = parquet.read_table(exported / "data/chunk-000/file-000.parquet")
    described = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert described["action"] == {"feature": {"dtype": "float32", "_type": "Value"}, "length": 7, "_type": "Sequence"}
    states, actions = (np.array(table[key].to_pylist(), dtype=np.float32) for key in ("observation.state", "action"))
    assert states.shape == actions.shape == (16, 7)
    # The joints follow the actions, and the jaws close about the stapler and stay closed.
    assert np.abs(actions[:-1, :6] - states[1:, :6]).max() < 0.1
    assert actions[0, 6] > 0.05 > 0 > actions[-1, 6]
    statistics = json.loads((exported / "meta/stats.json").read_text())
    np.testing.assert_allclose(statistics["action"]["mean"], actions.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(statistics["observation.state"]["max"], states.max(axis=0), atol=1e-6)
    assert statistics["action"]["count"] == [16]
    [recording] = list(LeRobotSource(exported).entries())
    assert isinstance(recording, Recording)
    assert recording.segments[0].description.caption == clip.caption
    assert "An action takes 0.25 s" in (exported / "README.md").read_text()


def test_what_became_of_each_clip_is_told(exported: Path) -> None:
    [episode] = json.loads((exported / "meta/mask2iv.json").read_text())["episodes"]
    assert episode["clip_id"] == NAME
    motion = episode["motion"]
    assert motion["success"] is motion["actions_succeed"] is True
    assert (motion["plan"], motion["action_seconds"], motion["scene"]["index"]) == ("grasp", 0.25, STAPLER)
    told = json.loads((exported / "meta/rejected.json").read_text())
    assert (told["kept"], told["of"], told["reasons"]) == (1, 2, {"no-plan": 1})
    [rejected] = told["rejected"]
    assert (rejected["clip_id"], rejected["reasons"], rejected["success"]) == ("still", ["no-plan"], False)


def _result(folder: Path, clip: Clip, prompt: str) -> None:
    folder.mkdir(parents=True)
    write_trajectory(folder, clip.trajectory)
    write_video(folder / "video.mp4", clip.video, clip.fps)
    (folder / "manifest.json").write_text(json.dumps({"command": "generate", "settings": {"prompt": prompt}}))


def test_generated_clips_are_executed_in_the_scene_of_their_name(exported: Path, clip: Clip, tmp_path: Path) -> None:
    _result(tmp_path / "jobs" / NAME, clip, clip.caption)
    _result(tmp_path / "jobs" / f"{NAME}-otherwise", clip, "a robot arm moving a stapler to the left")
    with opened(tmp_path / "jobs") as sets:
        clips = listed(sets)
        true, other = executed(clips)
        assert true.success is True
        assert true.clip.motion is not None
        table = parquet.read_table(exported / "data/chunk-000/file-000.parquet")
        np.testing.assert_allclose(true.clip.motion.states, np.array(table["observation.state"].to_pylist()), atol=1e-5)
        # Another instruction than the scene's is executed, but there is no criterion for it.
        assert (other.success, other.reasons) == (None, ())
        [_, rejected] = executed(clips, only_successes=True)
        assert rejected.reasons == ("unsuccessful",)


def test_clips_that_cannot_be_executed(clip: Clip, tmp_path: Path) -> None:
    with ClipSetWriter(tmp_path / "hand", (160, 256), 16, 8.0, {"generator": SIMULATOR, **asdict(CONFIG)}) as writer:
        writer.add(replace(clip, actor="hand"))
        writer.add(replace(clip, clip_id="damaged", metadata={**clip.metadata, "draw": "first"}))
    with opened(tmp_path / "hand") as sets:
        damaged, hand = listed(sets)
        with pytest.raises(InputError, match="only a robot's clips"):
            origins_of([hand])
        with pytest.raises(InputError, match=r"clip damaged: draw"):
            origins_of([damaged])
    _result(tmp_path / "unknown" / "my-desk", clip, clip.caption)
    with opened(tmp_path / "unknown") as sets, pytest.raises(InputError, match="nothing says which"):
        list(executed(listed(sets)))
    _result(tmp_path / "wrong" / "sim-robot-validation-000006", clip, clip.caption)
    with opened(tmp_path / "wrong") as sets, pytest.raises(InputError, match="does not begin with the scene"):
        list(executed(listed(sets)))


def test_flags_that_do_not_apply(tmp_path: Path, tiny_clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["export", "frames", str(tiny_clips), "--with-actions", "--out", out]) == 2
    assert main(["export", "lerobot", str(tiny_clips), "--only-successes", "--out", out]) == 2
    (tmp_path / "filled").mkdir()
    (tmp_path / "filled" / "file").touch()
    assert main(["export", "lerobot", str(tiny_clips), "--with-actions", "--out", str(tmp_path / "filled")]) == 2
    told = capsys.readouterr().err
    for words in ("--with-actions: does not apply to frames", "add --with-actions", "not empty"):
        assert words in told
