"""Structured mutations of files: of the JSON in them, of headers, of bytes; and hostile files in their place."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mask2iv.media.videos import write_video

_DEEP = "@@DEEP@@"
_SURROGATE = "\ud800"
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 33, 1000, 10**6, 2**31, 2**63, 10**22, -(10**22), 0.5, 1e308, -1e-308),
    *("", "x", "0", "nan", "../../outside", "/etc/passwd", "a/b", "\0", _SURROGATE, "<script>", "é" * 300, "9" * 5000),
    *([], {}, [[]], [1], [None], {"a": 1}, {"__reduce__": "os.system"}, list(range(3000)), _DEEP),
    *(float("nan"), float("inf"), float("-inf")),
)
ODD_VALUES = (
    *("", "-1", "0", "1", "2.5", "1e999", "9" * 22, "nan", "inf", "x", "../x", "é" * 300, "a\nb", "--out", "all"),
    *("0x0", "1x1", "32x64", "33x65", "99999x99999", "-4x4"),
    *("1,2", "1,2,3,4", "-5,-5,10,10", "60,30,9000,9000", "9" * 22 + ",1"),
)
"""Values of flags."""
ODD_LINES = (
    *("", "x" * 200_000, "a\x00b", "é" * 300, "../../etc/passwd", "\x1b[2J", "a\u2028b"),
    *("confidence: nan", "confidence: 1e999", "confidence: " + "9" * 5000),
)
"""Of texts."""
ODD_CELLS: tuple[Any, ...] = (
    *(None, -1, 10**9, 2**62, 0.5, float("nan"), "x", b"\xff", "é" * 9000, True, [], ["a"], [None], [[1]], {"a": 1}),
    *({"bytes": b"x", "path": "/etc/passwd"}, {"bytes": None, "path": "../x.png"}),
)
"""Of tables."""
FORMATS = ("PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM", "EPS", "PDF", "ICO", "TGA")


def mutate(path: Path, rng: random.Random, traps: Path, sparse: bool = True) -> str:
    """Change a file in place; what was done, in words. Gigabytes of nothing only with `sparse`."""
    if rng.random() < 0.12:
        return _replace(path, rng, traps, sparse)
    by_suffix: dict[str, Callable[[Path, random.Random], str]] = {
        ".json": _json_file,
        ".jsonl": _json_lines,
        ".csv": _table,
        ".txt": _text,
        ".png": _picture,
        ".jpg": _picture,
        ".npy": _array,
        ".npz": _arrays,
        ".parquet": partial(_parquet, traps=traps),
        ".safetensors": _safetensors,
        ".mp4": _video,
    }
    special = by_suffix.get(path.suffix)
    return special(path, rng) if special is not None and rng.random() < 0.8 else _bytes(path, rng)


# --- JSON


def _json_file(path: Path, rng: random.Random) -> str:
    value, said = _changed(json.loads(path.read_text(encoding="utf-8")), rng)
    path.write_text(_dumps(value))
    return said


def _json_lines(path: Path, rng: random.Random) -> str:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    index = rng.randrange(len(lines)) if lines else 0
    kind = rng.random()
    if not lines or kind < 0.1:
        lines, said = [*lines, rng.choice(ODD)], "a line of another kind"
    elif kind < 0.2:
        lines, said = [*lines, lines[index]], f"line {index + 1} twice"
    elif kind < 0.3:
        del lines[index]
        said = f"without line {index + 1}"
    else:
        lines[index], said = _changed(lines[index], rng)
    path.write_text("".join(_dumps(line) + "\n" for line in lines))
    return said


def _dumps(value: Any) -> str:
    # NaN and lone surrogates are written as JSON has no right to.
    text = json.dumps(value)
    depth = 100_000
    return text.replace(f'"{_DEEP}"', "[" * depth + "]" * depth)


def _changed(value: Any, rng: random.Random) -> tuple[Any, str]:
    """A JSON value with one to three changes."""
    said = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = list(_places(value))
        if not places:
            return rng.choice(ODD), "another value"
        holder, key = rng.choice(places)
        said.append(_change(holder, key, rng))
    return value, ", ".join(said)


def _places(value: Any) -> Any:
    """All (container, key) of a JSON value."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in list(entries)[:2000]:
        yield value, key
        yield from _places(entry)


