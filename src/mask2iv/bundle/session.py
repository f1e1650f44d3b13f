"""A few minutes on a fast machine: simulate, train stage 1, stage 2 and the reference decoder further, measure, pack.

    sh start.sh session --out OUT --minutes 9

Every part has a share of the time that is left; what one leaves over, or takes too much, the next ones share. Stage 1
and stage 2 train beside each other, since one small network does not fill a large GPU. Before the first part ends, OUT
holds the model that the session started from, and after each training the improved one, so that whatever breaks or is
cut off later, a whole model is there. OUT/summary.json tells of each part how it went; OUT/pieces is for
`mask2iv unpack`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mask2iv.bundle.pieces import unpack
from mask2iv.bundle.processes import Run, run_process
from mask2iv.bundle.release import ABOUT, pack_release, take
from mask2iv.bundle.scales import SCALES, SHARES, Scale
from mask2iv.data.join import join_clip_sets
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import read_json, write_json
from mask2iv.pipelines.components import model_folder

TRAINED: dict[str, tuple[str, ...]] = {
    # A planner's codes are its painter's: new ones come together, or not at all.
    "painter": (),
    "planner": ("painter", "planner"),
    "video": ("video_unet", "video_resampler"),
    "reference": ("reference_decoder",),
}
"""Parts that train, and the components that the model gets when one has ended well."""
LANES = (("painter", "planner"), ("video", "reference"))
"""Trainings that need nothing of each other run beside each other; those of one lane one after the other."""
FILES = 8
"""Files that may be brought back; two of them are the summary and a filmstrip."""
_START_SECONDS = 25.0
"""What a training takes beside its time limit (start, last validation, saving) before one has been seen."""
_LEAST_SECONDS = 3.0


class LeftOut(Exception):
    """A part was not begun, and why."""


@dataclass(frozen=True)
class Options:
    """What a session is asked for; see :func:`parse`."""

    out: Path
    minutes: float
    scale: Scale
    shares: dict[str, float] = field(default_factory=lambda: dict(SHARES))
    model: str = "embedded"
    resume: Path | None = None
    data: tuple[Path, ...] = ()
    held_out: tuple[Path, ...] = ()
    device: str = "auto"
    work: Path | None = None
    sim_seed: int = 1000
    anew: tuple[str, ...] = ()


class Session:
    """One session.

    Args:
        options: what is asked for.
        run: how commands are run.
    """

    def __init__(self, options: Options, run: Run | None = None) -> None:
        self.options, self.run_command = options, run or run_process
        self.work = options.work or options.out.with_name(f"{options.out.name}-work")
        self.model = self.work / "model"
        self.data, self.held_out = self.work / "train", self.work / "held-out"
        # Stage 2 knows the actors' looks of the clips that it was trained on. So the reference decoder, which has to
        # cope with what stage 2 makes of others, learns from clips of its own.
        self.followed, self.rendered = self.work / "followed", self.work / "rendered"
        self.measured = self.work / "measured"
        self.about = self.work / "about"
        self.begun = time.monotonic()
        self.overhead = _START_SECONDS
        self.writing = threading.Lock()
        self.summary: dict[str, Any] = {"minutes": options.minutes, "scale": options.scale.name, "parts": {}}

    def go(self) -> int:
        """All parts, trainings in two lanes beside each other. Exit status: 0, or 1 where any part failed.

        Raises:
            InputError: there is nothing to start from, or no place to write to.
        """
        self._prepare()
        end, shares = self.begun + 60 * self.options.minutes, self.options.shares
        lanes = [[name for name in lane if name in shares] for lane in LANES]
        trained = max(sum(shares[name] for name in lane) for lane in lanes)
        before, after = ([name for name in names if name in shares] for names in (("simulate",), ("evaluate", "pack")))
        later = sum(shares[name] for name in after)
        self._in_turn(before, end, sum(shares[name] for name in before) + trained + later)
        now = time.monotonic()
        joined = now + max(end - now, 0.0) * trained / (trained + later) if trained else now
        with ThreadPoolExecutor(len(lanes)) as pool:
            # list() raises what a lane has raised, once all have ended.
            list(pool.map(lambda lane: self._in_turn(lane, joined, sum(shares[name] for name in lane)), lanes))
        self._in_turn(after, end, later)
        failed = [name for name, part in self.summary["parts"].items() if part["status"] == "failed"]
        print(f"session: {'failed: ' + ', '.join(failed) if failed else 'all parts done'} -> {self.options.out}")
        return 1 if failed else 0

    def _in_turn(self, names: Sequence[str], end: float, rest: float) -> None:
        """These parts, which with all later ones have the time to `end`, and of it the shares `rest` together.

        All later parts bear what an earlier one took too much, and none is starved by it.
        """
        for name in names:
            now, share = time.monotonic(), self.options.shares[name]
            self._part(name, now + max(end - now, 0.0) * share / rest)
            rest -= share

    def _prepare(self) -> None:
        if self.work.exists():
            raise InputError(f"{self.work} is there already, from a session before; remove it, or give another --work")
        self.work.mkdir(parents=True)
        self.options.out.mkdir(parents=True, exist_ok=True)
        if self.options.resume is None:
            self.start = model_folder(self.options.model)
        else:
            self.start = self.work / "start"
            unpack(self.options.resume, self.start)
            shutil.rmtree(self.start / ABOUT, ignore_errors=True)
        for folder in (self.model, *map(self._candidate, LANES)):
            # Checkpoints of how it was trained are no part of it.
            shutil.copytree(self.start, folder, ignore=shutil.ignore_patterns("training"))
        self._pack()

    def _part(self, name: str, ends: float) -> None:
        started = time.monotonic()
        record: dict[str, Any] = {"budget_seconds": round(max(ends - started, 0.0), 1)}
        print(f"session: {name}, {record['budget_seconds']:.0f} s", flush=True)
        try:
            record |= {"status": "done", **self._do(name, ends)}
        except LeftOut as why:
            record |= {"status": "left out", "why": str(why)}
        except (InputError, OSError) as error:
            record |= {"status": "failed", "why": str(error)}
        record["seconds"] = round(time.monotonic() - started, 1)
        with self.writing:
            self.summary["parts"][name] = record
            if record["status"] == "done" and TRAINED.get(name):
                self._pack_again(record)
            self._write_summary()
        print(f"session: {name}: {record['status']} {record.get('why', '')}".rstrip(), flush=True)

    def _do(self, name: str, ends: float) -> dict[str, Any]:
        """One part's figures."""
        if name == "pack":
            return self._pack()
        if name == "simulate" and self.options.data:
            return self._join(self.options.data, self.options.held_out)
        if ends - time.monotonic() < _LEAST_SECONDS:
            raise LeftOut("no time left")
        if name == "simulate":
            return self._simulate(ends)
        if not (self.data / "clipset.json").is_file():
            raise LeftOut("there are no clips")
        return self._evaluate(ends) if name == "evaluate" else self._train(name, ends)

    # --- the parts

    def _simulate(self, ends: float) -> dict[str, Any]:
        """Clips of three kinds, to train on and to hold out."""
        scale, begun = self.options.scale, time.monotonic()
        kinds = {
            "plain": (["--seed", str(self.options.sim_seed)], ["--seed", "3000"]),
            "sim-hoi": (
                ["--benchmark", "sim-hoi", "--split", "train"],
                ["--benchmark", "sim-hoi", "--split", "validation"],
            ),
            "sim-robot": (
                ["--benchmark", "sim-robot", "--split", "train"],
                ["--benchmark", "sim-robot", "--split", "validation"],
            ),
        }
        todo = [
            (f"{kind}-{use}", flags[index], count, share)
            for index, use, count, share in ((1, "held-out", scale.held_out, 0.2), (0, "train", scale.clips, 0.8))
            for kind, flags in kinds.items()
        ]
        due = begun
        for name, flags, count, share in todo:
            due += share * (ends - begun) / 3
            minutes = max(due - time.monotonic(), 1.0) / 60
            command = ["simulate", "--out", str(self.work / name), "--clips", str(count), *flags]
            command += ["--workers", str(len(os.sched_getaffinity(0))), "--max-minutes", f"{minutes:.4f}"]
            # Those that are begun when the time is up are still finished.
            self.run_command(command, 60 * minutes + self._grace(ends), self._log(f"simulate-{name}"))
        sets = [tuple(self.work / f"{kind}-{use}" for kind in kinds) for use in ("train", "held-out")]
        return self._join(*sets)

    def _join(self, sets: Sequence[Path], held_out: Sequence[Path]) -> dict[str, Any]:
        """Several sets made one: all, and the parts that trainings and evaluation take. How many clips there are."""
        scale = self.options.scale
        for given, parts in (
            (sets, {self.data: (0, None), self.followed: (0, -scale.rendered), self.rendered: (-scale.rendered, None)}),
            (held_out, {self.held_out: (0, None), self.measured: (0, scale.evaluated)}),
        ):
            for folder, (start, stop) in parts.items():
                join_clip_sets([one.subset(start, stop) for one in map(ClipSet, given)], folder)
        return {"clips": len(ClipSet(self.data)), "held_out_clips": len(ClipSet(self.held_out))}

    def _train(self, name: str, ends: float) -> dict[str, Any]:
        if name == "planner" and self.summary["parts"].get("painter", {}).get("status") != "done":
            raise LeftOut("it needs a painter that has been trained")
        scale, started = self.options.scale, time.monotonic()
        seconds = ends - started - self.overhead
        if seconds < _LEAST_SECONDS:
            raise LeftOut(f"{ends - started:.0f} s are no time to train, when {self.overhead:.0f} s go beside it")
        settings = {"max_minutes": f"{seconds / 60:.4f}", "validate_every": "0", "checkpoint_every": "1000000"}
        settings |= scale.settings[name]
        data = {"reference": self.rendered, "video": self.followed}.get(name, self.data)
        command = ["train", name, "--recipe", scale.recipe, "--data", str(data), "--held-out", str(self.held_out)]
        candidate = self._candidate(next(lane for lane in LANES if name in lane))
        command += ["--out", str(candidate), "--device", self.options.device]
        command += [] if name in self.options.anew else ["--initial-weights", str(self.start)]
        command += [part for key, value in settings.items() for part in ("--set", f"{name}.training.{key}={value}")]
        command += scale.flags
        self.run_command(command, ends - started + self._grace(ends), self._log(f"train-{name}"))
        self.overhead = max(time.monotonic() - started - seconds, 1.0)
        folder = candidate / "training" / name
        kept = self.about / "training" / name
        kept.mkdir(parents=True, exist_ok=True)
        for path in (*folder.glob("*.json*"), *folder.glob("*.png")):
            shutil.copy(path, kept)
        with self.writing:
            take(candidate, self.model, TRAINED[name])
        return {"steps": _steps(folder / "log.jsonl"), "figures": read_json(folder / "manifest.json")["figures"]}

    def _evaluate(self, ends: float) -> dict[str, Any]:
        scale = self.options.scale
        found: dict[str, Any] = {}
        for stage, share in (("both", 0.5), ("end-to-end", 1.0)):
            folder = self.work / "evaluation" / stage
            command = ["evaluate", "--model", str(self.model), "--data", str(self.measured), "--stage", stage]
            command += ["--limit", str(3 * scale.evaluated), "--out", str(folder), "--device", self.options.device]
            command += ["--batch-size", str(scale.evaluation_batch), *scale.flags]
            left = share * (ends - time.monotonic())
            self.run_command(command, max(left, 1.0) + self._grace(ends), self._log(f"evaluate-{stage}"))
            kept = self.about / "evaluation" / stage
            kept.mkdir(parents=True, exist_ok=True)
            for path in (folder / "metrics.json", *sorted(folder.glob("filmstrips/*.png"))[:2]):
                shutil.copy(path, kept)
            found[stage] = f"{ABOUT}/evaluation/{stage}/metrics.json"
        strips = sorted(self.about.glob("evaluation/end-to-end/*.png"))
        if strips:
            shutil.copy(strips[0], self.options.out / "filmstrip.png")
        return {"figures": found}

    # --- what is left behind

    def _pack(self) -> dict[str, Any]:
        self._write_summary()
        packed = pack_release(self.model, self.about, self.options.out / "pieces", FILES - 2)
        return {"pieces": packed.pieces, "mib": round(packed.size / 2**20, 2)}

    def _pack_again(self, record: dict[str, Any]) -> None:
        """Bring the improved model out at once: nobody knows whether there will be a later chance."""
        try:
            self._pack()
        except (InputError, OSError) as error:
            record |= {"status": "failed", "why": f"packing: {error}"}

    def _write_summary(self) -> None:
        self.summary["seconds"] = round(time.monotonic() - self.begun, 1)
        self.about.mkdir(parents=True, exist_ok=True)
        for path in (self.about / "summary.json", self.options.out / "summary.json"):
            write_json(path, self.summary)

    def _candidate(self, lane: Sequence[str]) -> Path:
        """The model folder that a lane trains into."""
        return self.work / f"candidate-{lane[0]}"

    def _log(self, name: str) -> Path:
        folder = self.about / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.txt"

    def _grace(self, ends: float) -> float:
        """Seconds after its time in which a command may still come to its end."""
        left = self.begun + 60 * self.options.minutes - ends
        return 5.0 + 0.3 * max(left, 0.0)


