"""A folder of one's own videos becomes a clip set; what is wrong with it is said at once."""

from __future__ import annotations

import json
import resource
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mask2iv.cli import main
from mask2iv.contract import Label, Trajectory, UInt8Array
from mask2iv.data.store import ClipSet
from mask2iv.media.fitting import fit_clip
from mask2iv.media.images import write_png
from mask2iv.media.videos import write_video
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.storage import save_trajectory_file, save_trajectory_folder

TOTAL, HEIGHT, WIDTH, RATE = 12, 48, 64, 24.0


def scene(left: int = 10) -> tuple[UInt8Array, UInt8Array]:
    """A red block that moves one pixel a frame, an actor behind it."""
    labels = np.zeros((TOTAL, HEIGHT, WIDTH), dtype=np.uint8)
    for index, frame in enumerate(labels):
        frame[20:32, left + index : left + index + 12] = Label.OBJECT
        frame[20:32, max(left + index - 8, 0) : left + index] = Label.ACTOR
    video = np.full((*labels.shape, 3), 120, dtype=np.uint8)
    video[labels == Label.OBJECT] = (200, 60, 40)
    return video, labels


def write_captions(folder: Path, *rows: str) -> None:
    (folder / "captions.csv").write_text("clip,caption,verb,object,actor\n" + "".join(f"{row}\n" for row in rows))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three videos with each kind of masks."""
    path = tmp_path / "videos"
    video, labels = scene()
    for name in ("palette", "label video", "array"):
        write_video(path / f"{name}.mp4", video, RATE)
    save_trajectory_folder(Trajectory(labels, RATE), path / "palette_masks")
    write_video(path / "label video_labels.mp4", labels_to_rgb(labels), RATE)
    save_trajectory_file(Trajectory(labels, RATE), path / "array_labels.npz")
    write_captions(
        path,
        '"palette","a hand pushing a box, slowly",pushing,box,',
        "label video.mp4,,lifting,orange,robot",
        "array,a b,,,",
    )
    return path


def clips(folder: Path, out: Path, *flags: str) -> int:
    return main(["clips", str(folder), "--out", str(out), "--size", "24x32", "--frames", "4", *flags])


def test_every_kind_of_masks_gives_the_same_clip(folder: Path, tmp_path: Path) -> None:
    assert clips(folder, tmp_path / "set") == 0
    found = ClipSet(tmp_path / "set")
    assert found.ids == ["array", "label-video", "palette"]
    assert (found.size, found.num_frames, found.fps) == ((24, 32), 4, 8.0)
    exact = scene()[1][[0, 4, 7, 11], 1::2, 1::2]
    for index, clip in enumerate(found):
        agreement = (clip.trajectory.labels == exact).mean()
        assert agreement == 1 or (found.ids[index] == "label-video" and agreement > 0.99)
        assert abs(clip.video[0][~(exact[0] > 0)].astype(int) - 120).max() < 16
        assert clip.metadata["source_frames"] == [0, 4, 7, 11]
        assert clip.metadata["source_fps"] == RATE
        assert clip.metadata["source_times"] == pytest.approx([0, 4 / RATE, 7 / RATE, 11 / RATE], abs=1e-6)
    by_id = {row["clip_id"]: row for row in found.rows}
    assert by_id["palette"]["caption"] == "a hand pushing a box, slowly"
    assert by_id["label-video"]["caption"] == "a robot arm lifting an orange"
    assert (by_id["label-video"]["actor"], by_id["array"]["actor"]) == ("robot", "hand")
    assert found.info["provenance"]["generator"] == "mask2iv clips"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--take", "start", "--fps", "12"], {"array": [0, 2, 4, 6]}),
        (["--take", "windows", "--fps", "24"], {f"array-{i:03d}": [4 * i + k for k in range(4)] for i in range(3)}),
    ],
)
def test_which_frames_are_taken(flags: list[str], expected: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    assert clips(folder, tmp_path / "set", *flags) == 0
    rows = [row for row in ClipSet(tmp_path / "set").rows if row["clip_id"].startswith("array")]
    assert {row["clip_id"]: row["metadata"]["source_frames"] for row in rows} == expected


def test_masks_of_numbers(folder: Path, tmp_path: Path) -> None:
    """As segmenters write them: a palette of their own, or grey values."""
    numbers = np.choose(scene()[1], [0, 7, 3]).astype(np.uint8)
    for name in ("palette", "array", "label video"):
        for path in [*folder.glob(f"{name}_*/*"), *folder.glob(f"{name}_labels.*")]:
            path.unlink()
        (folder / f"{name}_masks").mkdir(exist_ok=True)
        for index, frame in enumerate(numbers):
            image = Image.fromarray(frame)
            if name == "palette":
                image = Image.fromarray(frame, mode="P")
                image.putpalette(list(range(256)) * 3)
            image.save(folder / f"{name}_masks" / f"{index:05d}.png")
    assert clips(folder, tmp_path / "set") == 2
    assert clips(folder, tmp_path / "set", "--actor-index", "7", "--object-index", "3") == 0
    for clip in ClipSet(tmp_path / "set"):
        assert (clip.trajectory.labels == scene()[1][[0, 4, 7, 11], 1::2, 1::2]).all()


def spoil_masks(folder: Path) -> None:
    (folder / "palette_masks" / "0011.png").unlink()


def spoil_size(folder: Path) -> None:
    save_trajectory_file(Trajectory(scene()[1][:, :40], RATE), folder / "array_labels.npz")


def spoil_video(folder: Path) -> None:
    path = folder / "array.mp4"
    path.write_bytes(path.read_bytes()[:900])


def spoil_object(folder: Path) -> None:
    labels = scene()[1]
    labels[0][labels[0] == Label.OBJECT] = 0
    save_trajectory_file(Trajectory(labels, RATE), folder / "array_labels.npz")


def spoil_colours(folder: Path) -> None:
    write_video(folder / "label video_labels.mp4", scene()[0], RATE)


def no_masks(folder: Path) -> None:
    (folder / "array_labels.npz").unlink()


def no_caption(folder: Path) -> None:
    write_captions(folder, "palette,a,,,", "label video,b,,,")


def no_video(folder: Path) -> None:
    (folder / "array.mp4").unlink()


def bad_actor(folder: Path) -> None:
    write_captions(folder, "palette,a,,,", "label video,b,,,", "array,c,,,dog")


def half_a_caption(folder: Path) -> None:
    write_captions(folder, "palette,a,,,", "label video,b,,,", "array,,pushing,,")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_masks, "palette.mp4: masks: found 11 frames of 64x48 pixels for a video of 12 frames of 64x48"),
        (spoil_size, "array.mp4: masks: found 12 frames of 64x40"),
        (spoil_video, "array.mp4: video: "),
        (spoil_object, "array.mp4: masks: no object in frame 0"),
        (spoil_colours, "label video.mp4: masks: frame 0 of label video_labels.mp4 has the colour"),
        (no_masks, "mask2iv curate makes them"),
        (no_caption, "array.mp4: captions: the captions file has no line for it; add one"),
        (no_video, "array: the captions file names it, but there is no such video"),
        (bad_actor, "array.mp4: actor: must be hand or robot, found 'dog'"),
        (
            half_a_caption,
            "array.mp4: captions: its line in the captions file has no caption; give one, or verb and object",
        ),
    ],
)
def test_a_bad_clip_stops_all_or_is_left_out(
    spoil: Any, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(folder)
    assert clips(folder, tmp_path / "set") == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["videos"], "nothing half-written"
    assert clips(folder, tmp_path / "set", "--skip-bad") == 3
    assert message in capsys.readouterr().err
    assert len(ClipSet(tmp_path / "set")) == 2
    assert any(
        message.split(": ")[-1] in why for why in json.loads((tmp_path / "set" / "skipped.json").read_text()).values()
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--frames", "13"],
            "3 of 3 videos cannot be used: array.mp4: --frames: the video has 12 frames, fewer than 13",
        ),
        (
            ["--take", "start", "--fps", "30"],
            "array.mp4: --fps: the video has 24 frames per second, fewer than 30; lower it",
        ),
        (
            ["--take", "start", "--fps", "4"],
            "the video lasts 0.50 s; 4 frames at 4 per second take 1.00 s; take fewer frames, a higher frame rate, or",
        ),
        (["--actor-index", "1"], "--actor-index: must be given together with object_index, found 1 and None"),
        (["--frames", "1"], "--frames: must be at least 2, found 1"),
        (["--size", "big"], "--size: expected HEIGHTxWIDTH in pixels, for example 160x256, found 'big'"),
    ],
)
def test_flags_that_fit_no_clip(
    flags: list[str], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clips(folder, tmp_path / "set", *flags) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip,text\na,b\n", "line 2 of .*: unknown column 'text'"),
        ("clip,caption\na,b,c\n", "line 2 of .* another number of fields than the first line"),
        ("clip,caption\narray,b\narray,c\n", "line 3 of .* is a second one for array"),
        ("clip,caption\n,b\n", "line 2 of .* does not say which clip"),
        (
            None,
            r"no captions.csv \(or captions.jsonl\); write one; its columns are clip, caption, verb, object, actor",
        ),
    ],
)
def test_a_bad_captions_file(
    text: str | None, message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    (folder / "captions.csv").unlink()
    if text is not None:
        (folder / "captions.csv").write_text(text)
    assert clips(folder, tmp_path / "set", "--skip-bad") == 2
    assert re.search(message, capsys.readouterr().err)


def test_captions_as_json_lines(folder: Path, tmp_path: Path) -> None:
    (folder / "captions.csv").unlink()
    rows = [{"clip": name, "caption": f"a hand with {name}"} for name in ("palette", "label video", "array")]
    (folder / "captions.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert clips(folder, tmp_path / "set") == 0
    assert ClipSet(tmp_path / "set").rows[0]["caption"] == "a hand with array"


def test_bad_videos_are_counted_and_the_flag_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil_video(folder)  # the first of the three
    assert clips(folder, tmp_path / "set") == 2
    said = capsys.readouterr().err
    assert "folder: 1 of 3 videos cannot be used: array.mp4: video: " in said
    assert "mend them, or leave them out with --skip-bad" in said
    assert "Errno" not in said


def test_a_full_disk_is_one_line_and_leaves_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files may not grow to the size that each file of the set has, which is as on a full disk."""
    spoil_video(folder)
    assert clips(folder, tmp_path / "set", "--skip-bad") == 3
    sizes = {path.stat().st_size for path in (tmp_path / "set").rglob("*") if path.is_file()}
    shutil.rmtree(tmp_path / "set")
    capsys.readouterr()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in sorted(sizes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, before[1]))
        try:
            assert clips(folder, tmp_path / "set", "--skip-bad") == 2
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("mask2iv")]
        assert said == [
            f"mask2iv: error: --out: {tmp_path / 'set'} cannot be written: File too large; make room, or write "
            "elsewhere"
        ]
        assert [path.name for path in tmp_path.iterdir()] == ["videos"]


@pytest.mark.parametrize(("left", "kept"), [(2, 0), (40, 16)])
def test_a_crop_keeps_what_the_masks_show(left: int, kept: int) -> None:
    video, labels = scene(left)
    labels = labels[:1]
    part, masks = fit_clip(video[:1], labels, (48, 48), "crop")
    assert part.shape == (1, 48, 48, 3)
    assert (masks == labels[:, :, kept : kept + 48]).all()


def test_padding_and_stretching() -> None:
    video, labels = scene()
    part, masks = fit_clip(video, labels, (64, 64), "pad")
    assert (part[:, :8] == 0).all()
    assert (part[:, 8:56] == video).all()
    assert (masks[:, 8:56] == labels).all()
    part, masks = fit_clip(video, labels, (24, 64), "stretch")
    assert (masks == labels[:, 1::2]).all()
    assert part.shape == (TOTAL, 24, 64, 3)


def test_a_folder_without_videos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_png(tmp_path / "videos" / "a.png", scene()[0][0])
    assert clips(tmp_path / "videos", tmp_path / "set") == 2
    assert "holds no videos" in capsys.readouterr().err
    assert clips(tmp_path / "nowhere", tmp_path / "set") == 2
    assert "is not a folder" in capsys.readouterr().err
