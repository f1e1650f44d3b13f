"""The eleven Meta-World tasks of AVDC (Ko et al. 2023), and how pictures of them are taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MetaWorldTask:
    """One task.

    Attributes:
        name: as Meta-World has it, without its version.
        verb, object_name: of the caption.
        caption: the instruction.
        parts: numbers of the geoms that are the manipulated object, those that AVDC takes: the part that is handled.
    """

    name: str
    verb: str
    object_name: str
    caption: str
    parts: tuple[int, ...]


def _task(name: str, verb: str, object_name: str, parts: tuple[int, ...], rest: str = "") -> MetaWorldTask:
    article = "an" if object_name[0] in "aeiou" else "a"
    return MetaWorldTask(name, verb, object_name, f"a robot arm {verb} {article} {object_name}{rest}", parts)


TASKS: Mapping[str, MetaWorldTask] = {
    task.name: task
    for task in (
        _task("door-open", "opening", "door", (43,)),
        _task("door-close", "closing", "door", (42, 43)),
        _task("basketball", "putting", "basketball", (36, 37), " into a hoop"),
        _task("shelf-place", "putting", "block", (36,), " on a shelf"),
        _task("button-press", "pressing", "button", (43, 44)),
        _task("button-press-topdown", "pressing", "button", (43, 44), " down"),
        _task("faucet-close", "closing", "faucet", (39, 41)),
        _task("faucet-open", "opening", "faucet", (39, 41)),
        _task("handle-press", "pressing", "handle", (42, 43), " down"),
        _task("hammer", "driving a nail with", "hammer", (36,)),
        _task("assembly", "putting", "ring", (37, 38), " on a peg"),
    )
}
"""By name, in AVDC's order."""

CAMERAS = ("corner", "corner2", "corner3")
"""AVDC's three cameras, in the simulator's own names."""

CROP = 128 / 240
"""The share of a camera's height that a picture shows, about the middle: the networks of AVDC see the middle 128 of 240
rows."""

MAX_STEPS = 500
"""Steps of an episode, after which it has failed."""
