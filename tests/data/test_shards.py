"""Clips in tar shards: the same clips as in the set, read in place; damage is seen."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from mask2iv.cli import main
from mask2iv.data.shards import ShardedClips, write_shards
from mask2iv.data.splits import open_clips, open_split
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError


@pytest.fixture
def shards(tiny_clips: Path, tmp_path: Path) -> Path:
    """The tiny clips, two in a shard."""
    clips = ClipSet(tiny_clips)
    one = sum(path.stat().st_size for path in (tiny_clips / "clips" / clips.ids[0]).iterdir())
    names = write_shards([clips], tmp_path / "shards", "tiny", 2 * (one + 4096) + 11_000)
    assert names == ["tiny-000000.tar", "tiny-000001.tar", "tiny-000002.tar"]
    return tmp_path / "shards"


def test_shards_hold_the_clips_of_the_set(shards: Path, tiny_clips: Path) -> None:
    clips, read = ClipSet(tiny_clips), open_clips(shards)
    assert isinstance(read, ShardedClips)
    assert (read.ids, read.size, read.num_frames, read.fps) == (clips.ids, clips.size, clips.num_frames, clips.fps)
    assert read.rows == clips.rows
    assert read.simulated
    assert list(read.digests()) == list(clips.digests())
    for index in (5, 0, 3):
        assert (read[index].video == clips[index].video).all()
        assert (read[index].trajectory.labels == clips[index].trajectory.labels).all()
        assert read[index].caption == clips[index].caption
    assert read.subset(1, 3)[0].clip_id == "clip-1"
    assert read.where(["clip-4"])[0].clip_id == "clip-4"
    assert [clip.clip_id for clip in read.first(2)] == ["clip-0", "clip-1"]
    assert len(open_split(shards)) == 6


def test_any_tar_reader_finds_whole_clips_in_order(shards: Path, tiny_clips: Path) -> None:
    names = []
    for path in sorted(shards.glob("*.tar")):
        with tarfile.open(path) as tar:
            names += tar.getnames()
            video = tar.extractfile(tar.getnames()[0])
            assert video is not None
            clip_id = tar.getnames()[0].partition(".")[0]
            assert video.read() == (tiny_clips / "clips" / clip_id / "video.mp4").read_bytes()
    assert names == [f"clip-{n}.{part}" for n in range(6) for part in ("video.mp4", "labels.npz", "json")]
    listed = json.loads((shards / "shards.json").read_text())["shards"]
    assert sum(one["clips"] for one in listed) == 6
    assert listed[1]["sha256"] == hashlib.sha256((shards / listed[1]["name"]).read_bytes()).hexdigest()


def test_same_clips_same_bytes_and_no_shard_above_the_bound(tiny_clips: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_shards([ClipSet(tiny_clips)], tmp_path / name, max_bytes=30_000)
    files = sorted((tmp_path / "a").iterdir())
    assert len(files) > 4
    for path in files:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        assert path.suffix != ".tar" or path.stat().st_size <= 30_000
    write_shards([ClipSet(tiny_clips)], tmp_path / "small", max_bytes=1)
    assert len(list((tmp_path / "small").glob("*.tar"))) == 6


def test_damage_is_said_in_one_line(shards: Path) -> None:
    tar = shards / "tiny-000001.tar"
    good = tar.read_bytes()
    swapped = bytearray(good)
    swapped[700] ^= 1
    tar.write_bytes(swapped)
    clips = ShardedClips(shards)
    with pytest.raises(InputError, match=r"tiny-000001\.tar: video\.mp4 of clip clip-2 is damaged"):
        clips[2]
    assert clips[3].clip_id == "clip-3"
    tar.write_bytes(good[:-512])
    with pytest.raises(InputError, match=r"tiny-000001\.tar: has .* bytes, .* were written"):
        ShardedClips(shards)
    tar.unlink()
    with pytest.raises(InputError, match="lacks its shard tiny-000001"):
        ShardedClips(shards)
    tar.write_bytes(good)
    members = shards / "members.jsonl"
    lines = members.read_text().splitlines()
    members.write_text("\n".join(lines[:-1]))
    with pytest.raises(InputError, match="does not say where clip clip-5 lies"):
        ShardedClips(shards)
    with pytest.raises(InputError, match="it holds shards"):
        ClipSet(shards)


def test_names_and_sets_that_do_not_go_together_are_refused(tiny_clips: Path, tmp_path: Path) -> None:
    clips = ClipSet(tiny_clips)
    with pytest.raises(InputError, match="both hold a clip clip-0"):
        write_shards([clips, clips], tmp_path / "out")
    with pytest.raises(InputError, match="name"):
        write_shards([clips], tmp_path / "out", name="../up")
    assert not (tmp_path / "out").exists()


def test_training_reads_shards_as_it_reads_the_set(shards: Path, tiny_clips: Path, tmp_path: Path) -> None:
    for name, data in (("set", tiny_clips), ("shards", shards)):
        flags = ["--data", str(data), "--out", str(tmp_path / name), "--recipe", "tiny", "--threads", "1"]
        assert main(["train", "vae", *flags]) == 0
    weights = [tmp_path / name / "vae" / "diffusion_pytorch_model.safetensors" for name in ("set", "shards")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
