"""Which split a clip belongs to."""

from __future__ import annotations

import hashlib

from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.sources.interfaces import ListedSplit, Split


def split_of(group: str, official: ListedSplit | None, config: CurationConfig) -> Split:
    """The split of a clip: what an official list says, else a draw by its group's name.

    All of a group gets the same draw, whatever else is in the set; so no recording is in two splits, and new recordings
    move no old ones.

    Args:
        group: see :class:`~mask2iv.curation.sources.interfaces.Recording`.
        official: what a list says; of clips that are "not test" the share ``config.validation`` becomes validation.
        config: shares and seed of the draw.
    """
    if official is not None and official != "not test":
        return official
    digest = hashlib.sha256(f"{config.split_seed}:{group}".encode()).digest()
    draw = int.from_bytes(digest[:8], "big") / 2**64
    if official == "not test":
        return "validation" if draw < config.validation else "train"
    if draw < config.test:
        return "test"
    return "validation" if draw < config.test + config.validation else "train"
