"""Names of recordings in the order that people count."""

from __future__ import annotations

import re


def natural(name: str) -> tuple[tuple[str, int], ...]:
    """Sort key by which traj2 comes before traj10."""
    return tuple((text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name))
