"""What a finished set shows of itself: sheets of pictures, and a data card."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.curation.running.outcomes import LeftOut
from mask2iv.curation.running.work import REJECTED
from mask2iv.data.folder import clip_id_of
from mask2iv.data.index import CLIP_ID
from mask2iv.files import atomic_directory, atomic_write
from mask2iv.media.filmstrip import filmstrip, overlay
from mask2iv.media.images import encode_jpeg, read_image
from mask2iv.media.videos import read_video
from mask2iv.trajectories.storage import load_trajectory

_SHEET_ROWS = 24
_COLUMNS = 6
_MOST_NAMES = 20


def write_sheets(out: Path, rows: Sequence[Mapping[str, Any]], left_out: Sequence[LeftOut]) -> None:
    """``sheets/clips.jpg``, and for each reason a sheet of clips that were left out for it.

    Args:
        out: folder of the set.
        rows: the index.
        left_out: what is not in it.
    """
    with atomic_directory(out / "sheets", overwrite=True) as folder:
        shown = [(_title(row), _painted(out / "clips" / row["clip_id"])) for row in _some(rows)]
        (folder / "clips.jpg").write_bytes(encode_jpeg(filmstrip(shown, _COLUMNS)))
        for reason in sorted({reason for entry in left_out for reason in entry["reasons"]}):
            pictures = [
                (f"{entry['name']}: {', '.join(entry['reasons'])}", out / REJECTED / f"{entry['name']}.jpg")
                for entry in left_out
                # Names of recordings and actions may be paths; they have no picture.
                if reason in entry["reasons"] and re.fullmatch(CLIP_ID, entry["name"])
            ]
            strips = [
                (title, read_image(path)[None]) for title, path in _some([one for one in pictures if one[1].is_file()])
            ]
            if strips:
                (folder / f"{clip_id_of(reason)}.jpg").write_bytes(encode_jpeg(filmstrip(strips, 1)))


def _some(entries: Sequence[Any]) -> list[Any]:
    """At most :data:`_SHEET_ROWS` of them, evenly spaced."""
    chosen = np.linspace(0, len(entries) - 1, min(len(entries), _SHEET_ROWS)).round().astype(int)
    return [entries[index] for index in chosen]


def _title(row: Mapping[str, Any]) -> str:
    return f"{row['clip_id']}  |  {row['caption']}  |  {row['metadata']['split']}, {row['metadata']['masks']}"


def _painted(folder: Path) -> np.ndarray[Any, Any]:
    return overlay(read_video(folder / "video.mp4").frames, load_trajectory(folder / "labels.npz").labels, 0.4)


def write_card(
    out: Path, rows: Sequence[Mapping[str, Any]], left_out: Sequence[LeftOut], head: Mapping[str, Any]
) -> None:
    """``README.md``: what the set holds, how it was made, and what was left out.

    Args: see :func:`write_sheets`; ``head``: source, version and settings.
    """
    cut = head["settings"]["cut"]
    splits, masks, verbs, objects = (
        Counter(str(value) for value in values)
        for values in (
            [row["metadata"]["split"] for row in rows],
            [row["metadata"]["masks"] for row in rows],
            [row["verb"] for row in rows],
            [row["object_name"] for row in rows],
        )
    )
    reasons = Counter(reason for entry in left_out for reason in entry["reasons"])
    source = head["source"]
    lines = [
        f"# {source['name']}",
        "",
        f"{len(rows)} clips of {cut['num_frames']} frames of {cut['size'][1]}x{cut['size'][0]} pixels, curated from "
        f"{source['kind']} recordings by mask2iv {head['version']}. The recordings' licence holds for the clips.",
        "",
        "`index.jsonl` has caption and provenance of each clip; `clips/ID/video.mp4` its pictures, "
        "`clips/ID/labels.npz` its masks, exact. `sheets/` shows some, `skipped.jsonl` lists what was left out.",
        "",
        *_table("Splits", splits),
        *_table("Masks", masks),
        *_table("Left out", reasons),
        *_table("Verbs", verbs),
        *_table("Objects", objects),
        "## Settings",
        "",
        *(f"- {key}: {value}" for key, value in _flat(head["settings"])),
    ]
    with atomic_write(out / "README.md") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _table(title: str, counts: Counter[str]) -> list[str]:
    if not counts:
        return []
    shown = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rest = [("others", sum(count for _, count in shown[_MOST_NAMES:]))] if len(shown) > _MOST_NAMES else []
    rows = [f"| {name or '(none)'} | {count} |" for name, count in [*shown[:_MOST_NAMES], *rest]]
    return [f"## {title}", "", "| | clips |", "|---|---:|", *rows, ""]


def _flat(settings: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    return [
        pair
        for key, value in settings.items()
        for pair in (_flat(value, f"{before}{key}.") if isinstance(value, Mapping) else [(f"{before}{key}", value)])
    ]