def _change(holder: Any, key: Any, rng: random.Random) -> str:
    kind, value = rng.random(), holder[key]
    if kind < 0.12:
        del holder[key]
        return f"{key!r} deleted"
    if kind < 0.2 and isinstance(holder, dict):
        holder[rng.choice(["unknown", str(key) + "s", "", _SURROGATE, "9" * 5000, "7"])] = holder.pop(key)
        return f"{key!r} renamed"
    if kind < 0.4 and isinstance(value, (int, float)) and not isinstance(value, bool):
        holder[key] = rng.choice([-value, value * 1000, value * 10**9, value + 1, value / 3, str(value), [value]])
        return f"{key!r} is {holder[key]!r:.40}"
    if kind < 0.5 and isinstance(value, list) and value:
        holder[key] = value * rng.choice([2, 50]) if rng.random() < 0.5 else value[:-1]
        return f"{key!r} longer or shorter"
    holder[key] = rng.choice(ODD)
    return f"{key!r} is {holder[key]!r:.40}"


# --- tables, pictures, arrays, weights, videos


def _table(path: Path, rng: random.Random) -> str:
    rows = list(csv.reader(io.StringIO(path.read_text())))
    row, odd = rng.randrange(len(rows)), rng.choice(['"', "\0", "a\nb", "", "x" * 200_000, "../up", "é", ",,,", "=1+1"])
    rows[row][rng.randrange(len(rows[row]))] = odd
    text = io.StringIO()
    csv.writer(text, delimiter=rng.choice([",", ",", ";", "\t"])).writerows(rows)
    path.write_text(text.getvalue())
    return f"row {row} holds {odd[:20]!r}"


