"""Shares of successes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def wilson(hits: int, count: int) -> dict[str, float]:
    """A share with its 95 % interval (Wilson 1927), which is right at 0 and 1, too."""
    z, share = 1.96, hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * float(np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)))
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return {"share": round(share, 4), "low": round(low, 4), "high": round(high, 4), "clips": count}


def percent(share: Mapping[str, float], sign: str = " %") -> str:
    """A share of :func:`wilson` with its interval, in percent: "72 % (63 to 80)"."""
    return f"{100 * share['share']:.0f}{sign} ({100 * share['low']:.0f} to {100 * share['high']:.0f})"
