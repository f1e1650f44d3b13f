"""Films of the scripted experts.

Of each episode there are three films: the whole of it, and what is left from a third and from two thirds on. So a
network sees scenes in which something has happened already, as it will when it plans again. (AVDC's training draws the
first frame at random.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.execution.metaworld.server.world import Array, Views, World
from mask2iv.execution.metaworld.tasks import MAX_STEPS

FILMS = 3
_AFTER = 10
"""Steps that an episode goes on after its success, as in AVDC's films."""


def record(job: dict[str, Any], out: Path, world: World, views: Views | None) -> dict[str, Any]:
    """Run the expert on one layout and film it.

    Args:
        job: task, seed, cameras, frames (of a film), pictures (whether there is a video, or masks alone).
        world: at the start of the episode.
        views: of that world.
        out: folder for CAMERA.npz with video [3, T, H, W, 3] (or the first frame alone, [1, 1, H, W, 3]), labels [3, T, H, W], depth [H, W] of the first frame, and
            for all films steps [3, T], hand [3, T, 3], fingers [3, T, 3], opening [3, T], pose [3, T, 7].

    Returns:
        success, steps, and the cameras' geometry by name. Nothing is filmed where the expert fails.
    """
    moments = _play(world)
    result: dict[str, Any] = {"success": world.success, "steps": world.steps}
    if not world.success:
        return result
    picks = _picks(len(moments), job["frames"])
    known = {
        name: np.array([[moments[number][name] for number in pick] for pick in picks])
        for name in ("hand", "fingers", "opening", "pose")
    }
    np.savez(out / "truth.npz", steps=np.array(picks), **known)
    if views is None:
        return result
    numbers = sorted({number for pick in picks for number in pick})
    cameras = {}
    for camera in job["cameras"]:
        seen = {}
        for number in numbers:
            world.show(moments[number]["state"])
            pictured = job["pictures"] or number == 0
            seen[number] = views.picture(camera) if pictured else None, views.labels(camera)
        world.show(moments[picks[0][0]]["state"])
        np.savez(
            out / f"{camera}.npz",
            video=np.array([[seen[number][0] for number in pick] for pick in (picks if job["pictures"] else [[0]])]),
            labels=np.array([[seen[number][1] for number in pick] for pick in picks]),
            depth=views.depth(camera),
        )
        cameras[camera] = views.camera(camera)
    return {**result, "cameras": cameras}


def _play(world: World) -> list[dict[str, Any]]:
    """The moments of an episode of the expert: before each step, and after the last."""
    policy, moments, after = world.expert(), [_moment(world)], 0
    while world.steps < MAX_STEPS and after < _AFTER:
        action: Array = np.asarray(policy.get_action(world.observation), dtype=np.float64)
        world.step(action)
        moments.append(_moment(world))
        after += world.success
    return moments


def _moment(world: World) -> dict[str, Any]:
    return {
        "state": world.state(),
        "hand": world.hand,
        "fingers": world.fingers,
        "opening": world.opening,
        "pose": world.pose,
    }


def _picks(count: int, frames: int) -> list[list[int]]:
    """The numbers of the films' moments of `count`: from the start each third of a grid, then each second, then each."""
    grid = np.linspace(0, count - 1, FILMS * (frames - 1) + 1).round().astype(int).tolist()
    return [grid[film * (frames - 1) :: FILMS - film] for film in range(FILMS)]
