"""A few minutes on a fast machine: simulate, train stage 1, stage 2 and the reference decoder further, evaluate, pack.

    sh start.sh session --out OUT --minutes 9

Every part has a share of the remaining time; the next parts share what one leaves over or overruns. Stage 1 and stage 2
train in parallel, since one small network does not fill a large GPU. OUT holds the model that the session starts from
before the first part begins, and the improved one after each training. So a complete model is there, whatever fails or
is cut off later. OUT/summary.json reports on each part; OUT/pieces is for `mask2iv unpack`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mask2iv.bundle.pieces import unpack
from mask2iv.bundle.processes import RunCommand, run_process
from mask2iv.bundle.release import ABOUT, copy_components, pack_release
from mask2iv.bundle.scales import SCALES, TIME_SHARES, Scale
from mask2iv.config import read_config, read_records
from mask2iv.data.join import join_clip_sets
from mask2iv.data.splits import open_clips
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.pipelines.folder import model_folder

TRAINED: dict[str, tuple[str, ...]] = {
    # A planner predicts its painter's codes, so both are replaced together.
    "painter": (),
    "planner": ("painter", "planner"),
    "video": ("video_unet", "video_resampler"),
    "reference": ("reference_decoder",),
}
"""Parts that train, and the components that each adds to the model when it succeeds."""
LANES = (("painter", "planner"), ("video", "reference"))
"""Independent trainings: lanes run in parallel, the parts of one lane in sequence."""
FILES = 8
"""Files that may be copied back; two of them are the summary and a filmstrip."""
_START_SECONDS = 25.0
"""Estimate of a training's time beyond its limit (start, last validation, saving), until one was measured."""
_MIN_SECONDS = 3.0


class Skipped(Exception):
    """A part was not started, with the reason."""


