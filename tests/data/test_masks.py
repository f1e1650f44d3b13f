"""Masks of other tools: what is exported comes back exactly; what tools write is understood."""

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mask2iv.cli import main
from mask2iv.contract import Label
from mask2iv.data.masks import MasksBeside, find_masks
from mask2iv.data.masks.beside import open_masks
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.media.videos import VideoInfo, scan_video, write_video
from mask2iv.trajectories.runlength import rle_compress, rle_decode, rle_encode, rle_expand

H, W, T = 6, 9, 3
LABELS = np.zeros((T, H, W), dtype=np.uint8)
for _t in range(T):
    LABELS[_t, 1:4, _t : _t + 3] = Label.ACTOR
    LABELS[_t, 2:5, _t + 2 : _t + 6] = Label.OBJECT
COMPRESSED = "9340005"
INFO = VideoInfo(np.arange(T) / 8, 8.0, (H, W), (H, W))


def read(path: Path, numbers: tuple[int, int] | None = None) -> np.ndarray:
    masks = open_masks(path, numbers)
    assert masks.total == T
    return np.stack(list(masks.read(range(T))))


def pictures(folder: Path, values: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for index, frame in enumerate(values):
        Image.fromarray(frame.astype(np.uint8), mode="L").save(folder / f"{index:05d}.png")
    return folder


@pytest.mark.parametrize("form", ["arrays", "coco", "davis", "sam2"])
def test_exported_masks_come_back_exactly(form: str, tiny_clips: Path, tmp_path: Path) -> None:
    assert main(["export", "masks", str(tiny_clips), "--out", str(tmp_path / "masks"), "--to", form]) == 0
    for clip in ClipSet(tiny_clips).first(2):
        video = tmp_path / "masks" / f"{clip.clip_id}.mp4"
        write_video(video, clip.video, clip.fps)
        beside = pickle.loads(pickle.dumps(MasksBeside(video)))  # noqa: S301 - workers get it like this
        info = scan_video(video)
        assert (beside.read([0, 1, 2, 3], info, info.size) == clip.trajectory.labels).all()
        assert (beside.read([2], info, (16, 32)) == clip.trajectory.labels[2:3, 1::2, 1::2]).all()


def test_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS)
    assert (read(tmp_path / "a.npy") == LABELS).all()
    np.save(
        tmp_path / "b.npy", np.where(LABELS == Label.OBJECT, 70, np.where(LABELS == Label.ACTOR, 4, 9)).astype("i8")
    )
    assert (read(tmp_path / "b.npy", (4, 70)) == LABELS).all()
    np.save(tmp_path / "c.npy", LABELS == Label.OBJECT)
    assert (read(tmp_path / "c.npy") == np.where(LABELS == Label.OBJECT, 2, 0)).all()
    parts = {"actor": LABELS == Label.ACTOR, "object": LABELS == Label.OBJECT}
    np.savez(tmp_path / "d.npz", **parts)
    assert (read(tmp_path / "d.npz") == LABELS).all()
    np.savez_compressed(tmp_path / "e.npz", **{"12": parts["actor"], "7": parts["object"], "1": parts["object"]})
    assert (read(tmp_path / "e.npz", (12, 7)) == LABELS).all()
    (tmp_path / "f_masks").mkdir()
    for index in range(T):
        np.savez(tmp_path / "f_masks" / f"frame{index}.npz", **{name: part[index] for name, part in parts.items()})
    assert (read(tmp_path / "f_masks") == LABELS).all()


def test_pictures_of_numbers_and_of_things(tmp_path: Path) -> None:
    """DAVIS and SAM 2: palette or grey numbers, or a folder for each thing, which may lack frames."""
    assert (read(pictures(tmp_path / "numbers", LABELS * 5), (5, 10)) == LABELS).all()
    for label, number in ((Label.ACTOR, "004"), (Label.OBJECT, "002")):
        pictures(tmp_path / "things" / number, label == LABELS)
    pictures(tmp_path / "things" / "000", LABELS < 9)
    (tmp_path / "things" / "004" / "00001.png").unlink()
    wanted = LABELS.copy()
    wanted[1][wanted[1] == Label.ACTOR] = 0
    assert (read(tmp_path / "things", (4, 2)) == wanted).all()
    with pytest.raises(InputError, match=r"number 0, which is no label.*actor_index"):
        read(tmp_path / "things")


def test_davis_tree(tmp_path: Path) -> None:
    frames = pictures(tmp_path / "JPEGImages" / "480p" / "bear", LABELS)
    pictures(tmp_path / "Annotations" / "480p" / "bear", LABELS)
    masks = find_masks(frames, "bear", (1, 2))
    assert (np.stack(list(masks.read([0, 2]))) == LABELS[[0, 2]]).all()
    assert (MasksBeside(frames, (1, 2)).read([1], INFO, (H, W)) == LABELS[1:2]).all()


