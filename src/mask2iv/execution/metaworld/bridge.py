"""Jobs for Meta-World's own environment: files out, a process, files back."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mask2iv
from mask2iv.errors import InputError
from mask2iv.parsing import parse_json

VARIABLE = "MASK2IV_METAWORLD"
"""Names the environment's Python where it is not ``.venv-metaworld/bin/python`` below the working folder."""
_SERVER = "mask2iv.execution.metaworld.server"

Job = Mapping[str, Any]


def metaworld_python() -> Path:
    """The Python that has Meta-World.

    Raises:
        InputError: there is none.
    """
    python = Path(os.environ.get(VARIABLE, ".venv-metaworld/bin/python"))
    if not python.is_file():
        raise InputError(
            "metaworld",
            f"no environment with Meta-World at {python}",
            f"run `make metaworld` in the checkout, or name its Python in {VARIABLE}",
        )
    return python


def do_jobs(jobs: Sequence[Job], out: Path, processes: int = 1) -> dict[str, dict[str, Any]]:
    """Have jobs done in Meta-World's environment. Those that an earlier, stopped call did already are not done again.

    Args:
        jobs: each with ``id``, ``kind`` and the kind's fields, see :mod:`mask2iv.execution.metaworld.server`.
        out: folder for what they write.
        processes: how many work side by side.

    Returns:
        The results by id.

    Raises:
        InputError: no environment, or the simulator failed.
    """
    python = metaworld_python()
    out.mkdir(parents=True, exist_ok=True)
    package = Path(mask2iv.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1", "LP_NUM_THREADS": "1"}
    running = []
    for number in range(processes):
        part = jobs[number::processes]
        if not part:
            continue
        path = out / f"jobs-{number}.jsonl"
        path.write_text("".join(f"{_line(job)}\n" for job in part))
        with (out / f"log-{number}.txt").open("w") as log:
            call = [str(python), "-m", _SERVER, str(path), str(out), f"results-{number}.jsonl"]
            running.append((subprocess.Popen(call, env=environment, stdout=log, stderr=subprocess.STDOUT), log.name))
    for process, log_name in running:
        if process.wait():
            last = Path(log_name).read_text().strip().splitlines()[-1:]
            raise InputError("metaworld", f"the simulator failed: {' '.join(last)}", f"see {log_name}")
    return _results(jobs, out)


def _line(job: Job) -> str:
    return json.dumps(dict(job))


def _results(jobs: Sequence[Job], out: Path) -> dict[str, dict[str, Any]]:
    digests = {hashlib.sha256(_line(job).encode()).hexdigest() for job in jobs}
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(out.glob("results-*.jsonl")):
        for line in path.read_text().splitlines():
            row = parse_json(line)
            if row["job"] in digests:
                found[row["id"]] = row
    missing = [job["id"] for job in jobs if job["id"] not in found]
    if missing:
        raise InputError("metaworld", f"the simulator left out {len(missing)} jobs, {missing[0]} first")
    return {job["id"]: found[job["id"]] for job in jobs}
