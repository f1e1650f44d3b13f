"""The clip set on disk, and clips as batches."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from mask2iv.contract import Batch, Clip, Label, Trajectory
from mask2iv.data.dataset import ClipDataset, collate, select_frames
from mask2iv.data.store import ClipSet, ClipSetWriter
from mask2iv.errors import InputError

SIZE, FRAMES, FPS = (31, 44), 9, 10.0


def make_clip(clip_id: str, shift: int = 0, **changes: object) -> Clip:
    """A red block that a green one pushes to the right, on a grey ramp."""
    labels = np.zeros((FRAMES, *SIZE), dtype=np.uint8)
    for index, frame in enumerate(labels):
        left = 3 + shift + 2 * index
        frame[10:20, left : left + 6] = Label.ACTOR
        frame[10:20, left + 6 : left + 14] = Label.OBJECT
    video = np.broadcast_to(np.linspace(60, 160, SIZE[1], dtype=np.uint8)[:, None], (*labels.shape, 3)).copy()
    video[labels == Label.ACTOR] = (90, 160, 90)
    video[labels == Label.OBJECT] = (180, 70, 60)
    values = {
        "clip_id": clip_id,
        "video": video,
        "trajectory": Trajectory(labels, FPS),
        "caption": "a hand pushing a block",
        "verb": "pushing",
        "object_name": "block",
        "actor": "hand",
        "contact": np.arange(FRAMES) > 2,
        "metadata": {"seed": shift, "note": "line\u2028separator"},
    }
    return Clip(**(values | changes))  # type: ignore[arg-type]


def write(directory: Path, clips: list[Clip]) -> Path:
    with ClipSetWriter(directory, SIZE, FRAMES, FPS, {"source": "test"}) as writer:
        for clip in clips:
            writer.add(clip)
    return directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write(tmp_path / "set", [make_clip("b", 2), make_clip("a", 1), make_clip("c", 3, contact=None)])


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def test_clips_come_back_in_order_with_exact_labels(directory: Path) -> None:
    clips = ClipSet(directory)
    assert clips.ids == ["a", "b", "c"]
    assert len(clips) == 3
    assert (clips.size, clips.num_frames, clips.fps) == (SIZE, FRAMES, FPS)
    assert clips.info["provenance"] == {"source": "test"}
    assert clips.rows[0]["contact"] == [0, 0, 0, 1, 1, 1, 1, 1, 1]
    original, read = make_clip("b", 2), clips[1]
    np.testing.assert_array_equal(read.trajectory.labels, original.trajectory.labels)
    assert read.fps == FPS
    assert read.video.shape == original.video.shape
    error = np.mean((read.video.astype(float) - original.video) ** 2)
    assert 10 * np.log10(255**2 / error) > 40
    assert read.contact is not None
    np.testing.assert_array_equal(read.contact, original.contact)
    assert clips[2].contact is None
    for name in ("clip_id", "caption", "verb", "object_name", "actor", "metadata"):
        assert getattr(read, name) == getattr(original, name)
    assert [clip.clip_id for clip in clips] == clips.ids
    assert clips[-1].clip_id == "c"


def test_same_clips_in_any_order_give_the_same_bytes(directory: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", [make_clip("c", 3, contact=None), make_clip("b", 2), make_clip("a", 1)])
    assert files_of(directory) == files_of(other)


def test_interrupted_writing_is_recognised(tmp_path: Path) -> None:
    clips = [make_clip("a"), make_clip("a")]
    with pytest.raises(InputError, match="unique"):
        write(tmp_path / "set", clips)
    with pytest.raises(InputError, match=r"clipset\.json.*interrupted"):
        ClipSet(tmp_path / "set")
    with pytest.raises(InputError, match="not empty"):
        ClipSetWriter(tmp_path / "set", SIZE, FRAMES, FPS, {})


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (make_clip("../up"), "clip_id"),
        (make_clip("a"), "unique"),
        (make_clip("x", trajectory=Trajectory(make_clip("x").trajectory.labels, 7.0)), "7.0 fps"),
        (make_clip("x", metadata={"pose": np.zeros(3)}), "clip x: metadata"),
    ],
)
def test_clips_that_do_not_fit_are_refused(tmp_path: Path, clip: Clip, message: str) -> None:
    writer = ClipSetWriter(tmp_path / "set", SIZE, FRAMES, FPS, {})
    writer.add(make_clip("a"))
    with pytest.raises(InputError, match=message):
        writer.add(clip)


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clip"):
        write(tmp_path / "set", [])


def test_damaged_sets_are_refused_with_the_cause(directory: Path, tmp_path: Path) -> None:
    header, index = directory / "clipset.json", directory / "index.jsonl"
    lines = index.read_text(encoding="utf-8").split("\n")
    good = header.read_text()

    def refused(message: str) -> None:
        with pytest.raises(InputError, match=message):
            ClipSet(directory)

    damage = (({"version": 2}, "version: expected 1, found 2"), ({"format": "x"}, "format"), ({"size": [4]}, "size"))
    for changes, message in damage:
        header.write_text(json.dumps(json.loads(good) | changes))
        refused(message)
    header.write_text(good)
    for text, message in (
        ("\n".join(lines[:2]) + "\n", "lists 2 clips"),
        ("\n".join([lines[0], "{", lines[2]]) + "\n", "line 2"),
        ("\n".join([lines[0], lines[0], lines[2]]) + "\n", "twice"),
        ("\n".join([lines[0].replace('"a"', '"../a"'), *lines[1:3]]) + "\n", "clip_id"),
        ("\n".join([lines[0].replace("caption", "title"), *lines[1:3]]) + "\n", "caption"),
    ):
        index.write_text(text, encoding="utf-8")
        refused(message)
    index.write_text("\n".join(lines), encoding="utf-8")
    assert len(ClipSet(directory)) == 3
    (directory / "clips" / "b" / "labels.npz").unlink()
    refused("clip b lacks")
    index.unlink()
    refused("index.jsonl")
    with pytest.raises(InputError, match="does not exist"):
        ClipSet(tmp_path / "absent")


# --- batches


def test_frames_are_spread_or_strided() -> None:
    assert select_frames(9, 5) == [0, 2, 4, 6, 8]
    assert select_frames(9, 9) == list(range(9))
    assert select_frames(9, 1) == [0]
    assert select_frames(9, 3, stride=2) == [0, 2, 4]
    for num_frames, stride in ((10, None), (0, None), (6, 2), (2, 0)):
        with pytest.raises(InputError, match="num_frames"):
            select_frames(9, num_frames, stride)


def test_dataset_and_loader_give_batches_in_range(directory: Path) -> None:
    clips = ClipSet(directory)
    dataset = ClipDataset(clips, size=(16, 24), num_frames=5)
    item = dataset[0]
    assert item["clip_id"] == "a"
    assert item["video"].shape == (5, 16, 24, 3)
    assert item["video"].dtype == item["labels"].dtype == torch.uint8
    assert item["fps"] == FPS / 2
    batch = next(iter(DataLoader(dataset, batch_size=2, collate_fn=collate)))
    assert isinstance(batch, Batch)
    assert batch.clip_ids == ["a", "b"]
    assert batch.captions == ["a hand pushing a block"] * 2
    assert batch.video.shape == (2, 3, 5, 16, 24)
    assert -1.0 <= batch.video.min() < 0 < batch.video.max() <= 1.0
    torch.testing.assert_close(batch.video[0, :, 2, 7, 9], item["video"][2, 7, 9].float() / 127.5 - 1)
    assert batch.labels.unique().tolist() == [0, 1, 2]
    assert batch.fps.tolist() == [5.0, 5.0]


def test_resized_labels_stay_on_their_pixels(directory: Path) -> None:
    clips = ClipSet(directory)
    item = ClipDataset([clips[0]], size=(62, 88), num_frames=2, stride=3)[0]
    labels = torch.from_numpy(clips[0].trajectory.labels[[0, 3]])
    assert torch.equal(item["labels"], labels.repeat_interleave(2, dim=1).repeat_interleave(2, dim=2))
    assert item["fps"] == pytest.approx(FPS / 3)
    block = item["video"][item["labels"] == Label.OBJECT].float().mean(dim=0)
    assert torch.allclose(block, torch.tensor([180.0, 70.0, 60.0]), atol=6)
