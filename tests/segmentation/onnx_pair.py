"""A pair of tiny networks in MobileSAM's format, written without the onnx package.

The encoder averages the picture; the decoder's mask is a block in its middle. They test what surrounds networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_FLOAT, _INT64 = 1, 7
DECODER = {
    "image_embeddings": (1, 3, 64, 64),
    "point_coords": (1, "points", 2),
    "point_labels": (1, "points"),
    "mask_input": (1, 1, 256, 256),
    "has_mask_input": (1,),
    "orig_im_size": (2,),
}
Shape = Sequence[int | str]


def write_pair(folder: Path) -> Path:
    """Writes encoder.onnx and decoder.onnx into a folder, which is made and returned."""
    folder.mkdir(parents=True)
    pool = node("AveragePool", ["picture"], ["embedding"], kernel_shape=[16, 16], strides=[16, 16])
    encoder = model([pool], {"picture": (1, 3, 1024, 1024)}, {"embedding": (1, 3, 64, 64)})
    (folder / "encoder.onnx").write_bytes(encoder)
    nodes = [
        node("Cast", ["orig_im_size"], ["size"], to=_INT64),
        node("Concat", ["ones", "size"], ["shape"], axis=0),
        node("Resize", ["block", "", "", "shape"], ["masks"], mode=b"nearest"),
    ]
    block = np.zeros((1, 1, 8, 8), dtype="<f4")
    block[..., 3:5, 3:5] = 1
    constants = [
        tensor("ones", _INT64, [2], np.ones(2, dtype="<i8").tobytes()),
        tensor("block", _FLOAT, block.shape, block.tobytes()),
    ]
    decoder = model(nodes, DECODER, {"masks": (1, 1, "height", "width")}, constants)
    (folder / "decoder.onnx").write_bytes(decoder)
    return folder


def model(
    nodes: Sequence[bytes], inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], constants: Sequence[bytes] = ()
) -> bytes:
    """A ModelProto of single precision inputs and outputs."""
    graph = b"".join(_part(1, one) for one in nodes) + _part(2, b"graph")
    graph += b"".join(_part(5, one) for one in constants)
    graph += b"".join(_part(11, _value(*one)) for one in inputs.items())
    graph += b"".join(_part(12, _value(*one)) for one in outputs.items())
    return _number(1, 8) + _part(7, graph) + _part(8, _part(1, b"") + _number(2, 17))


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int | bytes | list[int]) -> bytes:
    """A NodeProto."""
    text = b"".join(_part(1, name.encode()) for name in inputs) + b"".join(_part(2, name.encode()) for name in outputs)
    text += _part(4, kind.encode())
    for name, value in attributes.items():
        if isinstance(value, int):
            said = _number(3, value) + _number(20, 2)
        elif isinstance(value, bytes):
            said = _part(4, value) + _number(20, 3)
        else:
            said = b"".join(_number(8, one) for one in value) + _number(20, 7)
        text += _part(5, _part(1, name.encode()) + said)
    return text


def tensor(name: str, kind: int, shape: Sequence[int], data: bytes) -> bytes:
    """A TensorProto with its values in it."""
    return b"".join(_number(1, side) for side in shape) + _number(2, kind) + _part(8, name.encode()) + _part(9, data)


def stored_elsewhere(name: str, shape: Sequence[int], location: str) -> bytes:
    """A TensorProto of floats whose values lie in another file."""
    where = _part(13, _part(1, b"location") + _part(2, location.encode()))
    text = b"".join(_number(1, side) for side in shape) + _number(2, _FLOAT) + _part(8, name.encode())
    return text + where + _number(14, 1)


def _value(name: str, shape: Shape) -> bytes:
    sides = b"".join(_part(1, _number(1, one) if isinstance(one, int) else _part(2, one.encode())) for one in shape)
    return _part(1, name.encode()) + _part(2, _part(1, _number(1, _FLOAT) + _part(2, sides)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
