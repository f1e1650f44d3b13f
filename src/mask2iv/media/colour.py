"""Decoded video frames as sRGB pictures: matrix, range, transfer function and primaries.

Ordinary video (BT.709, BT.601) is taken as sRGB, as players and other programs for such data do. Wide gamut (BT.2020,
Display P3) and HDR (HLG, PQ) are brought to BT.709's primaries in linear light. HDR is taken as a display of 1000 cd/m2
shows it, and its diffuse white of 203 cd/m2 (BT.2408-7, table 1) becomes white; what is brighter is clipped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError

Float32Array = NDArray[np.float32]

DIFFUSE_WHITE = 203.0
"""Luminance of HDR that becomes white, cd/m2."""
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
"""Nominal peak of the display, cd/m2, and the system gamma that belongs to it (BT.2100-2, table 5)."""

# Code points of ITU-T H.273. 0, 2 and 3 are reserved or unspecified.
_UNSAID = (0, 2, 3)
_BT709, _BT601, _BT2020 = 1, 5, 9
_MATRICES = {_BT709: "BT.709", 4: "FCC", _BT601: "BT.601", 6: "BT.601", 7: "SMPTE 240M", _BT2020: "BT.2020"}
_OTHER_MATRICES = {8: "YCgCo", 10: "BT.2020 constant luminance", 14: "ICtCp"}
_PQ, _HLG, _SRGB = 16, 18, 13
_TRANSFERS = {1: "BT.709", 4: "gamma 2.2", 5: "gamma 2.8", 6: "BT.601", 7: "SMPTE 240M", 11: "xvYCC", 12: "BT.1361"}
_TRANSFERS |= {_SRGB: "sRGB", 14: "BT.2020", 15: "BT.2020", _PQ: "PQ", _HLG: "HLG"}
_OTHER_TRANSFERS = {8: "linear", 9: "logarithmic", 10: "logarithmic", 17: "SMPTE 428"}
_P3 = 12
# Those of standard definition lie so close to BT.709's that no player converts them.
_PRIMARIES = {1: "BT.709", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020", _P3: "Display P3", 22: "EBU 3213"}
_OTHER_PRIMARIES = {4: "BT.470 M", 8: "film", 10: "SMPTE 428", 11: "DCI-P3"}
_TO_BT709: dict[int, Float32Array] = {
    # Linear RGB -> linear RGB of BT.709 (BT.2407-0, section 2; the second by the same rule from SMPTE EG 432-1).
    9: np.array(
        [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
        dtype=np.float32,
    ),
    _P3: np.array(
        [[1.224940, -0.224940, 0.0], [-0.042057, 1.042057, 0.0], [-0.019638, -0.078636, 1.098274]], dtype=np.float32
    ),
}
_HD_WIDTH, _HD_HEIGHT = 1280, 720


def to_srgb(frame: Any, field: str, path: Path) -> UInt8Array:
    """A decoded frame (``av.VideoFrame``) as uint8 [H, W, 3] in sRGB, as stored: not turned, not scaled.

    Where a file does not say its matrix, it is BT.709 from 1280 columns or 720 lines on, else BT.601.

    Raises:
        InputError: matrix, transfer or primaries that cannot be converted, naming them.
    """
    matrix, transfer, primaries = frame.colorspace, frame.color_trc, frame.color_primaries
    tags = {
        "matrix": (matrix, _MATRICES, _OTHER_MATRICES),
        "transfer": (transfer, _TRANSFERS, _OTHER_TRANSFERS),
        "primaries": (primaries, _PRIMARIES, _OTHER_PRIMARIES),
    }
    if any(code not in known and code not in _UNSAID for code, known, _ in tags.values()):
        found = [f"{kind} {_name(code, known | others)}" for kind, (code, known, others) in tags.items()]
        raise InputError(
            field, f"the colours of {path} cannot be converted: {', '.join(found)}", "convert it to BT.709"
        )
    hdr = transfer in (_PQ, _HLG)
    if primaries in _UNSAID and (hdr or matrix == _BT2020 or transfer in (14, 15)):
        primaries = 9
    if matrix in _UNSAID:
        large = frame.width >= _HD_WIDTH or frame.height >= _HD_HEIGHT
        matrix = _BT2020 if primaries == 9 else _BT709 if large else _BT601
    if not hdr and primaries not in _TO_BT709:
        plain: UInt8Array = frame.to_ndarray(format="rgb24", src_colorspace=matrix)
        return plain
    light = _linear(transfer)[frame.to_ndarray(format="rgb48le", src_colorspace=matrix)]
    if primaries in _TO_BT709:
        light = light @ _TO_BT709[primaries].T
    encoded = _encoded(np.clip(light, 0, 1, out=light), srgb=hdr or transfer == _SRGB)
    return np.rint(encoded * 255).astype(np.uint8)


def _name(code: int, names: dict[int, str]) -> str:
    return "not stated" if code in _UNSAID else names.get(code, f"number {code} of H.273")


@cache
def _linear(transfer: int) -> Float32Array:
    """Light on the display for each 16-bit code value, float32 [65536]; 1 is white."""
    code = np.linspace(0, 1, 65536)
    if transfer == _HLG:
        # Inverse of the OETF in BT.2100-2, table 5, then its system gamma. The gamma is applied to each channel, not
        # to luminance as there: so does zimg, and with it FFmpeg's zscale, which makes HLG of SDR. Greys are the same
        # either way; by luminance, saturated colours of such files would be 14 levels off.
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
        light = _HLG_PEAK / DIFFUSE_WHITE * scene**_HLG_GAMMA
    elif transfer == _PQ:
        # EOTF in BT.2100-2, table 4.
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        root = code ** (1 / m2)
        light = 10000 / DIFFUSE_WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)
    elif transfer == _SRGB:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    else:
        # The reference display of BT.709 and BT.2020: BT.1886.
        light = code**2.4
    return light.astype(np.float32)


def _encoded(light: Float32Array, srgb: bool) -> Float32Array:
    """Code values of linear light, both in [0, 1]: in sRGB, or by BT.1886 for video that is taken as sRGB."""
    root: Float32Array = light ** np.float32(1 / 2.4)
    if not srgb:
        return root
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * root - 0.055)
