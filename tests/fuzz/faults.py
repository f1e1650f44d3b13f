"""Disturb commands that write for long: ``python tests/fuzz/faults.py --kills 10 --report faults.json [TARGET ...]``.

Each command runs alone first. Then it is killed at random moments and begun again until it has finished; runs on disks
too small for its output, which are enlarged afterwards; and runs twice at a time on one output. In the end the output
must be that of the run alone: same files, same bytes, but for times.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import run as fuzzing  # noqa: E402

WRITERS = ("generate", "jobs", "clips", "join", "simulate", "evaluate", "train-vae", "import", "join-stages", "export",
           "pack", "unpack", "reproduce", "curate", "export-lerobot", "export-webdataset")  # fmt: skip
_TIMED = {
    *("manifest.json", "jobs-manifest.json", "metrics.json", "log.jsonl", "report.html", "per_clip.parquet"),
    *("import_report.json", "state.json", "protocol.json", "reproduce.json", "table-ablation.json"),
}
"""Files with times, versions or paths in them; they must be there, whatever their bytes."""
SLACK = 128 * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="commands, by their names in world.py; all that write for long")
    parser.add_argument("--kills", type=int, default=3, help="kills of each (3)")
    parser.add_argument("--disks", type=int, default=4, help="full disks of each, two or more (4)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--world", type=Path, help="folder of the valid inputs; made there unless it exists")
    parser.add_argument("--report", type=Path, help="write counts and findings as JSON")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="mask2iv-faults-"))
    world = fuzzing.make_world(options.world or scratch / "world")
    import preload  # noqa: F401  what the commands import, before the forks

    report = {}
    for name in options.targets or WRITERS:
        report[name] = Disturbed(name, world, scratch, random.Random(f"{options.seed} {name}")).all(
            options.kills, options.disks
        )
        print(f"{name}: {report[name]}", flush=True)
    if options.report:
        options.report.write_text(json.dumps(report, indent=2) + "\n")
    shutil.rmtree(scratch)
    return 1 if any(of["findings"] for of in report.values()) else 0


class Disturbed:
    """A command, run alone and disturbed.

    Args:
        name: of a target.
        world: the valid inputs.
        scratch: for its runs.
        rng: decides when it is killed.
    """

    def __init__(self, name: str, world: Path, scratch: Path, rng: random.Random) -> None:
        from world import TARGETS, WITH_WORKERS

        self.name, self.world, self.scratch, self.rng = name, world, scratch, rng
        target = {**TARGETS, **WITH_WORKERS}[name]
        self.workers = name in WITH_WORKERS
        # From the beginning, but for an evaluation that is half done.
        self.target = target if name == "evaluate" else replace(target, before="")
        self.findings: list[str] = []
        folder = self._prepared(scratch / "alone")
        before = size_of(folder)
        started = time.monotonic()
        status, said = self._start(folder)()
        self.seconds = time.monotonic() - started
        assert status == 0, f"{name} alone: {status}: {said}"
        self.wanted = contents(folder / "out")
        self.sizes = before, size_of(folder) - before
        shutil.rmtree(folder)

    def all(self, kills: int, disks: int) -> dict[str, Any]:
        """Counts of what was done, and findings."""
        counts = {"seconds": round(self.seconds, 2), "kills": self.kills(kills), "disks": self.full_disks(disks)}
        counts["pairs"] = self.twice()
        if self.workers:
            counts["workers killed"] = self.deaths(kills)
        return {**counts, "findings": self.findings}

    def kills(self, count: int) -> int:
        """Kill it at random moments until `count` kills have hit a living process. After one to three of them it may
        finish."""
        done = 0
        while done < count:
            folder = self._prepared(self.scratch / "killed")
            for _ in range(min(self.rng.choice((1, 1, 2, 3)), count - done)):
                done += self._kill(folder)
            self._finish(folder, f"after kills up to {done}")
        return done

    def full_disks(self, count: int) -> int:
        """Run it on `count` disks, from none of the room for the output to nine tenths of it, then enlarge them."""
        if os.geteuid() != 0:
            return 0
        inputs, output = self.sizes
        shares = [0.9 * place / (count - 1) for place in range(count)]
        for share in shares:
            with disk(self.scratch / "disk", inputs + SLACK + int(share * output)) as enlarge:
                folder = self._prepared(self.scratch / "disk" / "case")
                status, said = self._start(folder)()
                lines = [line for line in said.splitlines() if line.startswith("mask2iv: error")]
                if status not in (0, 2) or (status == 2 and len(lines) != 1) or "Traceback" in said:
                    self.findings.append(f"{self.name}, disk with {share:.0%}: {status}: {said[-300:]}")
                enlarge()
                self._finish(folder, f"after a disk with {share:.0%}")
        return len(shares)

    def twice(self) -> int:
        """Run it twice at a time on one output: one does the work, the other refuses."""
        folder = self._prepared(self.scratch / "twice")
        both = [self._start(folder, "-a"), self._start(folder, "-b")]
        ends = [wait() for wait in both]
        # Rows of a table may be made by several processes, and a single file is replaced as a whole.
        if sorted(status for status, _ in ends) != [0, 2] and self.name not in ("reproduce", "export"):
            self.findings.append(f"{self.name}, two at a time: {[(status, said[-300:]) for status, said in ends]}")
        self._compare(folder, "after two at a time")
        shutil.rmtree(folder)
        return 1

    def deaths(self, count: int) -> int:
        """Kill its workers, one or two in a run, at random moments: it ends as if nothing had been."""
        done = 0
        while done < count:
            folder = self._prepared(self.scratch / "deaths")
            pids: list[int] = []
            wait = self._start(folder, started=pids.append)
            for _ in range(min(self.rng.choice((1, 2)), count - done)):
                time.sleep(self.rng.uniform(0, self.seconds / 2))
                workers = workers_of(pids[0])
                if workers:
                    os.kill(self.rng.choice(workers), signal.SIGKILL)
                    done += 1
            status, said = wait()
            if status != 0:
                self.findings.append(f"{self.name}, a worker killed: {status}: {said[-300:]}")
            self._compare(folder, f"after {done} workers were killed")
            shutil.rmtree(folder)
        return done

    def _finish(self, folder: Path, when: str) -> None:
        done = contents(folder / "out") == self.wanted
        status, said = self._start(folder)()
        if status != 0 and not done:  # what is finished may be refused
            self.findings.append(f"{self.name} {when}: {status}: {said[-300:]}")
        self._compare(folder, when)
        if folder.parent == self.scratch:
            shutil.rmtree(folder)

    def _compare(self, folder: Path, when: str) -> None:
        found = contents(folder / "out")
        if found != self.wanted:
            names = sorted(name for name in {*found, *self.wanted} if found.get(name) != self.wanted.get(name))
            self.findings.append(f"{self.name} {when}: differs in {', '.join(names[:5])}")

    def _prepared(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        fuzzing.fill(self.target, self.world, folder)
        return folder

    def _kill(self, folder: Path) -> int:
        wait = self._start(folder)
        time.sleep(self.rng.uniform(0, self.seconds))
        return wait(kill=True)[0] == -signal.SIGKILL

    def _start(
        self, folder: Path, suffix: str = "", started: Callable[[int], None] = lambda _: None
    ) -> Callable[..., tuple[int, str]]:
        """Start it; the result waits for its end, or kills it: exit status, and what it printed to stderr."""
        log = folder.with_name(f"{folder.name}{suffix}.log") if folder.parent == self.scratch else self.scratch / "log"
        child = os.fork()
        if child == 0:
            self._run(folder, log)
        started(child)

        def wait(kill: bool = False) -> tuple[int, str]:
            if kill:
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status), log.read_text(errors="replace") if log.is_file() else ""

        return wait

    def _run(self, folder: Path, log: Path) -> None:
        os.setsid()
        os.chdir(folder)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(descriptor, stream)
        status = 70
        try:
            status = self.target.program(self.target.argv)
        except BaseException:  # noqa: BLE001  shown as what it is
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)


def workers_of(pid: int) -> list[int]:
    """Processes that do a process's work: its fork server's children."""

    def children(parent: int) -> list[int]:
        return [int(one) for one in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]

    try:
        servers = [one for one in children(pid) if b"forkserver" in Path(f"/proc/{one}/cmdline").read_bytes()]
        return [worker for server in servers for worker in children(server)]
    except OSError:  # it has ended meanwhile
        return []


@contextmanager
def disk(folder: Path, size: int) -> Any:
    """A disk of `size` bytes in memory; what is yielded enlarges it."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], check=True)
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=2g", str(folder)], check=True)
    finally:
        # Python's helper processes end after the command: a server of workers when it has imported everything.
        for last in (False,) * 600 + (True,):
            if (
                subprocess.run(
                    ["umount", str(folder)], check=last, stderr=None if last else subprocess.DEVNULL
                ).returncode
                == 0
            ):
                break
            time.sleep(0.1)
        folder.rmdir()


def contents(folder: Path) -> dict[str, str]:
    """Hashes of the files of a folder by their paths, the timed ones without; leftovers of killed writers aside."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
        name = path.relative_to(folder.parent).as_posix()
        if not path.is_file() or any(part.startswith(".") for part in name.split("/")):
            continue
        if path.name.startswith("events.out") or "/cache/" in name or path.suffix == ".lock":
            continue
        text = path.read_bytes()
        if path.name == "per_clip.jsonl":
            rows = [json.loads(line) for line in text.splitlines()]
            text = json.dumps([{key: value for key, value in row.items() if key != "seconds"} for row in rows]).encode()
        found[name] = "there" if path.name in _TIMED else hashlib.sha256(text).hexdigest()
    return found


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder, each in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
