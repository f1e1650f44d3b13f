"""``mask2iv export``: frames, shards and splits; nothing half-written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask2iv.cli import main
from mask2iv.data.masks.beside import open_masks
from mask2iv.data.shards import ShardedClips
from mask2iv.data.store import ClipSet
from mask2iv.files import copy_linked
from mask2iv.generation.inputs import read_scene
from mask2iv.generation.jobs.file import read_jobs
from mask2iv.generation.options import Fitting


def export(kind: str, clips: Path, out: Path, *flags: str) -> int:
    return main(["export", kind, str(clips), "--out", str(out), *flags])


def test_frames_are_exact(tiny_clips: Path, tmp_path: Path) -> None:
    assert export("frames", tiny_clips, tmp_path / "out", "--limit", "2") == 0
    for clip in ClipSet(tiny_clips).first(2):
        paths = sorted((tmp_path / "out/JPEGImages" / clip.clip_id).iterdir())
        assert [path.name for path in paths] == ["00000.png", "00001.png", "00002.png", "00003.png"]
        assert (np.stack([np.asarray(Image.open(path)) for path in paths]) == clip.video).all()
        folder = tmp_path / "out/Annotations" / clip.clip_id
        with Image.open(folder / "00002.png") as image:
            assert image.mode == "P"
            assert (np.asarray(image) == clip.trajectory.labels[2]).all()
        for numbers in (None, (1, 2)):
            read = np.stack(list(open_masks(folder, numbers).read(range(4))))
            assert (read == clip.trajectory.labels).all()
    assert (tmp_path / "out/ImageSets/all.txt").read_text() == "clip-0\nclip-1\n"
    line = json.loads((tmp_path / "out/clips.jsonl").read_text().splitlines()[0])
    assert (line["clip_id"], line["synthetic"]) == ("clip-0", True)


def test_splits_go_with_the_clips(tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, ids in (("test", ["clip-1"]), ("train", ["clip-0", "clip-2"])):
        part = ClipSet(tiny_clips).where(ids)
        for clip_id in ids:
            copy_linked(tiny_clips / "clips" / clip_id, tmp_path / "root" / name / "clips" / clip_id)
        lines = (tiny_clips / "index.jsonl").read_text().splitlines()
        index = [line for line in lines if json.loads(line)["clip_id"] in ids]
        (tmp_path / "root" / name / "index.jsonl").write_text("".join(f"{line}\n" for line in index))
        header = json.loads((tiny_clips / "clipset.json").read_text()) | {"num_clips": len(part)}
        (tmp_path / "root" / name / "clipset.json").write_text(json.dumps(header))
    assert export("lerobot", tmp_path / "root", tmp_path / "lerobot") == 0
    assert json.loads((tmp_path / "lerobot/meta/info.json").read_text())["splits"] == {"train": "0:2", "test": "2:3"}
    assert export("frames", tmp_path / "root", tmp_path / "frames") == 0
    assert (tmp_path / "frames/ImageSets/train.txt").read_text() == "clip-0\nclip-2\n"
    assert "3 of them marked as synthetic" in capsys.readouterr().out
    assert export("webdataset", tmp_path / "root", tmp_path / "shards", "--shard-size", "1kB", "--name", "my") == 0
    clips = ShardedClips(tmp_path / "shards")
    assert clips.ids == ["clip-0", "clip-1", "clip-2"]
    assert clips.simulated
    assert len(list((tmp_path / "shards").glob("my-*.tar"))) == 3
    # Shards are clips too.
    assert export("masks", tmp_path / "shards", tmp_path / "masks", "--to", "coco") == 0
    assert len(list((tmp_path / "masks").glob("*_masks.json"))) == 3


@pytest.mark.parametrize("kind", ["lerobot", "webdataset", "frames", "masks"])
def test_a_damaged_clip_leaves_nothing(
    kind: str, tiny_clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny_clips, tmp_path / "clips")
    labels = tmp_path / "clips/clips/clip-3/labels.npz"
    labels.write_bytes(labels.read_bytes()[:99])
    if kind == "webdataset":
        labels.unlink()
    assert export(kind, tmp_path / "clips", tmp_path / "out") == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "clip-3" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips"]


def test_what_is_no_clips_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("frames", tmp_path, tmp_path / "out") == 2
    assert "clipset.json" in capsys.readouterr().err
    assert export("frames", tmp_path, tmp_path / "out", "--limit", "0") == 2
    assert "--limit: must be at least 1" in capsys.readouterr().err
    assert export("webdataset", tmp_path, tmp_path / "out", "--shard-size", "many") == 2
    assert "--shard-size" in capsys.readouterr().err


def test_jobs_begin_with_a_clips_first_frame(tiny_clips: Path, tmp_path: Path) -> None:
    assert main(["export", "jobs", str(tiny_clips), "--given", "both", "--out", str(tmp_path / "jobs")]) == 0
    jobs = read_jobs(tmp_path / "jobs" / "jobs.jsonl", 0, Fitting())
    for clip, job in zip(ClipSet(tiny_clips), jobs, strict=True):
        scene = read_scene(job.scene).scene
        assert (job.id, scene.prompt) == (clip.clip_id, clip.caption)
        assert (scene.image == clip.image).all()
        assert (scene.object_mask == clip.object_mask).all()
        assert scene.target_mask is not None
        assert (scene.target_mask == clip.target_mask).all()
        assert (scene.actor_mask is not None) == clip.trajectory.actor[0].any()
