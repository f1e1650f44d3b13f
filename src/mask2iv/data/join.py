"""Several clip sets made one, to train on all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from mask2iv.data.store import FORMAT, VERSION, ClipSet
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, copy_linked, write_json


def join_clip_sets(sets: Sequence[ClipSet], out: Path) -> None:
    """Write the clips of all sets as one set; files are hard links where the file system can.

    The order of the sets does not matter: clips are sorted by their ids, as in every set.

    Args:
        sets: two or more, alike in size, number of frames and frame rate.
        out: folder of the new set; must not exist or be empty.

    Raises:
        InputError: sets that differ, a clip id that two sets share, or a folder that is not empty.
    """
    first = sets[0]
    for other in sets[1:]:
        for name in ("size", "num_frames", "fps"):
            found, wanted = getattr(other, name), getattr(first, name)
            if found != wanted:
                raise InputError(
                    f"clip set: {other.directory} has {name} {found}, {first.directory} has {wanted}; make them alike"
                )
    owner: dict[str, ClipSet] = {}
    for one in sets:
        for clip_id in one.ids:
            if clip_id in owner:
                raise InputError(f"clip set: {owner[clip_id].directory} and {one.directory} both hold a clip {clip_id}")
            owner[clip_id] = one
    rows = {row["clip_id"]: row for one in sets for row in one.rows}
    with atomic_directory(out) as target:
        for clip_id, one in owner.items():
            copy_linked(one.directory / "clips" / clip_id, target / "clips" / clip_id)
        lines = (json.dumps(rows[clip_id], ensure_ascii=False, sort_keys=True) for clip_id in sorted(rows))
        (target / "index.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        write_json(
            target / "clipset.json",
            {
                "format": FORMAT,
                "version": VERSION,
                "fps": first.fps,
                "size": list(first.size),
                "num_frames": first.num_frames,
                "num_clips": len(rows),
                "provenance": {"joined": [{"num_clips": len(one), **one.info["provenance"]} for one in sets]},
            },
        )
