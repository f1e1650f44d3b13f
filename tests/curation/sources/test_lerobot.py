"""LeRobot data sets of other programs: layouts of versions 2 and 3, several cameras and tasks, and damage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.curation.sources.lerobot_sets import FPS, LENGTHS, SIZE, TOP, WRIST, frame, write_second, write_third

from mask2iv.curation.running.ledger import LEDGER
from mask2iv.curation.running.record import MANIFEST, write_manifest
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.sources.interfaces import Problem, Recording
from mask2iv.curation.sources.lerobot import LeRobotSource
from mask2iv.data.parquet import episode_rows, read_columns
from mask2iv.errors import InputError
from mask2iv.media.videos import write_video
from mask2iv.scaling.processes import ProcessCrew

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def third(tmp_path: Path) -> Path:
    """Version 3.0."""
    return write_third(tmp_path / "third")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Version 2.1."""
    return write_second(tmp_path / "second")


@pytest.mark.parametrize("version", ["second", "third"])
def test_the_manifest_of_a_set_names_its_source(version: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(version)
    (tmp_path / LEDGER).write_text("")
    write_manifest(tmp_path, LeRobotSource(root, TOP), CurationConfig(), ProcessCrew(1), {"clips": 0}, 1.0)
    source = json.loads((tmp_path / MANIFEST).read_text())["source"]
    assert (source["kind"], source["path"]) == ("lerobot", str(root))


def entries(root: Path, camera: str = TOP) -> list[Recording | Problem]:
    return list(LeRobotSource(root, camera).entries())


@pytest.mark.parametrize("version", ["second", "third"])
@pytest.mark.parametrize("camera", [TOP, WRIST])
def test_episodes_are_recordings(version: str, camera: str, request: pytest.FixtureRequest) -> None:
    root = request.getfixturevalue(version)
    found = entries(root, camera)
    assert [one.name for one in found] == ["episode-000000", "episode-000001", "episode-000002"]
    for episode, recording in enumerate(found):
        assert isinstance(recording, Recording)
        scanned = recording.footage.scan()
        assert (scanned.size, scanned.fps) == (SIZE, FPS)
        np.testing.assert_allclose(scanned.times, np.arange(LENGTHS[episode]) / FPS, atol=1e-3)
        wanted = [1, LENGTHS[episode] - 1]
        read = recording.footage.read(wanted, (16, 24)).astype(int)
        for row, index in enumerate(wanted):
            shown = frame(episode, index)[:16, :24].astype(int)
            assert abs(read[row] - (shown if camera == TOP else 255 - shown)).max() <= 4
        parts = [(one.key, one.start, one.stop, one.description.caption) for one in recording.segments]
        if episode == 1:
            assert parts == [("000", 0.0, 0.4, "open the drawer"), ("001", 0.4, 1.2, "pick up the cup")]
        else:
            assert parts == [("", 0.0, None, "pick up the cup")]
        assert all(one.masks is None and one.description.actor == "robot" for one in recording.segments)
        split = (None, None, None) if version == "second" else ("train", "train", "validation")
        assert {one.split for one in recording.segments} == {split[episode]}
    assert len({one.group for one in found if isinstance(one, Recording)}) == 3


def test_a_camera_is_chosen(third: Path) -> None:
    with pytest.raises(InputError, match=rf"camera: .* has {TOP}, {WRIST}; choose one"):
        LeRobotSource(third)
    with pytest.raises(InputError, match=r"has no 'side'; it has observation"):
        LeRobotSource(third, "side")


def test_what_is_missing_or_damaged_is_a_problem_or_one_line(third: Path, second: Path) -> None:
    (second / "videos/chunk-000" / TOP / "episode_000001.mp4").unlink()
    found = entries(second)
    assert [type(one) for one in found] == [Recording, Problem, Recording]
    assert found[1].reason == "file missing"  # type: ignore[union-attr]
    episodes = second / "meta/episodes.jsonl"
    lines = (
        episodes.read_text()
        .replace('"length": 4', '"length": 0')
        .replace('["pick up the cup"], "length": 5', '[" "], "length": 5')
    )
    episodes.write_text(lines)
    assert [one.reason for one in entries(second) if isinstance(one, Problem)] == [
        "damaged",
        "file missing",
        "no caption",
    ]

    video = third / "videos" / TOP / "chunk-000/file-000.mp4"
    good = video.read_bytes()
    video.write_bytes(good[: len(good) // 2])
    [first, *_] = entries(third)
    assert isinstance(first, Recording)
    with pytest.raises(InputError, match=r"file-000\.mp4"):
        first.footage.read([0, 3], SIZE)
    write_video(video, np.stack([frame(0, index) for index in range(6)]), FPS)
    cut = entries(third)[1]
    assert isinstance(cut, Recording)
    with pytest.raises(InputError, match=r"has 2 frames from 0\.8 s on, 6 were expected"):
        cut.footage.scan()
    with pytest.raises(InputError, match=r"has no frame 5 from 0\.8 s on"):
        cut.footage.read([0, 5], SIZE)

    data = third / "data/chunk-000/file-000.parquet"
    data.write_bytes(data.read_bytes()[:-100])
    [first, second_one, _] = entries(third, WRIST)
    assert isinstance(second_one, Problem)  # its tasks are in the table
    assert isinstance(first, Recording)
    with pytest.raises(InputError, match="cannot be read as a table") as caught:
        first.footage.read([0], SIZE)
    assert "\n" not in str(caught.value)
    (third / "meta/episodes/chunk-000/file-000.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match="cannot be read as a table"):
        entries(third)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v1.6"}, "codebase_version.*expected v3.0"),
        ({"fps": 0}, "fps"),
        ({"features": {}}, "no pictures"),
        ({"features": None}, "features"),
    ],
)
def test_an_unusable_description_is_refused(changes: dict[str, Any], message: str, third: Path) -> None:
    path = third / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(InputError, match=message):
        LeRobotSource(third, TOP)


@pytest.mark.parametrize("template", ["../{video_key}.mp4", "/etc/{video_key}", "a/{chunk_index.real}", "{other}.mp4"])
def test_templates_cannot_lead_elsewhere(template: str, third: Path) -> None:
    path = third / "meta/info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"video_path": template}))
    assert all(isinstance(one, Problem) for one in entries(third))


def many(path: Path, **columns: Any) -> None:
    """A small table of a million rows, all alike."""
    count = 10**6
    values = {
        name: arrow.DictionaryArray.from_arrays(arrow.array(np.zeros(count, np.int32)), arrow.array([value]))
        if isinstance(value, str | bytes)
        else np.full(count, value)
        for name, value in columns.items()
    }
    parquet.write_table(arrow.table(values), path)
    assert path.stat().st_size < 2**20


@pytest.mark.parametrize("plain", [True, False])
def test_a_small_table_that_expands_to_gigabytes_is_refused(plain: bool, tmp_path: Path) -> None:
    path, text = tmp_path / "many.parquet", "pick up the cup " * 2**12
    many(path, task_index=0, task=text, episode_index=0, frame_index=0)
    if plain:  # the file says nothing of how the column was held in memory
        metadata = parquet.read_schema(path).metadata
        path.write_bytes(path.read_bytes().replace(b"ARROW:schema", b"ARROW:scheme"))
        assert b"ARROW:schema" in (metadata or {b"ARROW:schema": b""})
    with pytest.raises(InputError, match="expands to more than 536,870,912 bytes"):
        read_columns(path, ["task_index", "task"], "source", integers=["task_index"])
    assert next(episode_rows(path, "task", 0, [0], "source")) == text
    with pytest.raises(InputError, match="has 1,000,000 rows; at most 869,565 are read"):
        read_columns(path, ["task_index"] * 23, "source")


def test_columns_of_another_kind_are_told(third: Path) -> None:
    path = third / "data/chunk-000/file-000.parquet"
    table = parquet.read_table(path)
    for values, message in (
        (["x"] * len(table), "column 'frame_index' must hold integers, found string"),
        ([[1]] * len(table), "column 'frame_index' must hold integers, found list<.*>"),
        ([None] * len(table), "column 'frame_index' must hold integers, found null"),
    ):
        parquet.write_table(table.set_column(0, "frame_index", arrow.array(values)), path)
        with pytest.raises(InputError, match=message):
            list(episode_rows(path, WRIST, 0, [0], "source"))
    parquet.write_table(table.append_column("frame_index", table.column(0)), path)
    with pytest.raises(InputError, match="more than one column 'frame_index'"):
        list(episode_rows(path, WRIST, 0, [0], "source"))
    holes = arrow.array([None, *table.column("task_index").to_pylist()[1:]])
    parquet.write_table(table.set_column(table.column_names.index("task_index"), "task_index", holes), path)
    assert isinstance(entries(third)[1], Problem)