@dataclass(frozen=True)
class Options:
    """Options of a session; see :func:`parse`."""

    out: Path
    minutes: float
    scale: Scale
    share: dict[str, float] = field(default_factory=lambda: dict(TIME_SHARES))
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
        options: its options.
        run: runs the commands; by default each in its own process.
    """

    def __init__(self, options: Options, run: RunCommand | None = None) -> None:
        self.options, self.run_command = options, run or run_process
        self.work = options.work or options.out.with_name(f"{options.out.name}-work")
        self.model = self.work / "model"
        self.data, self.held_out = self.work / "train", self.work / "held-out"
        # Stage 2 remembers how the actors of its training clips look. The reference decoder must cope with its videos
        # of other clips, so it learns from clips of its own.
        self.video_data, self.reference_data = self.work / "followed", self.work / "rendered"
        self.evaluation_data = self.work / "measured"
        self.about = self.work / "about"
        self.started = time.monotonic()
        self.overhead = _START_SECONDS
        self.lock = threading.Lock()  # of model, summary and output folder
        self.summary: dict[str, Any] = {"minutes": options.minutes, "scale": options.scale.name, "parts": {}}

    def go(self) -> int:
        """Run all parts, trainings in two parallel lanes. Exit status: 0, or 1 if any part failed.

        Raises:
            InputError: there is no model to start from, or the folders cannot be written.
        """
        self._prepare()
        end, shares = self.started + 60 * self.options.minutes, self.options.share
        lanes = [[name for name in lane if name in shares] for lane in LANES]
        training = max(sum(shares[name] for name in lane) for lane in lanes)
        before, after = ([name for name in names if name in shares] for names in (("simulate",), ("evaluate", "pack")))
        later = sum(shares[name] for name in after)
        self._in_turn(before, end, sum(shares[name] for name in before) + training + later)
        now = time.monotonic()
        trained = now + max(end - now, 0.0) * training / (training + later) if training else now
        with ThreadPoolExecutor(len(lanes)) as pool:
            # list() raises a lane's exception once all lanes have ended.
            list(pool.map(lambda lane: self._in_turn(lane, trained, sum(shares[name] for name in lane)), lanes))
        self._in_turn(after, end, later)
        failed = [name for name, part in self.summary["parts"].items() if part["status"] == "failed"]
        print(f"session: {'failed: ' + ', '.join(failed) if failed else 'all parts done'} -> {self.options.out}")
        return 1 if failed else 0

    def _in_turn(self, names: Sequence[str], end: float, rest: float) -> None:
        """Run these parts in sequence.

        They and all later parts share the time until `end`; their shares add up to `rest`. So an overrun is spread over
        all later parts.
        """
        for name in names:
            now, share = time.monotonic(), self.options.share[name]
            self._part(name, now + max(end - now, 0.0) * share / rest)
            rest -= share

    def _prepare(self) -> None:
        if self.work.exists():
            raise InputError(
                "work", f"{self.work} exists already, from an earlier session", "remove it, or choose another folder"
            )
        self.work.mkdir(parents=True)
        self.options.out.mkdir(parents=True, exist_ok=True)
        if self.options.resume is None:
            self.start = model_folder(self.options.model)
        else:
            self.start = self.work / "start"
            unpack(self.options.resume, self.start)
            shutil.rmtree(self.start / ABOUT, ignore_errors=True)
        for folder in (self.model, *map(self._candidate, LANES)):
            shutil.copytree(self.start, folder, ignore=shutil.ignore_patterns("training"))
        self._pack()

    def _part(self, name: str, ends: float) -> None:
        started = time.monotonic()
        record: dict[str, Any] = {"budget_seconds": round(max(ends - started, 0.0), 1)}
        print(f"session: {name}, {record['budget_seconds']:.0f} s", flush=True)
        try:
            record |= {"status": "done", **self._do(name, ends)}
        except Skipped as why:
            record |= {"status": "left out", "why": str(why)}
        except (InputError, OSError) as error:
            record |= {"status": "failed", "why": str(error)}
        record["seconds"] = round(time.monotonic() - started, 1)
        with self.lock:
            self.summary["parts"][name] = record
            if record["status"] == "done" and TRAINED.get(name):
                self._pack_again(record)
            self._write_summary()
        print(f"session: {name}: {record['status']} {record.get('why', '')}".rstrip(), flush=True)

    def _do(self, name: str, ends: float) -> dict[str, Any]:
        """Run one part. Returns its figures."""
        if name == "pack":
            return self._pack()
        if name == "simulate" and self.options.data:
            return self._join(self.options.data, self.options.held_out)
        if ends - time.monotonic() < _MIN_SECONDS:
            raise Skipped("no time left")
        if name == "simulate":
            return self._simulate(ends)
        if not (self.data / "clipset.json").is_file():
            raise Skipped("there are no clips")
        return self._evaluate(ends) if name == "evaluate" else self._train(name, ends)

    # --- the parts

    def _simulate(self, ends: float) -> dict[str, Any]:
        """Simulate clips of three kinds, for training and held out."""
        scale, started = self.options.scale, time.monotonic()
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
            for index, use, count, share in ((1, "held-out", scale.held_out_clips, 0.2), (0, "train", scale.clips, 0.8))
            for kind, flags in kinds.items()
        ]
        due = started
        for name, flags, count, share in todo:
            due += share * (ends - started) / 3
            minutes = max(due - time.monotonic(), 1.0) / 60
            command = ["simulate", "--out", str(self.work / name), "--clips", str(count), *flags]
            command += ["--workers", str(len(os.sched_getaffinity(0))), "--max-minutes", f"{minutes:.4f}"]
            # Clips begun before the time is up are still finished.
            self.run_command(command, 60 * minutes + self._grace(ends), self._log(f"simulate-{name}"))
        sets = [tuple(self.work / f"{kind}-{use}" for kind in kinds) for use in ("train", "held-out")]
        return self._join(*sets)

    def _join(self, sets: Sequence[Path], held_out: Sequence[Path]) -> dict[str, Any]:
        """Join the sets of all kinds, and their parts for trainings and evaluation. Returns the numbers of clips."""
        scale = self.options.scale
        own = scale.reference_clips
        for given, parts in (
            (sets, {self.data: (0, None), self.video_data: (0, -own), self.reference_data: (-own, None)}),
            (held_out, {self.held_out: (0, None), self.evaluation_data: (0, scale.evaluated_clips)}),
        ):
            for folder, (start, stop) in parts.items():
                join_clip_sets([one.subset(start, stop) for one in map(open_clips, given)], folder)
        return {"clips": len(ClipSet(self.data)), "held_out_clips": len(ClipSet(self.held_out))}

    def _train(self, name: str, ends: float) -> dict[str, Any]:
        if name == "planner" and self.summary["parts"].get("painter", {}).get("status") != "done":
            raise Skipped("it needs a trained painter")
        scale, started = self.options.scale, time.monotonic()
        seconds = ends - started - self.overhead
        if seconds < _MIN_SECONDS:
            why = f"{ends - started:.0f} s are too short to train, with {self.overhead:.0f} s for start and saving"
            raise Skipped(why)
        settings = {"max_minutes": f"{seconds / 60:.4f}", "validate_every": "0", "checkpoint_every": "1000000"}
        settings |= scale.settings[name]
        data = {"reference": self.reference_data, "video": self.video_data}.get(name, self.data)
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
        with self.lock:
            copy_components(candidate, self.model, TRAINED[name])
        return {
            "steps": _steps(folder / "log.jsonl"),
            "figures": read_config(folder / "manifest.json", dict[str, Any])["figures"],
        }

    def _evaluate(self, ends: float) -> dict[str, Any]:
        scale = self.options.scale
        found: dict[str, Any] = {}
        for stage, share in (("both", 0.5), ("end-to-end", 1.0)):
            folder = self.work / "evaluation" / stage
            command = ["evaluate", "--model", str(self.model), "--data", str(self.evaluation_data), "--stage", stage]
            command += [
                "--limit",
                str(3 * scale.evaluated_clips),
                "--out",
                str(folder),
                "--device",
                self.options.device,
            ]
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

    # --- the output

    def _pack(self) -> dict[str, Any]:
        self._write_summary()
        packed = pack_release(self.model, self.about, self.options.out / "pieces", FILES - 2)
        return {"pieces": packed.pieces, "mib": round(packed.size / 2**20, 2)}

    def _pack_again(self, record: dict[str, Any]) -> None:
        """Write the improved model out at once, since the session may be cut off at any time."""
        try:
            self._pack()
        except (InputError, OSError) as error:
            record |= {"status": "failed", "why": f"packing: {error}"}

    def _write_summary(self) -> None:
        self.summary["seconds"] = round(time.monotonic() - self.started, 1)
        self.about.mkdir(parents=True, exist_ok=True)
        for path in (self.about / "summary.json", self.options.out / "summary.json"):
            write_json(path, self.summary)

    def _candidate(self, lane: Sequence[str]) -> Path:
        """The model folder that a lane trains in."""
        return self.work / f"candidate-{lane[0]}"

    def _log(self, name: str) -> Path:
        folder = self.about / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.txt"

    def _grace(self, ends: float) -> float:
        """Seconds beyond its time that a command may take to finish."""
        left = self.started + 60 * self.options.minutes - ends
        return 5.0 + 0.3 * max(left, 0.0)


@dataclass(frozen=True)
class _LogLine:
    """What is read of a line of ``log.jsonl``."""

    step: int


def _steps(log: Path) -> int:
    """The last step of a run's log."""
    return max((line.step for line in read_records(log, _LogLine)), default=0) if log.is_file() else 0


