"""The program behind a bundle's ``start.sh``: any command of mask2iv, a session, or a training with what it needs.

A session is :mod:`mask2iv.bundle.session`. ``train COMPONENT [flags of mask2iv train]`` first simulates clips unless a
clip set is given, then trains the components that COMPONENT requires and that are not trained yet, each from its newest
checkpoint. Run again with the same flags, for example after a time limit, it continues where it stopped.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from mask2iv import cli
from mask2iv.bundle import session
from mask2iv.commands.models.train import Train
from mask2iv.config import read_config
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.experiments.variants import get_variant

COMPONENTS = {
    "vae": (),
    "encoders": (),
    "reference": ("vae",),
    "trajectory": ("vae", "encoders"),
    "video": ("vae", "encoders"),
}
"""Trained components in order, and those that each requires."""

# The components besides the stages that a folder of initial weights holds, and the flags that name such a folder.
_FROZEN = ("vae", "encoders", "reference")
_STARTS = ("--initial-weights", "--initial_weights", "--image-to-video", "--image_to_video")
_MIN_SIDE = 64
"""Smallest simulated clips, in pixels: objects must be visible. The recipes for tests are smaller."""
# Runs in its own process, since a process keeps the first OpenGL platform that it loads.
_PROBE = """
import os, sys
from mask2iv.errors import InputError
try:
    from mask2iv.sim.world.backend import create_gl_context
    context = create_gl_context(64, 64)
except InputError as error:
    sys.exit(str(error))
