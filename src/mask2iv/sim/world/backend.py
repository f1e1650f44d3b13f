"""Access to the optional MuJoCo dependency and to an OpenGL context without a display."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any

from mask2iv.errors import InputError
from mask2iv.extras import missing

_LOAD_ERRORS = (ImportError, OSError, AttributeError, RuntimeError, TypeError)
"""What MuJoCo and PyOpenGL raise when an OpenGL platform is missing or finds no device."""


def require_mujoco() -> ModuleType:
    """Import MuJoCo for rendering without a display: with EGL, or with OSMesa where EGL does not start.

    Sets environment defaults first, because MuJoCo and the software renderer read them on loading: MUJOCO_GL, and one
    rasteriser thread per process (processes make clips in parallel instead).

    Raises:
        InputError: mujoco is not installed, or there is no headless OpenGL; the message says what to install.
    """
    os.environ.setdefault("LP_NUM_THREADS", "1")
    failures = []
    for flavour in _flavours():
        os.environ["MUJOCO_GL"] = flavour
        try:
            return importlib.import_module("mujoco")
        except _LOAD_ERRORS as error:
            if isinstance(error, ModuleNotFoundError) and error.name == "mujoco":
                raise missing("mujoco", "simulation") from error
            failures.append(f"{flavour}: {error}")
            _unbind_opengl()
    raise _no_opengl("; ".join(failures))


def _flavours() -> tuple[str, ...]:
    asked = os.environ.get("MUJOCO_GL")
    if "mujoco" in sys.modules:
        return (asked or "egl",)
    return ("osmesa",) if asked == "osmesa" else ("egl", "osmesa")


def _unbind_opengl() -> None:
    """Unload PyOpenGL, which binds its platform on first import, so that the next platform can be tried."""
    os.environ.pop("PYOPENGL_PLATFORM", None)
    for name in [name for name in sys.modules if name.split(".")[0] == "OpenGL"]:
        del sys.modules[name]


def _no_opengl(why: str) -> InputError:
    return InputError(
        "mujoco",
        f"no headless OpenGL found: {why}",
        "install the system packages libegl1 and libgl1-mesa-dri (EGL) or libosmesa6 (OSMesa)",
    )


def create_gl_context(width: int, height: int) -> Any:
    """An OpenGL context that needs no display, already current.

    Raises:
        InputError: it cannot be created; the message names the system packages.
    """
    require_mujoco()
    failures = []
    # Some systems have the EGL library but no device for it, which shows only here.
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