def parse(arguments: Sequence[str]) -> Options:
    """Options of the command line.

    Raises:
        InputError: an invalid combination or value.
    """
    parser = argparse.ArgumentParser(
        prog="start.sh session", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to copy back: at most 8 files of 16 MiB")
    parser.add_argument("--minutes", type=float, default=9.0, help="length of the session (9)")
    parser.add_argument("--scale", choices=list(SCALES), default="full", help="rehearsal: tiny sizes, for a CPU")
    parser.add_argument("--clips", type=int, help="largest number of training clips of each of the three kinds")
    parser.add_argument(
        "--share", action="append", default=[], metavar="PART=NUMBER", help="share of the time; 0 omits the part"
    )
    parser.add_argument("--model", default="embedded", help="model folder to start from (embedded)")
    parser.add_argument(
        "--anew", action="append", default=[], choices=list(TRAINED), help="train this part from random weights"
    )
    parser.add_argument("--resume", type=Path, metavar="PIECES", help="start from the pieces of an earlier session")
    parser.add_argument(
        "--data", type=Path, nargs="+", default=(), help="clip sets to train on, instead of simulated clips"
    )
    parser.add_argument("--held-out", type=Path, nargs="+", default=(), help="clip sets to evaluate on; with --data")
    parser.add_argument("--sim-seed", type=int, default=1000, help="seed of the plain clips (1000)")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--work", type=Path, help="folder for everything else (OUT-work)")
    given = parser.parse_args(arguments)
    if bool(given.data) != bool(given.held_out):
        raise InputError("data", "must be given together with held_out, or neither")
    if not given.minutes > 0:
        raise InputError("minutes", f"must be positive, found {given.minutes}")
    sets = {name: tuple(getattr(given, name)) for name in ("data", "held_out", "anew")}
    fields = vars(given) | sets | {"scale": SCALES[given.scale].with_clips(given.clips), "share": _shares(given.share)}
    del fields["clips"]
    return Options(**fields)


def _shares(changes: Sequence[str]) -> dict[str, float]:
    shares = dict(TIME_SHARES)
    for change in changes:
        name, _, value = change.partition("=")
        try:
            shares[name] = float(value) if name in TIME_SHARES else -1.0
        except ValueError:
            shares[name] = -1.0
        if shares[name] < 0:
            raise InputError("share", f"must be PART=NUMBER, with a part of {', '.join(TIME_SHARES)}, found {change!r}")
    return {name: share for name, share in shares.items() if share > 0}
