"""Demonstrations in a policy's own terms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.execution.camera import Array
from mask2iv.execution.cloning.views import TableView
from mask2iv.execution.demonstrations.frames import Demonstration
from mask2iv.execution.physics.recording import Phase
from mask2iv.execution.poses import straight_down
from mask2iv.files import atomic_write
from mask2iv.sim.choreography.tasks import DIRECTIONS

Floats = NDArray[np.float32]
_SQUEEZES = 0.02
"""Jaws that are told to be this much closer than they are, metres, hold something."""
LEANS = np.cos(np.radians(20))
"""Cosine of how far the gripper may lean from straight down in a demonstration."""


@dataclass(frozen=True, eq=False)
class Episode:
    """A demonstration of T frames; places are metres from the object's first place on the table.

    Its key frames are `touch`, when the object is taken or first pushed, and `end`, when it has been moved.

    Attributes:
        views: uint8 [T, P, P, 3], see :class:`~mask2iv.execution.cloning.views.TableView`.
        mask: uint8 [P, P], of the object in the first view.
        places: float32 [T, 3], of the tool.
        turns: float32 [T], of the jaws' axis about the vertical, radians; a half turn is the same.
        openings: float32 [T], between the jaws, metres.
        shut: float32 [T], 1 where the jaws are told to close with force.
        keys: int64 [2], the frames `touch` and `end`.
        direction: float32 [2], in which to push; 0 where the task names none.
        height: float32 [1], of the object.
    """

    views: UInt8Array
    mask: UInt8Array
    places: Floats
    turns: Floats
    openings: Floats
    shut: Floats
    keys: NDArray[np.int64]
    direction: Floats
    height: Floats

    def save(self, path: Path) -> None:
        """Write it, complete or not at all."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **asdict(self))

    @staticmethod
    def load(path: Path) -> Episode:
        """Read it.

        Raises:
            InputError: it is none.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return Episode(**{field.name: stored[field.name] for field in fields(Episode)})
        except (OSError, ValueError, KeyError, BadZipFile) as error:
            raise InputError("episode", f"{path} is not one: {error}") from error


def episode_of(demonstration: Demonstration, video: UInt8Array, view: TableView, direction: str) -> Episode:
    """A demonstration with its pictures.

    Args:
        demonstration: of T frames.
        video: uint8 [T, H, W, 3], what the camera sees in them, or what a model made of them.
        view: of the scene.
        direction: that the caption names, "" for none.

    Raises:
        InputError: the gripper leans: policies here hold it straight down.
    """
    recording, steps = demonstration.recording, demonstration.steps
    tool = recording.tool[steps]
    told, measured = recording.command[steps, -1], recording.state[steps, -1]
    shut = told < measured - _SQUEEZES
    phase = recording.phase[steps]
    # On its way the gripper may come from leaning.
    if (-tool[phase == Phase.HANDLE, 2, 2] < LEANS).any():
        raise InputError("demonstration", "the gripper leans")
    return Episode(
        np.stack([view(picture) for picture in video]),
        view.mask,
        (tool[:, :3, 3] - view.origin).astype(np.float32),
        turn_of(tool).astype(np.float32),
        np.clip(measured, 0, None).astype(np.float32),
        shut.astype(np.float32),
        np.array([np.flatnonzero(phase == one)[-1] for one in (Phase.COME, Phase.HANDLE)]),
        heading(direction),
        np.array([view.height], dtype=np.float32),
    )


def heading(direction: str) -> Floats:
    """The direction that a caption names on the table, [2]; 0 for ""."""
    way = DIRECTIONS[direction][:2] if direction else np.zeros(2)
    return np.asarray(way, dtype=np.float32)


def turn_of(tool: Array) -> Array:
    """How the jaws' axis of tool poses [..., 4, 4] is turned about the vertical, radians [...]."""
    turn: Array = np.arctan2(tool[..., 1, 0], tool[..., 0, 0])
    return turn


def tool_at(place: Array, turn: float) -> Array:
    """The pose [4, 4] of a tool that points straight down, its jaws' axis turned about the vertical."""
    across = np.array([np.cos(turn), np.sin(turn), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = straight_down(across)
    pose[:3, 3] = place
    return pose