def runs(mask: np.ndarray, text: bool) -> dict[str, Any]:
    return {"size": [H, W], "counts": rle_compress(mask)} if text else {**rle_encode(mask)}


@pytest.mark.parametrize("text", [True, False])
def test_coco_forms(text: bool, tmp_path: Path) -> None:
    actor, thing = ([runs(frame == label, text) for frame in LABELS] for label in (Label.ACTOR, Label.OBJECT))
    by_image = [
        {"image_id": 10 + t, "category_id": 3, "track_id": number, "segmentation": found[t]}
        for number, found in ((8, actor), (5, thing))
        for t in range(T)
    ]
    images = [{"id": 10 + t} for t in reversed(range(T))]
    forms: dict[str, tuple[Any, tuple[int, int] | None]] = {
        "vis": ({"annotations": [{"id": 1, "segmentations": actor}, {"id": 2, "segmentations": thing}]}, None),
        "images": ({"images": images, "annotations": by_image}, (8, 5)),
        "masklet": ({"masklet": [list(pair) for pair in zip(thing, actor, strict=True)]}, (2, 1)),
        "things": ({"31": actor, "4": thing}, (31, 4)),
    }
    for name, (value, numbers) in forms.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(value))
        assert (read(tmp_path / f"{name}.json", numbers) == LABELS).all(), name
    (tmp_path / "alone.json").write_text(json.dumps([thing[0], None, thing[2]]))
    found = read(tmp_path / "alone.json")
    assert (found[[0, 2]] == np.where(LABELS == 2, 2, 0)[[0, 2]]).all()
    assert not found[1].any()


def test_compressed_run_lengths_are_those_of_pycocotools() -> None:
    """Texts that pycocotools 2.0.11 gave for these masks."""
    mask = np.zeros((7, 5), dtype=np.bool_)
    mask[2:5, 1:4] = True
    assert rle_compress(mask) == COMPRESSED
    assert (rle_expand(COMPRESSED, (7, 5)) == mask).all()
    rng = np.random.default_rng(0)
    for share in (0.0, 0.01, 0.5, 0.99, 1.0):
        noise = rng.random((83, 61)) < share
        assert (rle_expand(rle_compress(noise), noise.shape) == noise).all()
        assert (rle_decode(rle_encode(noise)) == noise).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([{"size": [H, W], "counts": "~~"}], "no compressed run lengths"),
        ([{"size": [H, W], "counts": "P"}], "cut off"),
        ([{"size": [H, W], "counts": [1, 2]}], "do not add up"),
        ([{"size": [10**6, 10**6], "counts": [10**12]}], "do not add up"),
        ([{"size": [H, W], "counts": [2**62] * 4 + [H * W]}], "do not add up"),
        ([{"size": [-H, -W], "counts": [H * W]}], "do not add up"),
        ([{"counts": [1]}], "size"),
        ([None, {"size": [H], "counts": [1]}], "size"),
        ({"9" * 5000: [None]}, "no known form"),
        ([[[0, 0, 5, 5]]], "masks"),
        ({"shapes": []}, "no known form"),
        ({"images": [{"id": 1}], "annotations": [{"image_id": 2, "segmentation": None}]}, "image_id"),
        ([None], "no masks"),
    ],
)
def test_damaged_run_lengths_are_said(value: Any, message: str, tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=message) as caught:
        list(open_masks(path, None).read([0]))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pipe.npy", "pipe.npz", "pipe.json", "pipe_labels.npz"])
def test_a_pipe_is_not_waited_for(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=name):
        open_masks(tmp_path / name, None)


def test_damaged_arrays_are_said(tmp_path: Path) -> None:
    def refused(name: str, message: str) -> None:
        with pytest.raises(InputError, match=message):
            list(open_masks(tmp_path / name, None).read([0]))

    np.save(tmp_path / "fractions.npy", LABELS.astype(np.float32))
    refused("fractions.npy", "float32.*threshold")
    np.save(tmp_path / "flat.npy", LABELS[0])
    refused("flat.npy", r"\[T, H, W\]")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "fractions.npy").read_bytes()[:200])
    refused("cut.npy", "damaged")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    refused("objects.npy", "damaged")
    np.savez(tmp_path / "names.npz", left=LABELS, right=LABELS)
    refused("names.npz", "name them actor and object")
    pictures(tmp_path / "gap_masks" / "001", LABELS)
    (tmp_path / "gap_masks" / "001" / "00001.png").unlink()
    refused("gap_masks", "jumps")
    np.save(tmp_path / "short.npy", LABELS[:2])
    (tmp_path / "short.npy").rename(tmp_path / "clip_masks.npy")
    with pytest.raises(InputError, match="found 2 frames of 9x6 pixels for a video of 3 frames"):
        MasksBeside(tmp_path / "clip.mp4").read([0], INFO, (H, W))
