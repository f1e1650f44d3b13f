"""Named full configurations: each derives from a base in a few lines."""

from __future__ import annotations

from collections.abc import Callable

from mask2iv.errors import InputError
from mask2iv.recipes.dynamicrafter import DYNAMICRAFTER
from mask2iv.recipes.embedded import embedded, embedded_cpu, tiny
from mask2iv.recipes.types import (
    AutoencoderRecipe,
    EncodersRecipe,
    PainterRecipe,
    PlannerRecipe,
    Recipe,
    ReferenceRecipe,
    StageRecipe,
)

__all__ = [
    "RECIPES",
    "AutoencoderRecipe",
    "EncodersRecipe",
    "PainterRecipe",
    "PlannerRecipe",
    "Recipe",
    "ReferenceRecipe",
    "StageRecipe",
    "get_recipe",
]

RECIPES: dict[str, Callable[[], Recipe]] = {
    "embedded": embedded,
    "embedded-cpu": embedded_cpu,
    "tiny": tiny,
    **DYNAMICRAFTER,
}


def get_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        InputError: there is none.
    """
    if name not in RECIPES:
        raise InputError("recipe", f"{name!r} is not known", f"choose one of {', '.join(RECIPES)}")
    return RECIPES[name]()
