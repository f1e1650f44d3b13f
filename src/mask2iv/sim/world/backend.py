"""The one gate to the optional MuJoCo dependency and to an OpenGL context without a display."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import missing

_LOAD_ERRORS = (ImportError, OSError, AttributeError, RuntimeError, TypeError)
"""What MuJoCo and PyOpenGL raise where a flavour of OpenGL is missing or finds no device."""


def require_mujoco() -> ModuleType:
    """Import MuJoCo for rendering without a display: with EGL, or with OSMesa where EGL does not start.

    Environment defaults are set first, because MuJoCo and the software renderer read them when they load: MUJOCO_GL,
    and one rasteriser thread per process (clips are made in parallel by processes instead).

    Raises:
        InputError: mujoco is not installed, or no headless OpenGL; the message says what to install.
    """
    os.environ.setdefault("LP_NUM_THREADS", "1")
    failures = []
    for flavour in _flavours():
        os.environ["MUJOCO_GL"] = flavour
        try:
            return importlib.import_module("mujoco")
        except _LOAD_ERRORS as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "mujoco":
                raise missing("mujoco", "the interaction generator") from error
            failures.append(f"{flavour}: {error}")
            _unbind_opengl()
    raise _no_opengl("; ".join(failures))


def _flavours() -> tuple[str, ...]:
    asked = os.environ.get("MUJOCO_GL")
    if "mujoco" in sys.modules:
        return (asked or "egl",)
    return ("osmesa",) if asked == "osmesa" else ("egl", "osmesa")


def _unbind_opengl() -> None:
    """PyOpenGL binds its platform on first import; the next flavour needs it unbound."""
    os.environ.pop("PYOPENGL_PLATFORM", None)
    for name in [name for name in sys.modules if name.split(".")[0] == "OpenGL"]:
        del sys.modules[name]


def _no_opengl(why: str) -> InputError:
    return InputError(
        "no headless OpenGL for mujoco: install the system packages libegl1 and libgl1-mesa-dri (EGL) or libosmesa6 "
        f"(OSMesa); {why}"
    )


def create_gl_context(width: int, height: int) -> Any:
    """An OpenGL context that needs no display, already current.

    Raises:
        InputError: it cannot be made; the message names the system packages.
    """
    require_mujoco()
    failures = []
    # Some systems have EGL's library but no device for it: that shows only here.
    for flavour in ("osmesa",) if os.environ["MUJOCO_GL"] == "osmesa" else ("egl", "osmesa"):
        os.environ["MUJOCO_GL"] = flavour
        try:
            context = importlib.import_module(f"mujoco.{flavour}").GLContext(width, height)
            context.make_current()
        except _LOAD_ERRORS as error:
            failures.append(f"{flavour}: {error}")
            _unbind_opengl()
        else:
            return context
    raise _no_opengl("; ".join(failures))
