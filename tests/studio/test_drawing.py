"""Pictures as users give them, objects as they mark them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mask2iv.errors import InputError
from mask2iv.media.videos import write_video
from mask2iv.segmentation.grabcut import GrabCut
from mask2iv.studio.drawing import MOST_SIDE, Drawing, Pose, brushed, posed


@pytest.fixture
def drawing() -> Drawing:
    return Drawing.sample("cup")


def test_a_sample_comes_with_object_target_and_prompt(drawing: Drawing) -> None:
    mask, target = drawing.mask(), drawing.target
    assert mask is not None
    assert target is not None
    assert mask.shape == target.shape == drawing.size
    assert "cup" in drawing.prompt


def test_a_click_finds_the_object(drawing: Drawing) -> None:
    mask = drawing.mask()
    assert mask is not None
    rows, columns = np.nonzero(mask)
    drawing.clear()
    assert drawing.mask() is None
    drawing.segment((float(columns.mean()), float(rows.mean())), GrabCut())
    found = drawing.mask()
    assert found is not None
    assert (found & mask).sum() > 0.5 * mask.sum()


def test_a_box_that_leaves_the_picture_is_cut(drawing: Drawing) -> None:
    height, width = drawing.size
    drawing.segment((width - 100.0, height - 100.0, 300.0, 300.0), GrabCut())
    assert drawing.mask() is not None


def test_brush_and_eraser_and_the_way_back(drawing: Drawing) -> None:
    before = drawing.mask()
    assert before is not None
    drawing.paint([(10, 10), (40, 10)], 8)
    painted = drawing.mask()
    assert painted is not None
    assert painted[10, 25]
    assert painted[13, 25]
    assert not painted[20, 25]
    drawing.paint([(25, 10)], 8, add=False)
    erased = drawing.mask()
    assert erased is not None
    assert not erased[10, 25]
    drawing.undo()
    drawing.undo()
    assert (drawing.mask() == before).all()
    drawing.undo()  # nothing is left to undo
    assert (drawing.mask() == before).all()


def test_the_actor_is_marked_beside_the_object(drawing: Drawing) -> None:
    drawing.paint([(200, 20)], 10, marked="actor")
    actor = drawing.mask("actor")
    assert actor is not None
    assert actor[20, 200]
    assert drawing.target is not None, "the object is the same, so is its end"


def test_another_object_has_no_target(drawing: Drawing) -> None:
    drawing.paint([(10, 10)], 8)
    assert drawing.target is None


def test_a_target_is_the_object_elsewhere(drawing: Drawing) -> None:
    mask = drawing.mask()
    assert mask is not None
    drawing.place(Pose(right=30, down=-10, scale=1.5))
    target = drawing.target
    assert target is not None
    assert target.sum() == pytest.approx(mask.sum() * 2.25, rel=0.1)
    assert np.nonzero(target)[1].mean() == pytest.approx(np.nonzero(mask)[1].mean() + 30, abs=1)
    drawing.place(Pose(right=10_000))
    with pytest.raises(InputError, match="outside the picture"):
        drawing.target  # noqa: B018


def test_a_turn_is_clockwise() -> None:
    mask = np.zeros((40, 40), dtype=np.bool_)
    mask[18:22, 20:34] = True
    turned = posed(mask, Pose(rotate=90))
    rows, columns = np.nonzero(turned)
    assert np.ptp(rows) > np.ptp(columns)


@pytest.mark.parametrize("pose", [{"scale": 0.0}, {"scale": 100.0}, {"right": float("nan")}, {"rotate": float("inf")}])
def test_impossible_poses_are_refused(pose: dict[str, float]) -> None:
    with pytest.raises(InputError, match="target"):
        Pose(**pose)


@pytest.mark.parametrize("points", [[], [(1.0,)], [(float("nan"), 1.0)]])
def test_impossible_strokes_are_refused(points: list[tuple[float, float]]) -> None:
    with pytest.raises(InputError, match="stroke"):
        brushed(points, 5, (10, 10))


def test_far_strokes_end_at_the_border() -> None:
    assert brushed([(-1e9, 5), (1e9, 5)], 2, (10, 10))[5].all()


def test_a_large_picture_is_reduced() -> None:
    drawing = Drawing.of("wide", np.zeros((100, 2 * MOST_SIDE, 3), dtype=np.uint8))
    assert drawing.size == (50, MOST_SIDE)


def test_the_first_frame_of_a_video_is_taken(tmp_path: Path) -> None:
    frames = np.zeros((3, 32, 48, 3), dtype=np.uint8)
    frames[0] = 200
    write_video(tmp_path / "film.mp4", frames, 8)
    picture = Drawing.read(tmp_path / "film.mp4").picture
    assert picture.shape == (32, 48, 3)
    assert picture.mean() > 190


def test_files_are_refused_in_one_line_without_their_folder(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<script>alert(1)</script>")
    (tmp_path / "fake.png").write_bytes(b"no picture")
    (tmp_path / "fake.mp4").write_bytes(b"no video")
    (tmp_path / "empty.jpg").write_bytes(b"")
    Image.new("RGB", (4, 4)).save(tmp_path / "dot.png")
    for name in ("page.html", "fake.png", "fake.mp4", "empty.jpg", "dot.png"):
        with pytest.raises(InputError) as caught:
            Drawing.read(tmp_path / name)
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.field == "picture"
