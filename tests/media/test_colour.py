"""Colours of videos: matrix, range, wide gamut and HDR, held against the colours that were put in."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.media.videos import read_video, write_video

CASES = Path(__file__).parents[2] / ".." / "shared" / "cases"
SIDE = 16
PATCHES = np.array(
    [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 0, 255], [0, 0, 0], [255, 255, 255],
     [128, 128, 128], [64, 64, 64], [235, 235, 235], [224, 172, 105], [141, 85, 36], [20, 90, 140], [90, 20, 90],
     [250, 128, 20]],
    dtype=np.uint8,
)  # fmt: skip
TO_BT2020 = np.array([[0.627404, 0.329283, 0.043313], [0.069097, 0.919540, 0.011362], [0.016391, 0.088013, 0.895595]])
"""Linear RGB of BT.709 to that of BT.2020 (BT.2087, table 4)."""


def chart(colours: NDArray[Any], height: int = SIDE) -> NDArray[Any]:
    """Three frames of flat patches beside each other."""
    return np.repeat(np.repeat(colours, SIDE, axis=0)[None, None], 3, axis=0).repeat(height, axis=1)


def patches(path: Path) -> NDArray[np.float64]:
    """Colours of the middles of the patches in the second frame."""
    frame = read_video(path).frames[1]
    middle = frame[frame.shape[0] // 2 - 2 :][:4]
    return np.stack([middle[:, SIDE * i + 4 : SIDE * i + 12].mean(axis=(0, 1)) for i in range(len(PATCHES))])


def light() -> NDArray[np.float64]:
    """Linear light of the patches, by sRGB."""
    values = PATCHES / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of PQ's EOTF, BT.2100-2."""
    power = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(scene: NDArray[np.float64]) -> NDArray[np.float64]:
    """HLG's OETF, BT.2100-2."""
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def sixteen_bits(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.rint(np.clip(values, 0, 1) * 65535).astype(np.uint16)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p"])
def test_saturated_colours_survive_writing_and_reading(pixel_format: Any, tmp_path: Path) -> None:
    """By the wrong matrix green would be off by some 40 levels."""
    write_video(tmp_path / "a.mp4", chart(PATCHES), 10, crf=1, pixel_format=pixel_format)
    assert np.abs(patches(tmp_path / "a.mp4") - PATCHES).max() < 5


@pytest.mark.parametrize("full_range", [False, True])
@pytest.mark.parametrize(("height", "matrix", "meant"), [(16, 1, 1), (16, 6, 5), (16, 2, 5), (720, 2, 1)])
def test_matrix_and_range_are_read_or_follow_from_the_size(
    height: int, matrix: int, meant: int, full_range: bool, encoding: ModuleType, tmp_path: Path
) -> None:
    tags = encoding.Tags(matrix, encoding.UNSAID, encoding.UNSAID, full_range, sws_matrix=meant)
    path = encoding.encode(tmp_path / "a.mp4", chart(PATCHES, height), tags=tags)
    assert np.abs(patches(path) - PATCHES).max() < 5


def wide_gamut(kind: str) -> tuple[NDArray[np.float64], int]:
    """Code values of the patches in BT.2020's primaries, and the number of their transfer function."""
    wide = np.clip(light() @ TO_BT2020.T, 0, None)
    if kind == "PQ":
        return pq(203 * wide), 16
    if kind == "HLG":
        return hlg((0.203 * wide) ** (1 / 1.2)), 18
    # Ordinary BT.2020, graded on a display of BT.1886.
    return (np.clip((PATCHES / 255) ** 2.4 @ TO_BT2020.T, 0, None)) ** (1 / 2.4), 14


@pytest.mark.parametrize("kind", ["PQ", "HLG", "SDR"])
def test_wide_gamut_and_hdr_become_srgb(kind: str, encoding: ModuleType, tmp_path: Path) -> None:
    codes, transfer = wide_gamut(kind)
    tags = encoding.Tags(9, 9, transfer, sws_matrix=9)
    path = encoding.encode(
        tmp_path / "a.mkv", chart(sixteen_bits(codes)), codec="ffv1", pix_fmt="yuv444p10le", tags=tags
    )
    errors = np.abs(patches(path) - PATCHES)
    assert errors.mean() < 2
    # At the border of the gamut the curve is steep, and a step of 10 bits shows.
    assert errors[PATCHES.min(axis=1) > 15].max() < 3
    assert np.abs(codes * 255 - PATCHES).mean() > 15, "the code values alone are far off"


def test_hdr_above_diffuse_white_is_white(encoding: ModuleType, tmp_path: Path) -> None:
    nits = np.repeat(np.linspace(203, 1000, len(PATCHES))[:, None], 3, axis=1)
    tags = encoding.Tags(9, 9, 16, sws_matrix=9)
    frames = chart(sixteen_bits(pq(nits)))
    path = encoding.encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="yuv444p10le", tags=tags)
    assert patches(path).min() > 251


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ((1, 1, 8), "matrix BT.709, transfer linear, primaries BT.709"),
        ((1, 8, 2), "transfer not stated, primaries film"),
    ],
)
def test_what_cannot_be_converted_is_refused_by_name(
    tags: tuple[int, int, int], message: str, encoding: ModuleType, tmp_path: Path
) -> None:
    path = encoding.encode(tmp_path / "a.mp4", chart(PATCHES), tags=encoding.Tags(*tags))
    with pytest.raises(InputError, match=f"cannot be converted: .*{message}; convert it to BT.709"):
        read_video(path)


@pytest.mark.skipif(not (CASES / "hdr").is_dir(), reason="the cases are not there")
@pytest.mark.parametrize("name", ["hlg.mp4", "tenbit709.mp4"])
def test_files_of_other_programs(name: str) -> None:
    truth: UInt8Array = np.asarray(Image.open(CASES / "hdr" / "chart.png").convert("RGB"))
    frame = read_video(CASES / "hdr" / name).frames[3].astype(int)
    rows, columns = truth.shape[0] // 4, truth.shape[1] / 6
    middles = [(rows * i + rows // 2, round(columns * (j + 0.5))) for i in range(4) for j in range(6)]
    errors = [np.abs(frame[y - 8 : y + 8, x - 8 : x + 8] - truth[y, x].astype(int)).mean() for y, x in middles]
    assert np.mean(errors) < 4
