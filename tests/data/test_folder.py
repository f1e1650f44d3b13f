"""Videos as they come from cameras and other programs: times, shapes, names and masks of every kind."""

from __future__ import annotations

import tracemalloc
import unicodedata
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mask2iv.contract import Clip, Label, Trajectory, UInt8Array
from mask2iv.data.folder import FolderConfig, choose_frames, clip_id_of, find_sources, read_clips
from mask2iv.errors import InputError
from mask2iv.media.images import resize_mask, write_png
from mask2iv.media.videos import write_video
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.storage import save_trajectory_file, save_trajectory_folder

CASES = Path(__file__).parents[2] / ".." / "shared" / "cases"
HEIGHT, WIDTH = 48, 64
WHOLE = FolderConfig((24, 32), 4, 8.0)


def scene(total: int, height: int = HEIGHT, width: int = WIDTH) -> tuple[UInt8Array, UInt8Array]:
    """Video and labels; the grey of frame i is 40 + 10 i, and its object has moved by i pixels."""
    labels = np.zeros((total, height, width), dtype=np.uint8)
    for index, frame in enumerate(labels):
        frame[height // 3 : height // 2, 4 + index : 20 + index] = Label.OBJECT
        frame[height // 2 : height // 2 + 8, 4 + index : 20 + index] = Label.ACTOR
    grey = (40 + 10 * np.arange(total)).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (*labels.shape, 3)).copy(), labels


def the_clips(folder: Path, config: FolderConfig = WHOLE) -> list[Clip]:
    """The clips of the one video of a folder."""
    name = next(path.stem for path in folder.iterdir() if path.suffix.lower() in (".mp4", ".mkv", ".avi"))
    if not (folder / "captions.csv").exists():
        (folder / "captions.csv").write_text(f"clip,caption\n{name.removesuffix('_labels')},a hand lifting a cup\n")
    [source], problems = find_sources(folder)
    assert not problems
    return read_clips(source, config)


# --- time


@pytest.mark.parametrize(
    ("take", "fps", "expected"),
    [
        # 30 frames a second until 0.2 s, then 5 a second: 0, 1/30, ..., 0.2, 0.4, 0.6, ..., 2.0.
        ("whole", 5.0, [[0, 8, 12, 15]]),  # nearest to 0, 0.67, 1.33 and 2 s
        ("start", 5.0, [[0, 6, 7, 8]]),
        ("windows", 5.0, [[0, 6, 7, 8], [9, 10, 11, 12]]),
        ("start", 2.5, [[0, 7, 9, 11]]),
    ],
)
def test_frames_are_taken_by_their_time_stamps(
    take: str, fps: float, expected: list[list[int]], encoding: ModuleType, tmp_path: Path
) -> None:
    times = [*(index / 30 for index in range(7)), *(0.2 * index for index in range(2, 11))]
    video, labels = scene(len(times))
    encoding.encode(tmp_path / "v.mp4", video, times=times)
    save_trajectory_folder(Trajectory(labels), tmp_path / "v_masks")
    found = the_clips(tmp_path, FolderConfig((HEIGHT, WIDTH), 4, fps, take))  # type: ignore[arg-type]
    assert [clip.metadata["source_frames"] for clip in found] == expected
    for clip, frames in zip(found, expected, strict=True):
        assert clip.metadata["source_times"] == pytest.approx([times[index] for index in frames], abs=1e-3)
        assert clip.video[:, 0, 0, 0] == pytest.approx([40 + 10 * index for index in frames], abs=2)
        np.testing.assert_array_equal(clip.trajectory.labels, labels[frames])


def test_a_picture_that_stands_still_is_taken_again() -> None:
    times = np.array([0.0, 0.1, 0.2, 1.2, 1.3])
    assert choose_frames(times, 4 / 1.3, FolderConfig(num_frames=5)) == [[0, 2, 2, 3, 4]]


def test_too_few_frames_and_too_short_videos_are_refused() -> None:
    times = np.arange(10) / 10
    for config, field in (
        (FolderConfig(num_frames=11), "num_frames"),
        (FolderConfig(num_frames=4, fps=12, take="start"), "fps"),
        (FolderConfig(num_frames=8, fps=5, take="windows"), "num_frames"),
    ):
        with pytest.raises(InputError) as error:
            choose_frames(times, 10.0, config)
        assert error.value.field == field
    # Time stamps in milliseconds are those of 30 frames a second.
    assert choose_frames(np.round(np.arange(8) / 30, 3), 29.98, FolderConfig(num_frames=8, fps=30, take="start"))


# --- shape and size


@pytest.mark.parametrize("kind", ["stored", "square", "video"])
def test_masks_follow_pixels_that_are_not_square(kind: str, encoding: ModuleType, tmp_path: Path) -> None:
    """Stored 64x48 and shown 96x48: masks of either size, or a label video with such pixels."""
    video, labels = scene(6)
    encoding.encode(tmp_path / "v.mp4", video, pixel_aspect=Fraction(3, 2))
    wide = resize_mask(labels, (HEIGHT, 96))
    if kind == "video":
        encoding.encode(tmp_path / "v_labels.mp4", labels_to_rgb(labels), pixel_aspect=Fraction(3, 2))
    else:
        save_trajectory_folder(Trajectory(labels if kind == "stored" else wide), tmp_path / "v_masks")
    [clip] = the_clips(tmp_path, FolderConfig((HEIGHT, 96), 4, 8.0))
    assert (clip.trajectory.labels == wide[clip.metadata["source_frames"]]).mean() > 0.995


def test_memory_is_that_of_the_frames_taken(tmp_path: Path) -> None:
    """The whole video would be 25 MB, its masks 8 MB."""
    video, labels = scene(20, 480, 872)
    write_video(tmp_path / "v.mp4", video, 10.0)
    save_trajectory_file(Trajectory(labels), tmp_path / "v_labels.npz")
    the_clips(tmp_path)  # Not counted: what is imported and cached at the first call.
    tracemalloc.start()
    [clip] = the_clips(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert clip.video.shape == (4, 24, 32, 3)
    assert peak < 6 * video[0].nbytes


@pytest.mark.skipif(not (CASES / "long-video").is_dir(), reason="the cases are not there")
def test_nine_seconds_of_full_hd_are_read(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").symlink_to((CASES / "long-video" / "long1080.mp4").resolve())
    painted = np.zeros((1080, 1920, 3), dtype=np.uint8)
    painted[400:600, 900:1100, 0] = 255
    write_png(tmp_path / "mask.png", painted)
    (tmp_path / "v_masks").mkdir()
    for index in range(540):
        (tmp_path / "v_masks" / f"{index:04d}.png").symlink_to(tmp_path / "mask.png")
    [clip] = the_clips(tmp_path)
    assert clip.metadata["source_frames"] == [0, 180, 359, 539]
    assert clip.metadata["source_times"][-1] == pytest.approx(539 / 60)


# --- masks


def test_an_array_needs_no_rate_and_may_hold_any_integers(tmp_path: Path) -> None:
    video, labels = scene(6)
    write_video(tmp_path / "v.mp4", video, 10.0)
    for stored in (labels, labels.astype(np.int64), np.asfortranarray(labels)):
        np.savez(tmp_path / "v_labels.npz", labels=stored)
        [clip] = the_clips(tmp_path)
        np.testing.assert_array_equal(clip.trajectory.labels, labels[[0, 2, 3, 5], 1::2, 1::2])


def test_an_array_without_frames_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", scene(6)[0], 10.0)
    np.savez(tmp_path / "v_labels.npz", labels=np.zeros((0, HEIGHT, WIDTH), dtype=np.uint8))
    with pytest.raises(InputError, match="masks: there are none in the file"):
        the_clips(tmp_path)


def test_smoothed_outlines_are_snapped(tmp_path: Path) -> None:
    """Anti-aliased pictures are read as the label video of the same labels is."""
    video, labels = scene(6)
    write_video(tmp_path / "v.mp4", video, 10.0)
    (tmp_path / "v_masks").mkdir()
    for index, frame in enumerate(labels_to_rgb(labels)):
        large = Image.fromarray(frame).resize((WIDTH * 4, HEIGHT * 4), Image.Resampling.NEAREST)
        soft = large.filter(ImageFilter.GaussianBlur(3)).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
        soft.save(tmp_path / "v_masks" / f"{index:04d}.png")
        assert len(soft.getcolors()) > 6
    [clip] = the_clips(tmp_path, FolderConfig((HEIGHT, WIDTH), 6, 10.0))
    assert (clip.trajectory.labels == labels).mean() > 0.995


def test_areas_in_other_colours_are_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "v.mp4", scene(6)[0], 10.0)
    for colour in ((128, 0, 0), (255, 255, 255)):
        (tmp_path / "v_masks").mkdir(exist_ok=True)
        for index in range(6):
            painted = labels_to_rgb(scene(6)[1][index])
            painted[2:9, 30:37] = colour
            Image.fromarray(painted).save(tmp_path / "v_masks" / f"{index:04d}.png")
        with pytest.raises(InputError, match=r"0000\.png has the colour .* which is no label"):
            the_clips(tmp_path)


@pytest.mark.parametrize("suffix", [".MP4", ".Npz", ".npz"])
def test_endings_are_found_in_any_case(suffix: str, tmp_path: Path) -> None:
    video, labels = scene(6)
    write_video(tmp_path / "v.mp4", video, 10.0)
    (tmp_path / "v.mp4").rename(tmp_path / "v.MP4")
    write_video(tmp_path / "masks.mp4", labels_to_rgb(labels), 10.0, crf=4, pixel_format="yuv444p")
    save_trajectory_file(Trajectory(labels), tmp_path / "masks.npz")
    (tmp_path / f"masks{suffix.lower()}").rename(tmp_path / f"v_labels{suffix}")
    for rest in tmp_path.glob("masks.*"):
        rest.unlink()
    (tmp_path / "._v.mp4").write_bytes(b"what macOS leaves beside files")
    (tmp_path / "captions.csv").write_text("clip,caption\nv,a hand lifting a cup\n")
    [clip] = the_clips(tmp_path)
    assert (clip.trajectory.labels == labels[[0, 2, 3, 5], 1::2, 1::2]).mean() > 0.99


@pytest.mark.skipif(not (CASES / "masks").is_dir(), reason="the cases are not there")
@pytest.mark.parametrize("case", ["masks/npz", "masks/soft_edges", "captions/newline", "variable-frame-rate"])
def test_cases_from_real_life(case: str) -> None:
    [clip] = the_clips(CASES / case)
    assert clip.caption.startswith("a hand ")
    assert clip.trajectory.object.any()


# --- names


def test_ids_keep_ascii_names_and_tell_others_apart() -> None:
    assert clip_id_of("label video") == "label-video"
    assert clip_id_of("cup-01_b") == "cup-01_b"
    ids = [clip_id_of(name) for name in ("杯子", "瓶子", "чашка", "tasse à café", "!!!", "...")]
    assert len(set(ids)) == len(ids)
    assert len(ids[0]) == 8
    assert ids[3].startswith("tasse-")
    assert all(identifier.isascii() and identifier.strip("-") for identifier in ids)
    assert clip_id_of("杯子") == ids[0], "the same each time"


def test_names_are_equal_however_they_are_composed(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    video, labels = scene(6)
    write_video(tmp_path / f"{apart}.mp4", video, 10.0)
    save_trajectory_folder(Trajectory(labels), tmp_path / f"{composed}_masks")
    (tmp_path / "captions.csv").write_text(f"clip,caption\n{composed},a hand lifting a cup\n")
    [clip] = the_clips(tmp_path)
    assert clip.caption == "a hand lifting a cup"
    assert clip.clip_id == clip_id_of(composed)


def test_centre_takes_the_middle_as_the_original_does(tmp_path: Path) -> None:
    """The shorter side becomes 1.2 times the height; of that the middle is taken."""
    video, labels = scene(6)
    write_video(tmp_path / "v.mp4", video, 8.0)
    save_trajectory_file(Trajectory(labels), tmp_path / "v_labels.npz")
    [clip] = the_clips(tmp_path, FolderConfig((20, 24), 4, 8.0, fit="centre", fit_scale=1.2))
    scaled = resize_mask(labels[clip.metadata["source_frames"]], (24, 32))
    assert (clip.trajectory.labels == scaled[:, 2:22, 4:28]).all()
    with pytest.raises(InputError, match="fit_scale"):
        FolderConfig(fit="crop", fit_scale=1.2)
