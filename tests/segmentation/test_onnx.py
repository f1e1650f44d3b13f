"""A MobileSAM-format ONNX pair on real pictures, where one is at hand; and what is said where it is not one."""

import os
from pathlib import Path

import numpy as np
import pytest
from tests.segmentation.onnx_pair import DECODER, model, node, stored_elsewhere, write_pair

from mask2iv.errors import InputError
from mask2iv.media.images import read_image
from mask2iv.segmentation.onnx import OnnxSegmenter, find_pair
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.measures import iou

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "real"
PAIR = os.environ.get("MASK2IV_SAM_ONNX")
needs_pair = pytest.mark.skipif(PAIR is None, reason="MASK2IV_SAM_ONNX names no folder with a MobileSAM-format pair")


@needs_pair
@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "box", "point"), [("bridge_can", 0.8, 0.55), ("cups", 0.9, 0.9), ("rt1_coke", 0.9, 0.6)]
)
def test_real_objects_from_a_box_and_a_point(name: str, box: float, point: float) -> None:
    image = read_image(REAL / name / "image.png")
    mask = load_mask(REAL / name / "object_mask.png", image.shape[:2])
    rows, columns = np.nonzero(mask)
    segment = OnnxSegmenter.from_folder(Path(str(PAIR)))
    around = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert iou(segment(image, around), mask) > box
    assert iou(segment(image, (columns.mean(), rows.mean())), mask) > point


@needs_pair
def test_prompts_are_checked_and_the_embedding_is_that_of_the_picture() -> None:
    segment = OnnxSegmenter.from_folder(Path(str(PAIR)))
    image = np.full((48, 64, 3), (150, 140, 120), dtype=np.uint8)
    image[15:30, 20:40] = (200, 40, 40)
    mask = np.all(image == (200, 40, 40), axis=-1)
    first = segment(image, (18, 13, 24, 19))
    assert iou(first, mask) > 0.9
    moved = np.roll(image, 10, axis=1)
    assert iou(segment(moved, (28, 13, 24, 19)), np.roll(mask, 10, axis=1)) > 0.9
    assert np.array_equal(segment(image, (18, 13, 24, 19)), first)
    for prompt, problem in (((1, 2, 3), "a box"), ((70, 5), "lies outside"), ((50, 5, 20, 10), "leaves the image")):
        with pytest.raises(InputError, match=rf"^object_box: .*{problem}"):
            segment(image, prompt, "object_box")


def test_files_that_are_no_pair_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^segmenter_weights: no encoder\.onnx in "):
        find_pair(tmp_path)
    (tmp_path / "encoder.onnx").write_bytes(b"not a network")
    with pytest.raises(InputError, match=r"^segmenter_weights: no decoder\.onnx or sam\.onnx in "):
        find_pair(tmp_path)
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "sam.onnx").write_bytes(b"neither")
    assert find_pair(tmp_path) == (tmp_path / "encoder.onnx", tmp_path / "dist" / "sam.onnx")
    pytest.importorskip("onnxruntime")
    with pytest.raises(InputError, match=r"^segmenter_weights: .*encoder\.onnx is not an ONNX network"):
        OnnxSegmenter.from_folder(tmp_path)


def test_a_network_that_cannot_be_computed_is_told(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    image = np.full((48, 64, 3), 90, dtype=np.uint8)
    folder = write_pair(tmp_path / "pair")
    mask = OnnxSegmenter.from_folder(folder)(image, (3, 3, 9, 9))
    assert mask[18:30, 24:40].all()
    assert mask.sum() == 12 * 16
    # A decoder whose mask is the picture's size, one that takes another embedding, and one without masks.
    inputs = {**DECODER, "image_embeddings": (1, 256, 64, 64)}
    for decoder, message in (
        (model([node("Identity", ["orig_im_size"], ["masks"])], DECODER, {"masks": (2,)}), "gives no masks"),
        (model([node("Identity", ["orig_im_size"], ["masks"])], inputs, {"masks": (2,)}), "cannot be computed"),
        (model([node("Identity", ["orig_im_size"], ["size"])], DECODER, {"size": (2,)}), "cannot be computed"),
    ):
        (folder / "decoder.onnx").write_bytes(decoder)
        with pytest.raises(InputError, match=rf"^segmenter_weights: .*decoder\.onnx {message}"):
            OnnxSegmenter.from_folder(folder)(image, (3, 3, 9, 9))
    # Values outside of the folder stay unread.
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    for place in ("../secret.bin", str(tmp_path / "secret.bin")):
        weights = stored_elsewhere("w", [4, 4], place)
        network = model([node("MatMul", ["x", "w"], ["y"])], {"x": (4, 4)}, {"y": (4, 4)}, [weights])
        (folder / "encoder.onnx").write_bytes(network)
        with pytest.raises(InputError, match="is not an ONNX network"):
            OnnxSegmenter.from_folder(folder)
