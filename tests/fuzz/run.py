"""Fuzz the commands: ``python tests/fuzz/run.py --cases 500 --seed 0 --report fuzz.json [TARGET ...]``.

Each case copies the valid inputs of a command, changes one to three of the files that it reads, and runs the command in
a process of its own. Findings are tracebacks, hangs above a minute, more than 4 GiB, processes started, code unpickled
and files outside the output folder. A case is found again by its seed: ``--only SEED TARGET``.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="commands, by their names in world.py; all by default")
    parser.add_argument("--cases", type=int, default=10, help="cases of each (10)")
    parser.add_argument("--seed", type=int, default=0, help="of the series (0)")
    parser.add_argument("--only", type=int, help="run the one case of this seed, and show what it printed")
    parser.add_argument("--world", type=Path, help="folder of the valid inputs; made there unless it exists")
    parser.add_argument("--report", type=Path, help="write counts and findings as JSON")
    return parser.parse_args()


def main() -> int:
    options = parse()
    scratch = Path(tempfile.mkdtemp(prefix="mask2iv-fuzz-"))
    world = make_world(options.world or scratch / "world")
    report = fuzz(options, world, scratch)
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")
    shutil.rmtree(scratch)
    return 1 if any(of["findings"] for of in report.values()) else 0


def make_world(folder: Path) -> Path:
    """The valid inputs, made where they are not there yet.

    That is done in a process of its own, since one that has trained cannot be forked.
    """
    if not folder.is_dir():
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([sys.executable, str(HERE / "world.py"), str(folder)], check=True, **quiet)
    return folder.resolve()


def fuzz(options: argparse.Namespace, world: Path, scratch: Path) -> dict[str, Any]:
    import preload  # noqa: F401  what the commands import, before the forks
    from world import TARGETS

    names = options.targets or list(TARGETS)
    if options.only is not None:
        outcome, changes = one(names[0], options.only, world, scratch)
        print(f"{changes}\n{outcome.status} in {outcome.seconds:.1f} s, {outcome.peak_bytes / 2**30:.2f} GiB")
        print(*outcome.faults, outcome.stderr, sep="\n")
        return {}
    return {name: series(name, options, world, scratch) for name in names}


def series(name: str, options: argparse.Namespace, world: Path, scratch: Path) -> dict[str, Any]:
    """Cases of one command: how they ended, and the findings."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    started, ends, findings = time.monotonic(), Counter[str](), []

    @seed(f"{options.seed} {name}")
    @settings(
        max_examples=options.cases, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 2**32 - 1))
    def case(number: int) -> None:
        outcome, changes = one(name, number, world, scratch)
        ends[str(outcome.status)] += 1
        if outcome.faults:
            findings.append({"seed": number, "changes": changes, "faults": outcome.faults})
            print(f"{name} {number}: {'; '.join(outcome.faults)}  [{'; '.join(changes)}]", flush=True)

    case()
    seconds = round(time.monotonic() - started, 1)
    count = sum(ends.values())
    print(f"{name}: {count} cases, {len(findings)} findings, {dict(ends)}, {seconds:.0f} s", flush=True)
    return {"cases": count, "seed": options.seed, "ends": dict(ends), "findings": findings, "seconds": seconds}


def one(name: str, number: int, world: Path, scratch: Path) -> Any:
    """Run a case; its outcome and what was changed."""
    import mutations
    import sandbox
    from world import TARGETS

    target, rng = TARGETS[name], random.Random(number)
    folder = scratch / "case"
    folder.mkdir()
    fill(target, world, folder)
    argv = list(target.argv)
    changes = []
    if target.flags and (not target.mutated or rng.random() < 0.25):
        flag, value = rng.choice(target.flags), rng.choice(mutations.ODD_VALUES)
        changes.append(f"{flag} {value[:30]!r}")
        argv += [flag, value]
    files = sorted({path for glob in target.mutated for path in folder.glob(glob) if path.is_file()})
    chosen = rng.sample(files, min(len(files), rng.choice((0, 1) if changes else (1, 1, 1, 2))))
    # Whoever packs gigabytes wants them packed.
    traps = world / "traps"
    changes += [f"{path.relative_to(folder)}: {mutations.mutate(path, rng, traps, name != 'pack')}" for path in chosen]
    outcome = sandbox.run(argv, folder, target.program)
    for path in (folder, folder.with_name("case-logs")):
        shutil.rmtree(path)
    return outcome, changes


def fill(target: Any, world: Path, folder: Path) -> None:
    """Copy what a target reads into a folder."""
    for entry in target.inputs:
        _copy(world / entry, folder / entry)
    if target.before:
        _copy(world / target.before, folder / "out")


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
