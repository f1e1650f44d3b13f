"""What an arm does in an exported clip."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Motion:
    """States and actions of a clip's T frames.

    Attributes:
        robot: what arm it is, for ``robot_type``.
        names: of the D entries of a state, and of an action.
        states: float32 [T, D].
        actions: float32 [T, D], that of a frame leads to the next.
        action_seconds: how long an action takes.
        about: how it came about, for ``meta/mask2iv.json``; JSON.
    """

    robot: str
    names: tuple[str, ...]
    states: NDArray[np.float32]
    actions: NDArray[np.float32]
    action_seconds: float
    about: dict[str, Any] = field(default_factory=dict)
