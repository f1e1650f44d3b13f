"""A LeRobot data set written here and read as a source: exact labels, near frames, what it says of itself."""

import json
import pickle
from pathlib import Path

import av
import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.contract import Label
from mask2iv.curation.sources.interfaces import Problem, Recording
from mask2iv.curation.sources.lerobot import LeRobotSource
from mask2iv.data.store import SIMULATOR, ClipSet, ClipSetWriter
from mask2iv.errors import InputError
from mask2iv.export.clips import listed, opened
from mask2iv.export.lerobot import export_lerobot
from mask2iv.export.statistics import of_numbers, of_pictures, picture_counts

parquet = pytest.importorskip("pyarrow.parquet")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2))))


@pytest.fixture(scope="module")
def exported(tiny_clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("lerobot") / "set"
    assert main(["export", "lerobot", str(tiny_clips), "--out", str(out)]) == 0
    return out


def recordings(root: Path, **options: str) -> list[Recording]:
    found = list(LeRobotSource(root, **options).entries())  # type: ignore[arg-type]
    assert not [one for one in found if isinstance(one, Problem)], found
    return [one for one in found if isinstance(one, Recording)]


def test_an_exported_set_comes_back(exported: Path, tiny_clips: Path) -> None:
    clips, found = ClipSet(tiny_clips), recordings(exported)
    assert len(found) == len(clips)
    for clip, recording in zip(clips, found, strict=True):
        recording = pickle.loads(pickle.dumps(recording))  # noqa: S301 - workers get it like this
        [segment] = recording.segments
        info = recording.footage.scan()
        assert (info.size, info.fps) == (clip.trajectory.size, clip.fps)
        np.testing.assert_allclose(info.times, np.arange(len(clip.video)) / clip.fps, atol=1e-4)
        frames = list(range(len(clip.video)))
        assert psnr(recording.footage.read(frames, info.size), clip.video) > 30
        assert segment.masks is not None
        assert (segment.masks.read(frames, info, info.size) == clip.trajectory.labels).all()
        assert (segment.masks.read([1, 3], info, info.size) == clip.trajectory.labels[[1, 3]]).all()
        description = segment.description
        assert (description.caption, description.verb) == (clip.caption, clip.verb)
        assert (description.object_name, description.actor) == (clip.object_name, clip.actor)
        assert recording.facts["clip"] == clip.clip_id
        assert recording.facts["synthetic"] is True
    some = found[4].footage.read([1, 2], (16, 32))
    assert some.shape == (2, 16, 32, 3)
    assert psnr(some, found[4].footage.read([0, 1, 2, 3], (16, 32))[1:3]) > 90


def test_it_says_what_it_is(exported: Path, tiny_clips: Path) -> None:
    info = json.loads((exported / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 8, 6, 24)
    assert info["synthetic"] == "all"
    assert info["splits"] == {"train": "0:6"}
    assert "synthetic" in (exported / "README.md").read_text().split("---")[1]
    video = info["features"]["observation.images.main"]["info"]
    with av.open(str(exported / "videos/observation.images.main/chunk-000/file-000.mp4")) as file:
        stream = file.streams.video[0]
        assert stream.codec_context.codec.canonical_name == video["video.codec"] == "h264"  # too small for AV1
        assert stream.codec_context.pix_fmt == video["video.pix_fmt"]
        assert (stream.height, stream.width) == (video["video.height"], video["video.width"])
        assert stream.frames == 24
    episodes = parquet.read_table(exported / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["dataset_from_index"] for row in episodes] == [0, 4, 8, 12, 16, 20]
    assert [row["videos/observation.images.main/from_timestamp"] for row in episodes] == [0, 0.5, 1, 1.5, 2, 2.5]
    assert episodes[1]["tasks"] == [ClipSet(tiny_clips)[1].caption]
    assert np.shape(episodes[0]["stats/observation.images.main/mean"]) == (3, 1, 1)
    data = parquet.ParquetFile(exported / "data/chunk-000/file-000.parquet")
    assert data.num_row_groups == 6
    table = data.read()
    assert table.column("frame_index").to_pylist() == [0, 1, 2, 3] * 6
    assert table.column("timestamp").to_pylist()[:5] == [0, 0.125, 0.25, 0.375, 0]
    tasks = parquet.read_table(exported / "meta/tasks.parquet")
    named = dict(zip(tasks["task"].to_pylist(), tasks["task_index"].to_pylist(), strict=True))
    assert named[episodes[3]["tasks"][0]] == table.column("task_index").to_pylist()[12]
    statistics = json.loads((exported / "meta/stats.json").read_text())
    assert set(statistics) == set(info["features"])
    assert statistics["index"]["max"] == [23]
    assert statistics["observation.masks"]["max"] == [[[1.0]], [[1.0]], [[0.0]]]


def test_the_same_clips_give_the_same_bytes(exported: Path, tiny_clips: Path, tmp_path: Path) -> None:
    with opened(tiny_clips) as sets:
        export_lerobot(listed(sets), tmp_path / "again")
    names = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    for name in names:
        assert (exported / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_statistics_by_hand() -> None:
    frames = np.zeros((2, 2, 2, 3), dtype=np.uint8)
    frames[1, ..., 0] = 255
    frames[0, 0, 0, 1] = 51
    found = of_pictures(picture_counts(frames), 2)
    assert found["mean"] == [[[0.5]], [[0.2 / 8]], [[0.0]]]
    assert found["max"] == [[[1.0]], [[0.2]], [[0.0]]]
    assert found["std"][0] == [[0.5]]
    assert found["q90"] == [[[1.0]], [[0.2]], [[0.0]]]
    assert found["q50"] == [[[0.0]], [[0.0]], [[0.0]]]
    assert found["count"] == [2]
    numbers = of_numbers(np.arange(5))
    assert (numbers["q50"], numbers["mean"], numbers["count"]) == ([2.0], [2.0], [5])


@pytest.mark.parametrize("size", [(96, 128), (33, 50)])
def test_larger_and_odd_sizes(size: tuple[int, int], tiny_clips: Path, tmp_path: Path) -> None:
    """AV1 where it can be had; odd sides keep their size."""
    from mask2iv.contract import Clip, Trajectory
    from mask2iv.media.fitting import fit_clip

    clip = ClipSet(tiny_clips)[0]
    video, labels = fit_clip(clip.video, clip.trajectory.labels, size, "stretch")
    with ClipSetWriter(tmp_path / "clips", size, 4, 8.0, {"generator": "mask2iv clips"}) as writer:
        for split in ("test", "train"):
            writer.add(Clip(split, video, Trajectory(labels, 8.0), "a hand", "", "", "hand", None, {"split": split}))
    with opened(tmp_path / "clips") as sets:
        export_lerobot(listed(sets), tmp_path / "set")
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["synthetic"] == "none"
    assert info["splits"] == {"train": "0:1", "test": "1:2"}
    for recording, split in zip(recordings(tmp_path / "set"), ("train", "test"), strict=True):
        assert recording.segments[0].split == split
        scanned = recording.footage.scan()
        assert scanned.size == size
        assert psnr(recording.footage.read([0, 1, 2, 3], size), video) > 28
        masks = recording.segments[0].masks
        assert masks is not None
        assert (masks.read([3], scanned, size)[0] == labels[3]).all()


def test_what_cannot_be_exported(tiny_clips: Path, tmp_path: Path) -> None:
    clip = ClipSet(tiny_clips)[0]
    from dataclasses import replace

    from mask2iv.contract import Trajectory

    with ClipSetWriter(tmp_path / "clips", (32, 64), 4, 7.5, {"generator": SIMULATOR}) as writer:
        writer.add(replace(clip, trajectory=Trajectory(clip.trajectory.labels, 7.5)))
    with opened(tmp_path / "clips") as sets, pytest.raises(InputError, match=r"whole number.*7\.5"):
        export_lerobot(listed(sets), tmp_path / "out")
    with opened(tiny_clips) as sets, pytest.raises(InputError, match="cannot be encoded as AV1"):
        export_lerobot(listed(sets), tmp_path / "out", "av1")
    assert not (tmp_path / "out").exists()


def test_a_generated_result_is_exported_as_synthetic(tiny_clips: Path, tmp_path: Path) -> None:
    from mask2iv.generation.results import write_trajectory
    from mask2iv.media.videos import write_video

    for index in (0, 1):
        clip, folder = ClipSet(tiny_clips)[index], tmp_path / "jobs" / f"job-{index}"
        folder.mkdir(parents=True)
        write_trajectory(folder, clip.trajectory)
        write_video(folder / "video.mp4", clip.video, clip.fps)
        manifest = {"command": "generate", "settings": {"prompt": clip.caption, "seed": index}}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    with opened(tmp_path / "jobs") as sets:
        clips = listed(sets)
        assert [one.row["clip_id"] for one in clips] == ["job-0", "job-1"]
        assert all(one.synthetic for one in clips)
        assert clips[1].row["caption"] == ClipSet(tiny_clips)[1].caption
        assert clips[1].row["metadata"]["generated"]["seed"] == 1
        read = clips[1].read()
        assert (read.trajectory.labels == ClipSet(tiny_clips)[1].trajectory.labels).all()
        assert psnr(read.video, ClipSet(tiny_clips)[1].video) > 20
    with opened(tmp_path / "jobs" / "job-0") as sets:
        assert [one.row["clip_id"] for one in listed(sets)] == ["job-0"]
    assert main(["export", "lerobot", str(tmp_path / "jobs"), "--out", str(tmp_path / "set")]) == 0
    assert json.loads((tmp_path / "set/meta/info.json").read_text())["synthetic"] == "all"
    assert int(Label.OBJECT) in recordings(tmp_path / "set")[0].segments[0].masks.read(  # type: ignore[union-attr]
        [0], recordings(tmp_path / "set")[0].footage.scan(), (32, 64)
    )
