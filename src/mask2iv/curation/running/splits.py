"""Which split a clip belongs to."""

from __future__ import annotations

import hashlib

from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.sources.interfaces import Split


def split_of(group: str, official: Split | None, config: CurationConfig) -> Split:
    """The split of a clip: what an official list says, else a draw by its group's name.

    All of a group gets the same draw, whatever else is in the set; so no recording is in two splits, and new recordings
    move no old ones.

    Args:
        group: see :class:`~mask2iv.curation.sources.interfaces.Recording`.
        official: what a list says. Where it names the test clips alone, its other clips are drawn for as if "train".
        config: shares and seed of the draw.
    """
    if official in ("validation", "test"):
        return official
    digest = hashlib.sha256(f"{config.split_seed}:{group}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if official == "train":
        return "validation" if draw < config.validation / (1 - config.test) else "train"
    if draw < config.test:
        return "test"
    return "validation" if draw < config.test + config.validation else "train"
