"""The mask of one object from a box or a point, by a pair of ONNX networks in MobileSAM's format.

The encoder takes the picture, its longer side 1024 pixels, and gives an embedding [1, 256, 64, 64]; the decoder takes
the embedding and points with labels (1 on the object, 2 and 3 the corners of a box, -1 padding).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.errors import InputError
from mask2iv.extras import require
from mask2iv.files import reason, require_file
from mask2iv.segmentation.interfaces import Segmenter

SIDE = 1024
_MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], dtype=np.float32)
_ENCODERS, _DECODERS = ("encoder.onnx",), ("decoder.onnx", "sam.onnx")
_DECODER_INPUTS = {"image_embeddings", "point_coords", "point_labels", "mask_input", "has_mask_input", "orig_im_size"}

Float = NDArray[np.float32]


class OnnxSegmenter(Segmenter):
    """Segment Anything (Kirillov et al., 2023; MobileSAM, Zhang et al., 2023) through onnxruntime, on the processor.

    The embedding of the last picture is kept, so that several prompts for one picture cost little more than one.

    Args:
        encoder, decoder: ONNX files.
        field: what errors call the weights.
        threads: of the processor; 0 for onnxruntime's choice.

    Raises:
        InputError: onnxruntime is not installed, or the files are missing or of another kind.
    """

    name = "mobile-sam"

    def __init__(self, encoder: Path, decoder: Path, field: str = "segmenter_weights", threads: int = 0) -> None:
        runtime = require("onnxruntime", "segmenter onnx")
        self._encoder = _Network(runtime, encoder, field, threads)
        self._decoder = _Network(runtime, decoder, field, threads)
        takes = self._encoder.inputs
        if len(takes) != 1 or list(takes[0].shape[1:]) != [3, SIDE, SIDE]:
            found = [f"{one.name} {one.shape}" for one in takes]
            raise InputError(
                field, f"{encoder} is not the encoder of MobileSAM's format: it takes {found}, not [1, 3, 1024, 1024]"
            )
        missing = _DECODER_INPUTS - {one.name for one in self._decoder.inputs}
        if missing:
            raise InputError(field, f"{decoder} is not the decoder of MobileSAM's format: no input {min(missing)}")
        self._kept: tuple[str, Any] = ("", None)

    @classmethod
    def from_folder(cls, folder: Path, field: str = "segmenter_weights", threads: int = 0) -> OnnxSegmenter:
        """The pair in a folder: encoder.onnx, and decoder.onnx or sam.onnx. Raises InputError as the class does."""
        return cls(*find_pair(folder, field), field, threads)

    def __call__(self, image: UInt8Array, prompt: Sequence[float], field: str = "prompt") -> BoolArray:
        height, width = image.shape[:2]
        points, labels = _points(prompt, height, width, field)
        mask = self._decoder(
            {
                "image_embeddings": self._embedding(image),
                "point_coords": points[None] * np.float32(SIDE / max(height, width)),
                "point_labels": labels[None],
                "mask_input": np.zeros((1, 1, 256, 256), np.float32),
                "has_mask_input": np.zeros(1, np.float32),
                "orig_im_size": np.array([height, width], np.float32),
            },
            "masks",
        )
        found = _mask(mask)
        if found is None:
            raise InputError(self._decoder.field, f"{self._decoder.path} gives no masks [1, N, H, W] of numbers")
        if found.shape != (height, width) or not found.any():
            raise InputError(field, f"nothing found at {list(prompt)}", "draw another box or supply a mask")
        return found

    def _embedding(self, image: UInt8Array) -> Any:
        key = hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()
        if self._kept[0] != key:
            self._kept = key, self._encoder({self._encoder.inputs[0].name: _pixels(image)})
        return self._kept[1]


def find_pair(folder: Path, field: str = "segmenter_weights") -> tuple[Path, Path]:
    """Encoder and decoder in a folder, also below its ``dist``.

    Raises:
        InputError: not there.
    """
    found = []
    for names in (_ENCODERS, _DECODERS):
        places = [folder / part / name for part in ("", "dist") for name in names]
        there = [place for place in places if place.is_file()]
        if not there:
            raise InputError(
                field,
                f"no {' or '.join(names)} in {folder}",
                "give a folder with a MobileSAM-format pair of ONNX files",
            )
        found.append(there[0])
    return found[0], found[1]


class _Network:
    """An ONNX network.

    Args:
        runtime: onnxruntime.
        path: its file; values that lie in other files are read below its folder only.
        field: what errors call the weights.
        threads: 0 for onnxruntime's choice.

    Raises:
        InputError: no such file, or no such network; when called, one that cannot be computed.
    """

    def __init__(self, runtime: Any, path: Path, field: str, threads: int) -> None:
        self.path, self.field = path, field
        require_file(path, field)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        native = runtime.capi.onnxruntime_pybind11_state
        # onnxruntime's errors have no common class of their own.
        self._errors: tuple[type[Exception], ...] = (
            *(ValueError, RuntimeError, MemoryError, UnicodeDecodeError),
            *(one for one in vars(native).values() if isinstance(one, type) and issubclass(one, Exception)),
        )
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            self.inputs = self._session.get_inputs()
        except self._errors as error:
            raise InputError(field, f"{path} is not an ONNX network: {reason(error)}") from error

    def __call__(self, values: dict[str, Any], output: str | None = None) -> Any:
        """An output, by default the first."""
        try:
            return self._session.run(None if output is None else [output], values)[0]
        except self._errors as error:
            raise InputError(self.field, f"{self.path} cannot be computed: {reason(error)}") from error


def _mask(values: Any) -> BoolArray | None:
    """The first mask of a decoder's output, bool [H, W]; None where it has another form."""
    array = np.asarray(values)
    if array.ndim != 4 or not all(array.shape[:2]) or array.dtype.kind not in "biuf":
        return None
    found: BoolArray = array[0, 0] > 0
    return found


def _points(prompt: Sequence[float], height: int, width: int, field: str) -> tuple[Float, Float]:
    """A prompt as points [2, 2] in pixels and their labels [2]."""
    if len(prompt) not in (2, 4) or not np.isfinite(prompt).all():
        raise InputError(field, f"must be a box (x, y, w, h) or a point (x, y), found {list(prompt)}")
    x, y = prompt[:2]
    if len(prompt) == 2:
        if not (0 <= x < width and 0 <= y < height):
            raise InputError(field, f"x={x:g} y={y:g} lies outside the image of {width}x{height} pixels")
        return np.array([[x, y], [0, 0]], np.float32), np.array([1, -1], np.float32)
    w, h = prompt[2:]
    if x < 0 or y < 0 or w <= 0 or h <= 0 or x + w > width or y + h > height:
        raise InputError(field, f"x={x:g} y={y:g} w={w:g} h={h:g} leaves the image of {width}x{height} pixels")
    return np.array([[x, y], [x + w, y + h]], np.float32), np.array([2, 3], np.float32)


def _pixels(image: UInt8Array) -> Float:
    """A picture as the encoder takes it, float [1, 3, 1024, 1024]: normalised, padded right and below by zeros."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), size, interpolation=method).astype(np.float32)
    canvas = np.zeros((SIDE, SIDE, 3), np.float32)
    canvas[: size[1], : size[0]] = (resized - _MEAN) / _DEVIATION
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)[None])
