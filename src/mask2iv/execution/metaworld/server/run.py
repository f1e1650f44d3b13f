"""Plans carried out: a program of waypoints for the gripper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mask2iv.execution.metaworld.server.views import Views
from mask2iv.execution.metaworld.server.world import Array, World
from mask2iv.execution.metaworld.tasks import MAX_STEPS

GAIN = 20.0
"""Action per metre of error, as in AVDC's policy: the hand slows down over the last 5 cm."""
_STILL = 0.001
"""A hand that moves less than this in a step, metres, counts as stuck."""


def run(job: dict[str, Any], out: Path, world: World, views: Views | None) -> dict[str, Any]:
    """Carry out programs one after the other from the start of an episode.

    The simulation is exactly repeatable, so a call with the same programs and one more is what planning again in the
    middle of an episode is.

    Args:
        job: task, seed, camera, film (the number of frames of film.npz, video [T, H, W, 3]; 0 for none) and programs, a
            list of programs, each a list of waypoints with

            to: where the point between the finger tips goes, [3]; null: it stays where it is;
            effort: of the gripper, -1 open to 1 closed;
            near: distance at which it has arrived, metres;
            steps: after so many it goes on to the next one, arrived or not;
            still: or after so many in which it did not move.

        out: folder for view.npz: what the camera sees in the end, unless the episode is over. picture [H, W, 3], labels
            [H, W], depth [H, W], fingers [3], opening, pose [7].
        world: at the start of the episode.
        views: of that world; None: no view is written.

    Returns:
        success, steps, the steps of each program, the camera's geometry, and the path of the fingers and of the
        object's position, every fifth step, [N, 6].
    """
    track, used = [_place(world)], []
    states = [world.state()]
    for program in job["programs"]:
        before = world.steps
        for waypoint in program:
            _go(world, waypoint, track, states)
        used.append(world.steps - before)
    result: dict[str, Any] = {"success": world.success, "steps": world.steps, "used": used, "track": track}
    if views is not None and not world.success and world.steps < MAX_STEPS:
        camera = job["camera"]
        np.savez(
            out / "view.npz",
            picture=views.picture(camera),
            labels=views.labels(camera),
            depth=views.depth(camera),
            fingers=world.fingers,
            opening=world.opening,
            pose=world.pose,
        )
        result["view"] = views.camera(camera)
    if views is not None and job.get("film"):
        video = []
        for number in np.linspace(0, len(states) - 1, job["film"]).round().astype(int):
            world.show(states[number])
            video.append(views.picture(job["camera"]))
        np.savez(out / "film.npz", video=np.array(video))
    return result


def _go(world: World, waypoint: dict[str, Any], track: list[list[float]], states: list[Array]) -> None:
    """Drive to a waypoint."""
    goal, still = world.fingers if waypoint["to"] is None else np.array(waypoint["to"]), 0
    for _ in range(waypoint["steps"]):
        if world.success or world.steps >= MAX_STEPS:
            return
        before = world.fingers
        if np.linalg.norm(goal - before) < waypoint["near"]:
            return
        world.step(np.append(np.clip(GAIN * (goal - before), -1, 1), waypoint["effort"]))
        if world.steps % 5 == 0:
            track.append(_place(world))
            states.append(world.state())
        still = still + 1 if np.linalg.norm(world.fingers - before) < _STILL else 0
        if still >= waypoint["still"]:
            return


def _place(world: World) -> list[float]:
    return [round(float(value), 4) for value in (*world.fingers, *world.pose[:3])]
