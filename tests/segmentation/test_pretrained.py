"""Back ends by name."""

from pathlib import Path

import pytest

from mask2iv.errors import InputError
from mask2iv.segmentation.pretrained import load_detector, load_segmenter, load_video_segmenter


def test_what_needs_no_weights() -> None:
    assert load_detector("motion").quality == "motion"
    assert load_video_segmenter("flow").quality == "grabcut+flow"
    assert load_segmenter("grabcut").name == "grabcut"


def test_wrong_names_and_weights_are_told_on_one_line(tmp_path: Path) -> None:
    calls = {
        r"^detector: must be motion or grounding-dino, found 'yolo'": lambda: load_detector("yolo"),
        r"^segmenter: must be flow, onnx or sam2, found 'x'": lambda: load_video_segmenter("x"),
        r"^own: must be grabcut or onnx, found ''": lambda: load_segmenter("", field="own"),
        r"^detector_weights: motion has no weights": lambda: load_detector("motion", tmp_path),
        r"^segmenter_weights: flow has no weights": lambda: load_video_segmenter("flow", tmp_path),
        r"^segmenter_weights: onnx needs the folder": lambda: load_segmenter("onnx"),
        r"^weights sam2: .* is not a SAM 2 video model": lambda: load_video_segmenter("sam2", tmp_path),
        r"^weights grounding-dino: .* is not a": lambda: load_detector("grounding-dino", tmp_path),
    }
    for message, call in calls.items():
        with pytest.raises(InputError, match=message) as told:
            call()
        assert "\n" not in str(told.value)


def test_a_missing_pair_is_told(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    for load in (load_segmenter, load_video_segmenter):
        with pytest.raises(InputError, match=r"^segmenter_weights: no encoder\.onnx in "):
            load("onnx", tmp_path)