def _steps(log: Path) -> int:
    """The last step of a run's log."""
    lines = log.read_text().splitlines() if log.is_file() else []
    return max((json.loads(line)["step"] for line in lines), default=0)


def parse(arguments: Sequence[str]) -> Options:
    """Options of the command line.

    Raises:
        InputError: shares that are none.
    """
    parser = argparse.ArgumentParser(
        prog="start.sh session", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to bring back: at most 8 files of 16 MiB")
    parser.add_argument("--minutes", type=float, default=9.0, help="of the whole session (9)")
    parser.add_argument("--scale", choices=list(SCALES), default="full", help="rehearsal: tiny numbers, for a CPU")
    parser.add_argument("--clips", type=int, help="train on at most so many clips of each of the three kinds")
    parser.add_argument("--share", action="append", default=[], metavar="PART=NUMBER", help="of the time; 0 leaves out")
    parser.add_argument("--model", default="embedded", help="model folder to start from (embedded)")
    parser.add_argument(
        "--anew", action="append", default=[], choices=list(TRAINED), help="train this part from random weights"
    )
    parser.add_argument("--resume", type=Path, metavar="PIECES", help="start from what an earlier session brought back")
    parser.add_argument(
        "--data", type=Path, nargs="+", default=(), help="clip sets to train on, in place of simulated clips"
    )
    parser.add_argument("--held-out", type=Path, nargs="+", default=(), help="clip sets to measure on; with --data")
    parser.add_argument("--sim-seed", type=int, default=1000, help="seed of the plain clips (1000)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--work", type=Path, help="folder for everything else (OUT-work)")
    given = parser.parse_args(arguments)
    if bool(given.data) != bool(given.held_out):
        raise InputError("--data and --held-out go together")
    if not given.minutes > 0:
        raise InputError(f"--minutes must be positive, found {given.minutes}")
    sets = {name: tuple(getattr(given, name)) for name in ("data", "held_out", "anew")}
    fields = vars(given) | sets | {"scale": SCALES[given.scale].with_clips(given.clips), "shares": _shares(given.share)}
    return Options(**{name: value for name, value in fields.items() if name not in ("share", "clips")})


def _shares(changes: Sequence[str]) -> dict[str, float]:
    shares = dict(SHARES)
    for change in changes:
        name, _, value = change.partition("=")
        try:
            shares[name] = float(value) if name in SHARES else -1.0
        except ValueError:
            shares[name] = -1.0
        if shares[name] < 0:
            raise InputError(f"--share {change!r}: expected PART=NUMBER, with a part of {', '.join(SHARES)}")
    return {name: share for name, share in shares.items() if share > 0}


def main(arguments: Sequence[str]) -> int:
    """Exit status: 0, 1 where a part failed, 2 for wrong arguments."""
    try:
        return Session(parse(arguments)).go()
    except InputError as error:
        print(f"session: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