def _picture(path: Path, rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.3 and path.suffix == ".png":
        width, height = rng.choice([(1, 1), (0, 0), (70_000, 70_000), (2**31 - 1, 2), (9000, 9000), (64, 1)])
        path.write_bytes(_png_of_size(width, height, path.read_bytes()))
        return f"its header says {width}x{height}"
    image = Image.open(path)
    image.load()
    if kind < 0.6:
        mode = rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB"])
        named = rng.choice(FORMATS)
        try:
            converted = image.convert("L").convert(mode) if mode in ("I;16", "F", "I") else image.convert(mode)
            converted.save(path, format=named)
        except (OSError, ValueError):
            image.convert("L").save(path, format="PNG")
        return f"{named} of mode {mode}"
    if kind < 0.8:
        size = rng.choice([(1, 1), (64, 32), (32, 64), (3, 2000), (2000, 3), (500, 400)])
        image.resize(size).save(path, format="PNG")
        return f"of {size[0]}x{size[1]}"
    array = np.array(image)
    array[...] = rng.choice([0, 255, 1, 128])
    Image.fromarray(array).save(path, format="PNG")
    return "one colour"


def _png_of_size(width: int, height: int, png: bytes) -> bytes:
    """A PNG that claims another size: its first chunk anew."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


def _text(path: Path, rng: random.Random) -> str:
    lines = path.read_text(encoding="utf-8").splitlines() or [""]
    odd = rng.choice(ODD_LINES)
    lines[rng.randrange(len(lines))] = odd
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"a line {odd[:20]!r}"


_TYPES = (np.float64, np.int64, np.complex64, np.bool_, "S4", "U3", np.float16, "datetime64[s]", np.uint8)
_SHAPES = ((), (0,), (3,), (4, 32), (4, 32, 64), (0, 32, 64), (4, 0, 64), (1, 1, 1, 1), (4, 16, 16))


def _array(path: Path, rng: random.Random) -> str:
    """Another array, or one whose header says so."""
    dtype, shape = rng.choice(_TYPES), rng.choice(_SHAPES)
    array = np.zeros(shape, dtype=dtype)
    kind = rng.random()
    if kind < 0.5:
        np.save(path, array)
        return f"{dtype} {shape}"
    if kind < 0.6:
        np.save(path, np.load(path) * rng.choice([3, 7, 255]))
        return "other values"
    claimed = rng.choice(
        [(2**40,), (10**22, 1, 1), (-1, 32, 64), (2**20, 2**10, 2**10), (4, 32, 2**33), (4, 32, 10**9)]
    )
    descr = rng.choice(["|u1", "|O", "<M8[s]", "|V0", "|S1000000000", "<f8", [("a", "<i4"), ("b", "|O")], "|b1"])
    with path.open("wb") as file:
        header = {"descr": descr, "fortran_order": rng.random() < 0.3, "shape": claimed}
        np.lib.format.write_array_header_2_0(file, header)
        file.write(bytes(1000))
    return f"header {descr} {claimed}"


def _parquet(path: Path, rng: random.Random, traps: Path) -> str:
    """A table with other columns or values, of very many rows, or with a damaged footer."""
    import pyarrow as arrow
    from pyarrow import parquet

    kind = rng.random()
    if kind < 0.15:
        name = "tasks" if path.stem == "tasks" else "episodes" if "episodes" in path.parts else "data"
        path.unlink()
        os.link(traps / f"many-{name}.parquet", path)
        return "very many rows"
    if kind < 0.4:
        data = bytearray(path.read_bytes())
        for _ in range(rng.choice([1, 1, 2, 8])):
            data[-rng.randrange(1, min(len(data), 3000))] = rng.randrange(256)
        path.write_bytes(bytes(data))
        return "footer changed"
    with parquet.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    index = rng.randrange(table.num_columns)
    name, rows = table.column_names[index], table.num_rows
    if kind < 0.5:
        table, said = table.remove_column(index), "removed"
    elif kind < 0.55:
        table, said = table.rename_columns([one if one != name else "other" for one in table.column_names]), "renamed"
    elif kind < 0.6:
        table, said = table.append_column(name, table.column(index)), "twice"
    elif kind < 0.65:
        table, said = table.slice(0, rng.choice([0, 1])), "cut"
    else:
        odd = rng.choice(ODD_CELLS)
        values = arrow.array([odd] * rows)
        if rng.random() < 0.3 and isinstance(odd, int) and not isinstance(odd, bool):
            values = values.cast(rng.choice([arrow.timestamp("ns"), arrow.duration("s"), arrow.float64()]))
        table, said = table.set_column(index, name, values), f"{odd!r:.30}"
    parquet.write_table(table, path)
    return f"column {name!r} {said}"


def _arrays(path: Path, rng: random.Random) -> str:
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = rng.choice(list(arrays))
    kind = rng.random()
    if kind < 0.2:
        del arrays[name]
        said = "deleted"
    elif kind < 0.5:
        dtype, shape = rng.choice(_TYPES), rng.choice(_SHAPES)
        arrays[name], said = np.zeros(shape, dtype=dtype), f"{dtype} {shape}"
    elif kind < 0.7:
        array = arrays[name].copy()
        array[...] = rng.choice([0, 1, 3, 255, 2])
        arrays[name], said = array, "one value"
    elif kind < 0.85:
        arrays[rng.choice(["a", "a b c d", "psnr", "../x", "psnr model x"])], said = arrays.pop(name), "renamed"
    elif kind < 0.9:
        arrays["9" * 5000], said = arrays.pop(name), "named by a long number"
    else:
        arrays[name], said = np.full(arrays[name].shape, np.nan), "NaN"
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)
    return f"array {name!r}: {said}"


def _safetensors(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header, said = _changed(json.loads(data[8 : 8 + length]), rng)
    text = _dumps(header).encode("utf-8", "surrogatepass")
    stated = rng.choice([len(text), len(text), len(text), len(text) + 8, 2**40])
    path.write_bytes(struct.pack("<Q", stated) + text + data[8 + length :])
    return f"header: {said}"


def _video(path: Path, rng: random.Random) -> str:
    frames = rng.choice([1, 2, 4, 40])
    height, width = rng.choice([(32, 64), (2, 2), (64, 32), (16, 1000), (31, 63)])
    colours = np.random.default_rng(rng.randrange(10**6)).integers(0, 256, (frames, 1, 1, 3))
    video = np.broadcast_to(colours, (frames, height, width, 3))
    write_video(path, video.astype(np.uint8), rng.choice([0.01, 1.0, 8.0, 240.0]))
    return f"{frames} frames of {width}x{height}"


# --- bytes and whole files


def _bytes(path: Path, rng: random.Random) -> str:
    data = bytearray(path.read_bytes())
    kind = rng.randrange(5)
    where = rng.randrange(len(data)) if data else 0
    if kind == 0 or not data:
        data, said = data[:where], f"cut at {where}"
    elif kind == 1:
        for _ in range(rng.choice([1, 4, 64])):
            data[rng.randrange(len(data))] = rng.randrange(256)
        said = "bytes changed"
    elif kind == 2:
        data[where : where + 512] = bytes(min(512, len(data) - where))
        said = f"zeros at {where}"
    elif kind == 3:
        data[where:where] = rng.randbytes(rng.choice([1, 100, 5000]))
        said = f"bytes added at {where}"
    else:
        data, said = data + data, "twice"
    path.write_bytes(bytes(data))
    return said


def _replace(path: Path, rng: random.Random, traps: Path, sparse: bool) -> str:
    kind = rng.choice(
        ["gone", "empty", "folder", "loop", "pipe", "sparse" if sparse else "gone", "trap", "trap", "trap"]
    )
    path.unlink()
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "sparse":
        with path.open("wb") as file:
            file.truncate(6 * 2**30)
    elif kind == "trap":
        trap = rng.choice(sorted(traps.iterdir()))
        os.link(trap, path)
        kind = trap.name
    return f"replaced: {kind}"
