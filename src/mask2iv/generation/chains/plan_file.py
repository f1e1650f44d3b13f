"""The file of ``mask2iv plan``: a picture, and what shall happen in it, step by step. YAML, of which JSON is a part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from mask2iv.config import from_dict
from mask2iv.errors import InputError, within
from mask2iv.files import reason, require_file
from mask2iv.generation.options import SceneOptions
from mask2iv.parsing import read_text_bytes

MOST_STEPS = 100
_OBJECTS = ("object_mask", "object_box", "object_point")
_PATHS = ("object_mask", "target_mask", "object_path")


@dataclass(frozen=True)
class Step:
    """One interaction. Files and places are those of the plan's picture; files are relative to the plan.

    Attributes:
        object_mask, object_box, object_point: the object, as of `mask2iv generate`, where the picture shows it; none of
            them: an object of an earlier step, where it is by then.
        object: words for it, "red can". Later steps mean it by the same words. If no step marks it by a mask, a box or
            a point, a detector finds it in the picture.
        same_as: of which step (from 1) the object is; None: of the one before, unless words are given.
        prompt, actor, target_mask, object_path: what shall happen, as of `mask2iv generate`.
        seed: None: the plan's, counted up by one for each step.
    """

    object_mask: str | None = None
    object_box: tuple[int, int, int, int] | None = None
    object_point: tuple[int, int] | None = None
    object: str | None = None
    same_as: int | None = None
    prompt: str | None = None
    actor: Literal["hand", "robot"] | None = None
    target_mask: str | None = None
    object_path: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Plan:
    """A file of steps.

    Attributes:
        version: 1.
        image: the picture, relative to the file.
        steps: in order.
        actor_mask: the actor, where the picture shows it.
    """

    version: Literal[1]
    image: str
    steps: tuple[Step, ...]
    actor_mask: str | None = None


class ReadPlan(NamedTuple):
    """What a file of steps says.

    Attributes:
        plan: the file.
        scenes: of each step, with paths that can be opened; without an object where that is an earlier step's, or is
            to be found by words.
        origins: for each step, in which one (from 0) its object is first named.
        sought: step (from 0) -> words for its object, which no step marks.
    """

    plan: Plan
    scenes: list[SceneOptions]
    origins: list[int]
    sought: dict[int, str]


def read_plan(path: Path) -> ReadPlan:
    """The plan in a file.

    Raises:
        InputError: no such file, no YAML, an unknown key, no steps, a step without object or wish, an object of a step
            that is not before, or one that is marked after it was named; names the file and the key.
    """
    require_file(path, "plan")
    with within(f"plan: {path}"):
        plan = from_dict(Plan, _parsed(path))
        if not 1 <= len(plan.steps) <= MOST_STEPS:
            raise InputError("steps", f"must be 1 to {MOST_STEPS}, found {len(plan.steps)}")
        scenes: list[SceneOptions] = []
        origins: list[int] = []
        named: dict[str, int] = {}
        for index, step in enumerate(plan.steps):
            with within(f"steps[{index}]"):
                origins.append(_origin(step, index, origins, named))
                scenes.append(_scene(plan, step, path.parent))
    marked = {index for index, step in enumerate(plan.steps) if _marks(step)}
    return ReadPlan(plan, scenes, origins, {index: words for words, index in named.items() if index not in marked})


def _parsed(path: Path) -> Any:
    try:
        value = yaml.load(read_text_bytes(path), Loader=_Loader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InputError("text", f"is not YAML: {reason(error)}") from error
    if not isinstance(value, dict):
        raise InputError("text", "must hold keys and values, found " + type(value).__name__)
    return value


class _Loader(yaml.SafeLoader):
    """Plain values only, and no aliases: a short text with them may stand for billions of values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not read")
        return super().compose_node(parent, index)


def _marks(step: Step) -> list[str]:
    return [name for name in _OBJECTS if getattr(step, name) is not None]


def _origin(step: Step, index: int, origins: list[int], named: dict[str, int]) -> int:
    """The step (from 0) in which a step's object is first named.

    Args:
        step, index: the step.
        origins: of the steps before.
        named: words -> step (from 0) in which they name an object first; this step's are added.
    """
    given, words = _marks(step), " ".join((step.object or "").lower().split())
    if step.object is not None and not words:
        raise InputError("object", "holds no words", "leave it out, or say what it is")
    told = [*given, *(["object"] if words and not given else []), *(["same_as"] if step.same_as is not None else [])]
    if len(told) > 1:
        raise InputError("object_mask", f"found {' and '.join(told[:2])}", "say once which object it is")
    if given and words in named:
        raise InputError(
            "object", f"step {named[words] + 1} names {words!r} already", "mark it there, or say it otherwise"
        )
    if words:
        return named.setdefault(words, index)
    if given:
        return index
    if index == 0:
        raise InputError("object_mask", "the first step names no object", "give a mask, a box, a point, or words")
    before = index if step.same_as is None else step.same_as
    if not 1 <= before <= index:
        raise InputError("same_as", f"must be a step before this one, 1 to {index}, found {before}")
    return origins[before - 1]


def _scene(plan: Plan, step: Step, folder: Path) -> SceneOptions:
    wishes = [name for name in ("prompt", "target_mask", "object_path") if getattr(step, name) is not None]
    if not wishes:
        raise InputError("prompt", "nothing says what shall happen", "give a prompt, a target_mask or an object_path")
    paths = {name: folder / value for name in _PATHS if (value := getattr(step, name)) is not None}
    return SceneOptions(
        image=folder / plan.image,
        object_box=None if step.object_box is None else ",".join(map(str, step.object_box)),
        object_point=None if step.object_point is None else ",".join(map(str, step.object_point)),
        prompt=step.prompt,
        actor=step.actor,
        actor_mask=None if plan.actor_mask is None else folder / plan.actor_mask,
        **paths,
    )
