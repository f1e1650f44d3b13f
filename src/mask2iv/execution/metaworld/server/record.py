"""Films of the scripted experts.

For training there are three films of each episode: the whole of it, and what is left from a third and from two thirds
on. So a network sees scenes in which something has happened already, as it will when it plans again. (AVDC's training
draws the first frame at random.)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.execution.metaworld.server.views import Views
from mask2iv.execution.metaworld.server.world import Array, World
from mask2iv.execution.metaworld.tasks import MAX_STEPS

_AFTER = 10
"""Steps that an episode goes on after its success, as in AVDC's films."""


def record(job: dict[str, Any], out: Path, world: World, views: Views | None) -> dict[str, Any]:
    """Run the expert on one layout and film it.

    Args:
        job: task, seed, cameras, films (K), frames (T, of a film), pictures (whether there is a video, or masks alone).
        world: at the start of the episode.
        views: of that world.
        out: folder for CAMERA.npz with video [K, T, H, W, 3] (without pictures the first frame alone, [1, 1, H, W, 3]),
            labels [K, T, H, W] and depth [H, W] of the first frame; and for truth.npz with steps [K, T], hand
            [K, T, 3], fingers [K, T, 3], opening [K, T], pose [K, T, 7].

    Returns:
        success, steps, and the cameras' geometry by name. Nothing is filmed where the expert fails.
    """
    moments = _play(world)
    result: dict[str, Any] = {"success": world.success, "steps": world.steps}
    if not world.success:
        return result
    picks = _picks(len(moments), job["films"], job["frames"])
    known: dict[str, Any] = {
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


def _picks(count: int, films: int, frames: int) -> list[list[int]]:
    """The numbers of the films' moments, of `count`. Film k of K begins at k/K and ends with the episode; of a grid
    that all share it has each (K - k)-th."""
    grid = np.linspace(0, count - 1, films * (frames - 1) + 1).round().astype(int).tolist()
    return [grid[film * (frames - 1) :: films - film] for film in range(films)]