from OpenGL import GL
print(os.environ["MUJOCO_GL"], GL.glGetString(GL.GL_RENDERER).decode())
"""


@dataclass(frozen=True)
class Plan:
    """The commands of mask2iv that ``train`` runs in sequence.

    Attributes:
        data: the clip set.
        simulate: makes the clips, in a temporary folder; None if they exist.
        train: one command per component.
    """

    data: Path
    simulate: list[str] | None
    train: list[list[str]]


def parse(arguments: Sequence[str], recipe: str) -> tuple[argparse.Namespace, list[str]]:
    """The flags of this program, and those to pass on to ``mask2iv train``."""
    parser = argparse.ArgumentParser(
        prog="start.sh train",
        description="Simulate, then train a component and those it requires. Other flags go to `mask2iv train`.",
        allow_abbrev=False,
    )
    parser.add_argument("component", choices=[*COMPONENTS, "all"], help="what to train")
    parser.add_argument("--out", type=Path, required=True, help="model folder")
    parser.add_argument("--recipe", default=recipe, help=f"named configuration ({recipe})")
    parser.add_argument("--data", type=Path, help="clip set; default: simulated into OUT-data")
    parser.add_argument("--clips", type=int, default=2400, help="clips to simulate (2400)")
    parser.add_argument("--sim-seed", type=int, default=1000, help="seed of the simulated series (1000)")
    parser.add_argument("--resume_from_checkpoint", "--resume-from-checkpoint", default="latest", help="(latest)")
    return parser.parse_known_args(arguments)


def plan(given: argparse.Namespace, rest: Sequence[str]) -> Plan:
    """The commands to run.

    Raises:
        InputError: an unknown recipe, or clips with other settings in the place of the simulated ones.
    """
    recipe = get_variant(given.recipe)
    pipeline = recipe.pipeline
    data, simulate = given.data, None
    if data is None:
        data = given.out.with_name(given.out.name + "-data")
        scale = -(-_MIN_SIDE // min(pipeline.height, pipeline.width))
        size = (scale * pipeline.height, scale * pipeline.width)
        # A dry run reads no clips.
        if "--dry-run" not in rest and not _exist(data, given, size):
            flags = ["--clips", str(given.clips), "--seed", str(given.sim_seed), "--size", f"{size[0]}x{size[1]}"]
            # Not os.cpu_count(): a batch system may give a job only some of the cores.
            flags += ["--workers", str(len(os.sched_getaffinity(0)))]
            simulate = ["simulate", "--out", str(_unfinished(data)), *flags]
    wanted = list(COMPONENTS) if given.component == "all" else [*COMPONENTS[given.component], given.component]
    # Components of the initial weights, and those that the recipe does not train, are not trained.
    given_weights = _FROZEN if any(flag.partition("=")[0] in _STARTS for flag in rest) else ()
    wanted = [name for name in wanted if name in recipe.components and name not in given_weights]
    if given.component != "all" and given.component not in wanted:
        wanted.append(given.component)  # `mask2iv train` reports the fault
    todo = [name for name in wanted if name == given.component or not _is_trained(given.out, name)]
    flags = ["--data", str(data), "--out", str(given.out), "--recipe", given.recipe]
    flags += ["--resume_from_checkpoint", given.resume_from_checkpoint, *rest]

    def own(name: str) -> list[str]:
        """The flags without those for another component."""
        if name == given.component or recipe.reads_captions(name):
            return flags
        return [flag for flag in flags if flag not in ("--add-words", "--add_words")]

    return Plan(data, simulate, [["train", name, *own(name)] for name in todo])


def _exist(data: Path, given: argparse.Namespace, size: tuple[int, int]) -> bool:
    """Whether the clips to simulate exist already."""
    if not (data / "clipset.json").is_file():
        if data.is_dir() and any(data.iterdir()):
            raise InputError(str(data), "holds no finished clip set", "remove it to simulate there, or give a clip set")
        return False
    clips = ClipSet(data)
    seed = clips.info["provenance"].get("seed")
    if (len(clips), seed, clips.size) != (given.clips, given.sim_seed, size):
        raise InputError(
            str(data),
            f"holds {len(clips)} clips of seed {seed} in {clips.size[0]}x{clips.size[1]}, expected {given.clips} of "
            f"seed {given.sim_seed} in {size[0]}x{size[1]}",
            "give this or another clip set, choose another output folder, or remove it",
        )
    return True


def _unfinished(data: Path) -> Path:
    return data.with_name(f".{data.name}.unfinished")


def _is_trained(out: Path, component: str) -> bool:
    return (out / "training" / component / "manifest.json").is_file()


def probe_opengl() -> None:
    """Report which OpenGL platform renders, and use OSMesa if EGL does not start.

    Raises:
        InputError: neither starts.
    """
    done = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError("simulate", (done.stderr.strip().splitlines() or ["OpenGL does not start"])[-1])
    library, _, renderer = done.stdout.strip().splitlines()[-1].partition(" ")
    if library == "osmesa":
        print(f"start: EGL does not start here; simulating in software with OSMesa ({renderer})", flush=True)
        os.environ["MUJOCO_GL"] = "osmesa"
    else:
        print(f"start: simulating with EGL ({renderer})", flush=True)


def run_plan(todo: Plan) -> int:
    """Run the commands. Returns the exit status of the first one that fails; does not return from the last one.

    Each command has its own process, so that no training affects the next. The last one replaces this process, so that
    killing it, even with SIGKILL, ends the training.
    """
    if todo.simulate is not None:
        probe_opengl()
        # Left over if an earlier simulation was cut off.
        shutil.rmtree(_unfinished(todo.data), ignore_errors=True)
        if status := _run(_argv(todo.simulate)):
            return status
        os.replace(_unfinished(todo.data), todo.data)
    for command in todo.train[:-1]:
        if status := _run(_argv(command)):
            return status
    if not todo.train:
        return 0
    sys.stdout.flush()
    os.execv(sys.executable, _argv(todo.train[-1]))


def _argv(command: list[str]) -> list[str]:
    return [sys.executable, "-m", "mask2iv.cli", *command]


def _run(argv: list[str]) -> int:
    """Run a command to its end, passing SIGTERM on to it. Returns its exit status."""
    child = subprocess.Popen(argv)

    def stop(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        status = child.wait()
        return status if status >= 0 else 128 - status
    finally:
        signal.signal(signal.SIGTERM, before)
        child.kill()


def main(arguments: Sequence[str]) -> int:
    """Arguments: the bundle's folder, then a command of mask2iv. Exit status: as :func:`mask2iv.cli.main`."""
    bundle, *command = arguments
    if command[:1] not in (["session"], ["train"]):
        return cli.main(command)
    name, *flags = command
    try:
        if name == "session":
            return session.Session(session.parse(flags)).go()
        recipe = read_config(Path(bundle) / "bundle.json", dict[str, Any])["recipe"]
        return run_plan(plan(*parse(flags, recipe)))
    except InputError as error:
        print(f"start: error: {cli.worded(error, session.Options if name == 'session' else Train)}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
