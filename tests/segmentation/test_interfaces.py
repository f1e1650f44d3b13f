"""The segmenter and the trackers, used through their interfaces."""

from pathlib import Path

import numpy as np
import pytest

from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.segmentation.grabcut import GrabCut, mask_from_box, mask_from_point
from mask2iv.segmentation.interfaces import Segmenter, Tracker
from mask2iv.segmentation.motion import MotionTracker, resegment


def test_grabcut_takes_a_box_or_a_point() -> None:
    image = np.full((48, 64, 3), (150, 140, 120), dtype=np.uint8)
    image[15:30, 20:40] = (200, 40, 40)
    segment: Segmenter = GrabCut()
    assert np.array_equal(segment(image, (14, 10, 34, 28)), mask_from_box(image, (14, 10, 34, 28)))
    assert np.array_equal(segment(image, (30, 22)), mask_from_point(image, (30, 22)))
    with pytest.raises(InputError, match=r"^prompt: must be a box \(x, y, w, h\) or a point"):
        segment(image, (1, 2, 3))
    with pytest.raises(InputError, match=r"^object_point: x=64 y=2 lies outside"):
        segment(image, (64, 2), "object_point")


def test_tracking_by_motion_starts_from_the_first_labels(tiny_clips: Path) -> None:
    clip = ClipSet(tiny_clips)[0]
    first = clip.trajectory.labels[0]
    track: Tracker = MotionTracker()
    found = track(clip.video, first, 12.0)
    assert found.fps == 12.0
    assert np.array_equal(found.labels, resegment(clip.video, first).labels)
    for wrong, message in ((first[:-1], "must be labels of the video's size"), (np.zeros_like(first), "show the obj")):
        with pytest.raises(InputError, match=f"^first: .*{message}"):
            track(clip.video, wrong)
