"""Runs killed at random moments, and while they write a checkpoint, end with the bytes of one left alone."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mask2iv.training.engine.checkpoint import list_checkpoints

Start = Callable[..., list[BaseProcess]]


def command(data: Path, out: Path, steps: int) -> list[str]:
    settings = [f"vae.training.max_steps={steps}", "vae.training.checkpoint_every=1", "vae.training.validate_every=5"]
    base = ["train", "vae", "--data", str(data), "--out", str(out), "--recipe", "tiny", "--threads", "1"]
    base += ["--max_shard_size", "64KiB", "--resume_from_checkpoint", "latest"]
    return [*base, *(part for setting in settings for part in ("--set", setting))]


def run_to_the_end(start: Start, given: list[str], output: Path) -> None:
    [process] = start(given, output)
    process.join(240)
    assert process.exitcode == 0, output.read_text()


def kill_when(process: BaseProcess, condition: Callable[[], bool], seconds: float = 60) -> bool:
    """SIGKILL as soon as the condition holds; False when the process ended before."""
    until = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < until:
        if condition():
            process.kill()
            process.join()
            return process.exitcode == -9
    process.join()
    return False


def killed_run(
    start: Start, given: list[str], directory: Path, output: Path, kills: int, writing: int, seed: int
) -> int:
    """Kill a run at random moments, then `writing` times while it writes a checkpoint. Returns the kills."""
    generator = random.Random(seed)
    steps_each = 2
    done = caught = 0
    while done < kills + writing:
        before = len(list_checkpoints(directory)) and int(list_checkpoints(directory)[-1].name[-8:])
        [process] = start(given, output)
        if done < kills:
            # Some moments after the run has come a random number of steps further.
            target, delay = before + generator.randint(1, steps_each), generator.random() * 0.2

            def further(target: int = target, delay: float = delay) -> bool:
                if (directory / f"checkpoint-{target:08d}").exists():
                    time.sleep(delay)
                    return True
                return False

            done += kill_when(process, further)
        else:

            def writes() -> bool:
                return any(any(path.iterdir()) for path in directory.glob(".checkpoint-*.*") if path.is_dir())

            try:
                done += kill_when(process, writes)
            except FileNotFoundError:  # it was renamed between being seen and being looked into
                process.kill()
                process.join()
            caught += any(directory.glob(".checkpoint-*"))
    assert caught >= 1, "no kill hit a checkpoint being written"
    return done


def assert_same_bytes(one: Path, other: Path, steps: int) -> None:
    """The component and everything a checkpoint holds."""
    for folder in (Path("vae"), Path("training") / "vae" / f"checkpoint-{steps:08d}"):
        names = sorted(path.name for path in (one / folder).glob("*.safetensors"))
        assert names == sorted(path.name for path in (other / folder).glob("*.safetensors"))
        for name in names:
            first, second = load_file(one / folder / name), load_file(other / folder / name)
            assert all(torch.equal(first[key], second[key]) for key in first), f"{folder / name} differs"


def experiment(start: Start, data: Path, folder: Path, kills: int, writing: int, seed: int) -> int:
    """Returns how many times the run was killed."""
    steps = 3 * (kills + writing) + 3
    alone, killed, output = folder / "alone", folder / "killed", folder / "output"
    run_to_the_end(start, command(data, alone, steps), output)
    given, directory = command(data, killed, steps), killed / "training" / "vae"
    count = killed_run(start, given, directory, output, kills, writing, seed)
    run_to_the_end(start, given, output)
    assert_same_bytes(alone, killed, steps)
    assert not list(directory.glob(".*")), "leftovers are removed"
    return count


def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(
    start: Start, tiny_clips: Path, tmp_path: Path
) -> None:
    assert experiment(start, tiny_clips, tmp_path, kills=2, writing=1, seed=0) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_ten_kills(seed: int, start: Start, tiny_clips: Path, tmp_path: Path) -> None:
    count = experiment(start, tiny_clips, tmp_path, kills=8, writing=2, seed=seed)
    print(f"seed {seed}: {count} kills, equal")
    assert count >= 10
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_two_processes_killed_at_random_moments_end_with_the_same_bytes(
    start: Start, tiny_clips: Path, tmp_path: Path
) -> None:
    """Five times both are killed, one a moment before the other; the last run goes on from there, on two again."""
    steps, output, generator = 40, tmp_path / "output", random.Random(3)
    alone, killed = tmp_path / "alone", tmp_path / "killed"

    def together(out: Path) -> list[BaseProcess]:
        return start([*command(tiny_clips, out, steps), "--device", "cpu"], output, 2)

    def finish(out: Path) -> None:
        processes = together(out)
        for process in processes:
            process.join(240)
        assert [process.exitcode for process in processes] == [0, 0], output.read_text()

    finish(alone)
    found = [0]
    while len(found) <= 5:
        processes = together(killed)
        first, second = generator.sample(processes, 2)
        step, delay = found[-1] + generator.randint(1, 3), generator.random() * 0.2

        def further(step: int = step, delay: float = delay) -> bool:
            """Some moments after it has come a few steps further."""
            there = (killed / "training" / "vae" / f"checkpoint-{step:08d}").exists()
            time.sleep(delay if there else 0)
            return there

        assert kill_when(first, further)
        time.sleep(generator.random() * 0.2)
        second.kill()
        second.join(60)
        found.append(int(list_checkpoints(killed / "training" / "vae")[-1].name[-8:]))
    print(f"killed after steps {found}")
    finish(killed)
    assert_same_bytes(alone, killed, steps)
    assert not list((killed / "training" / "vae").glob(".*")), "leftovers are removed"
