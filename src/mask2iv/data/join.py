"""Several clip sets joined into one, to train on all of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mask2iv.data.index import finish_set, index_line, set_header
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory


def join_clip_sets(sets: Sequence[ClipSet], out: Path) -> None:
    """Write the clips of all sets as one set, with hard links where the file system supports them.

    The order of the sets does not matter: clips are sorted by id, as in every set.

    Args:
        sets: two or more, shards among them or not, of the same size, number of frames and frame rate.
        out: folder of the new set; must not exist or be empty.

    Raises:
        InputError: sets that differ, a clip id in two sets, or a folder that is not empty.
    """
    first = sets[0]
    for other in sets[1:]:
        check_alike(first, other)
    owner: dict[str, ClipSet] = {}
    for one in sets:
        for clip_id in one.ids:
            if clip_id in owner:
                raise InputError("sets", f"{owner[clip_id].directory} and {one.directory} both hold a clip {clip_id}")
            owner[clip_id] = one
    lines = {row["clip_id"]: index_line(row) for one in sets for row in one.rows}
    sources = [{"num_clips": len(one), **one.info["provenance"]} for one in sets]
    with atomic_directory(out) as target:
        for clip_id, one in owner.items():
            one.copy_files(clip_id, target / "clips" / clip_id)
        finish_set(target, lines, set_header(first.size, first.num_frames, first.fps, {"joined": sources}))


def check_alike(first: ClipSet, other: ClipSet) -> None:
    """Raises InputError unless two sets have the same size, number of frames and frame rate."""
    for name in ("size", "num_frames", "fps"):
        found, wanted = getattr(other, name), getattr(first, name)
        if found != wanted:
            raise InputError(
                str(other.directory),
                f"this clip set has {name} {found}, {first.directory} has {wanted}",
                "all sets must have the same",
            )
