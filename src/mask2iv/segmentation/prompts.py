"""Where things are in a first frame, as a user says it: boxes around them, or points on them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from mask2iv.errors import InputError
from mask2iv.segmentation.interfaces import Prompt

COLUMNS = ("object_box", "object_point", "actor_box", "actor_point")
"""Names under which they are said."""
_NUMBER = re.compile(r"[+-]?\d{1,9}(\.\d{1,9})?")


@dataclass(frozen=True)
class Prompts:
    """A box (x, y, w, h) or a point (x, y) for the object, and one for the actor if it is in the picture.

    They count in pixels of the upright first frame from its upper left corner.
    """

    object: Prompt
    actor: Prompt | None = None

    @property
    def all(self) -> list[Prompt]:
        """The object's, then the actor's if there is one."""
        return [self.object] if self.actor is None else [self.object, self.actor]

    def scaled(self, before: tuple[int, int], after: tuple[int, int]) -> Prompts:
        """The same in a picture that is resized from one (H, W) to another."""
        by = (after[1] / before[1], after[0] / before[0])

        def resized(prompt: Prompt) -> Prompt:
            return tuple(value * by[place % 2] for place, value in enumerate(prompt))

        return Prompts(resized(self.object), None if self.actor is None else resized(self.actor))

    def check(self, size: tuple[int, int]) -> None:
        """Raises InputError for one that is not within a picture of `size` (H, W)."""
        height, width = size
        for who, prompt in (("object", self.object), ("actor", self.actor)):
            if prompt is None:
                continue
            x, y, w, h = prompt if len(prompt) == 4 else (*prompt, 1.0, 1.0)
            if x < 0 or y < 0 or w < 1 or h < 1 or x + w > width or y + h > height:
                field = f"{who}_{'box' if len(prompt) == 4 else 'point'}"
                raise InputError(field, f"{_text(prompt)} is not within the picture of {width}x{height} pixels")


def parse_prompts(said: Mapping[str, str | None]) -> Prompts | None:
    """What is said under :data:`COLUMNS`: "X,Y,W,H" and "X,Y"; commas or spaces; None: nothing.

    Raises:
        InputError: another form, both a box and a point for one thing, or the actor alone.
    """
    given = {name: text.strip() for name in COLUMNS if (text := said.get(name)) and text.strip()}
    prompts = {name: _numbers(name, text) for name, text in given.items()}
    for who in ("object", "actor"):
        if f"{who}_box" in prompts and f"{who}_point" in prompts:
            raise InputError(f"{who}_point", f"stands beside {who}_box", "give one of them")
    object_prompt, actor = (prompts.get(f"{who}_box", prompts.get(f"{who}_point")) for who in ("object", "actor"))
    if object_prompt is not None:
        return Prompts(object_prompt, actor)
    if actor is not None:
        raise InputError(next(iter(prompts)), "is given without the object's", "give object_box or object_point too")
    return None


def _numbers(name: str, text: str) -> Prompt:
    parts = [part for part in re.split(r"[,\s]+", text) if part]
    form = "X,Y,W,H" if name.endswith("box") else "X,Y"
    if len(parts) != form.count(",") + 1 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise InputError(name, f"expected {form} in pixels, found {text!r}")
    return tuple(float(part) for part in parts)


def _text(prompt: Prompt) -> str:
    return ",".join(f"{value:g}" for value in prompt)
