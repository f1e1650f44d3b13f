"""Curate: recordings to a clip set, in whatever number of processes, as often as it is interrupted."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mask2iv import __version__
from mask2iv.config import to_dict
from mask2iv.curation.running.ledger import LEDGER, Ledger
from mask2iv.curation.running.outcomes import Finished, Kept, LeftOut, Outcome
from mask2iv.curation.running.record import FAILURES, MANIFEST, write_failures, write_manifest
from mask2iv.curation.running.settings import CurationConfig
from mask2iv.curation.running.sheets import write_card, write_sheets
from mask2iv.curation.running.splits import split_of
from mask2iv.curation.running.work import REJECTED, Chore, begin
from mask2iv.curation.selection import slowest
from mask2iv.curation.sources.interfaces import Problem, Recording, Source
from mask2iv.data.folder import clip_id_of
from mask2iv.data.index import CLIP_ID, finish_set, index_line, set_header
from mask2iv.data.store import CLIP_FILES
from mask2iv.errors import InputError
from mask2iv.files import atomic_write, disk_faults, remove_leftovers, require_regular
from mask2iv.scaling.interfaces import Crew, Failure

GENERATOR = "mask2iv curate"
SLOW = "slow"
"""Folder of the clips in which least moves."""
SKIPPED = "skipped.jsonl"
_LEAST_MOTION = "least motion"
_HEADER = "clipset.json"
"""Written last, so that a set without it is an unfinished one."""


@dataclass
class Curation:
    """What a run did.

    Attributes:
        clips: in the set.
        new: recordings that were worked on.
        left_out: everything that is not in the set, by name.
        failures: recording -> what happened, where that says nothing about the recording: a run tries these again.
    """

    clips: int = 0
    new: int = 0
    left_out: list[LeftOut] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)


def curate(
    source: Source, out: Path, config: CurationConfig, crew: Crew, limit: int | None = None, prune: bool = False
) -> Curation:
    """Make a clip set of a source, go on with one, or bring one up to date.

    Besides what a clip set holds there are: ``curation.jsonl``, the ledger; ``manifest.json``, what made the set;
    ``failures.json``, if work on some recordings failed; ``skipped.jsonl``, what was left out and why; ``rejected/``, a
    picture of each clip that was; ``slow/``, clips in which least moves; ``sheets/`` and ``README.md``, to look at. The
    same recordings and settings give the same bytes but for the manifest, whoever works on them in whatever order.

    Args:
        source: of the recordings.
        out: folder of the clip set.
        config: how they become clips.
        crew: who does the work.
        limit: only the first recordings.
        prune: take out recordings of the set that are no longer in the source.

    Raises:
        InputError: the folder holds something else or a set of other settings, recordings of the set are gone from the
            source, nothing is left to make a set of, or the disk is full.
    """
    _check_folder(out)
    head = {
        "generator": GENERATOR,
        "version": __version__,
        "source": {"kind": source.kind, "version": source.version, "name": source.root.name},
        "settings": to_dict(config),
    }
    with disk_faults(out):
        out.mkdir(parents=True, exist_ok=True)
        with closing(Ledger(out, head)) as ledger:
            for folder in (out, out / REJECTED):
                remove_leftovers(folder)
            return _Run(source, out, config, ledger, head, crew).work(limit, prune)


def _check_folder(out: Path) -> None:
    if os.path.exists(out) and not os.path.isdir(out):
        raise InputError("out", f"{out} is a file", "choose another name")
    for name in (_HEADER, LEDGER, SKIPPED, MANIFEST, FAILURES):
        require_regular(out / name)
    if os.path.isdir(out) and any(out.iterdir()) and not (out / LEDGER).is_file():
        raise InputError("out", f"{out} is not empty and holds no curated clip set", "choose another folder")


def _holds(path: Path, text: str) -> bool:
    """Whether a file has this content."""
    content = text.encode()
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


class _Run:
    """One run over a source, with the set's ledger open."""

    def __init__(
        self, source: Source, out: Path, config: CurationConfig, ledger: Ledger, head: Mapping[str, Any], crew: Crew
    ) -> None:
        self._source, self._out, self._config, self._ledger, self._head = source, out, config, ledger, head
        self._crew, self._begun = crew, time.monotonic()
        self._problems: list[LeftOut] = []
        self._seen: set[str] = set()
        self._owner: dict[str, str] = {}
        self._result = Curation()

    def work(self, limit: int | None, prune: bool) -> Curation:
        chores = self._chores(limit)
        results = self._crew.work(partial(begin, self._config, self._source.habits), chores)
        # Closed at once where a result cannot be written: the workers end then, not some time later.
        with closing(results), tqdm(unit="recording", desc="curate") as bar:
            for chore, result in results:
                bar.update()
                self._note(chore, result)
        write_failures(self._out, self._result.failures)
        self._take_out_missing(limit, prune)
        self._finish()
        return self._result

    def _chores(self, limit: int | None) -> Iterator[Chore]:
        """Recordings that are not done yet."""
        for entry in self._source.entries():
            if isinstance(entry, Problem):
                details = self._within_source(entry.details)
                self._problems.append({"name": entry.name, "reasons": [entry.reason], "details": details})
                continue
            if limit is not None and len(self._seen) >= limit:
                return
            self._seen.add(entry.name)
            clip_id = self._clip_id(entry)
            if not self._ledger.holds(entry) or not self._complete(entry.name):
                yield Chore(entry, clip_id)

    def _within_source(self, text: str) -> str:
        """A message without the place of the source: the same recordings elsewhere give the same set."""
        return text.replace(f"{self._source.root}{os.sep}", "")

    def _complete(self, name: str) -> bool:
        """Whether the files of a recording's clips are there, whatever became of them since they were written."""
        ids = [kept["row"]["clip_id"] for kept in self._ledger.outcomes[name]["kept"]]
        places = ([self._out / folder / clip_id for folder in ("clips", SLOW)] for clip_id in ids)
        return all(any(all((one / file).is_file() for file in CLIP_FILES) for one in pair) for pair in places)

    def _clip_id(self, recording: Recording) -> str:
        """What the names of its clips begin with."""
        clip_id = clip_id_of(recording.name.rpartition(".")[0] or recording.name)
        other = self._owner.setdefault(clip_id, recording.name)
        if other != recording.name:
            raise InputError(
                "source", f"clips of {other} and {recording.name} would have the same name {clip_id}", "rename one"
            )
        return clip_id

    def _note(self, chore: Chore, result: Finished | Failure) -> None:
        """Write what became of a recording: its files, then its line in the ledger."""
        name = chore.recording.name
        self._result.new += 1
        # From here on the set is an unfinished one.
        (self._out / _HEADER).unlink(missing_ok=True)
        if isinstance(result, Failure):
            if not result.expected:
                self._result.failures[name] = result
                return
            left_out: LeftOut = {"name": name, "reasons": ["cannot be read"], "details": result.problem}
            result = Finished(
                {"recording": name, "bytes": 0, "sha256": "", "said": "", "kept": [], "left_out": [left_out]}, files={}
            )
        for entry in result.outcome["left_out"]:
            entry["details"] = self._within_source(entry["details"])
        if name in self._ledger.outcomes:
            self._remove_files(self._ledger.outcomes[name])
        for kept in result.outcome["kept"]:
            # What a killed run left of it.
            shutil.rmtree(self._out / "clips" / kept["row"]["clip_id"], ignore_errors=True)
        for place, contents in result.files.items():
            with atomic_write(self._out / place) as temporary:
                temporary.write_bytes(contents)
        self._ledger.add(result.outcome)

    def _remove_files(self, outcome: Outcome) -> None:
        for kept in outcome["kept"]:
            for folder in ("clips", SLOW):
                shutil.rmtree(self._out / folder / kept["row"]["clip_id"], ignore_errors=True)
        for left_out in outcome["left_out"]:
            # Others are names of recordings and actions, which have no picture.
            if re.fullmatch(CLIP_ID, left_out["name"]):
                (self._out / REJECTED / f"{left_out['name']}.jpg").unlink(missing_ok=True)

    def _take_out_missing(self, limit: int | None, prune: bool) -> None:
        if limit is not None:
            return
        gone = sorted(set(self._ledger.outcomes) - self._seen)
        if gone and not prune:
            raise InputError(
                "source",
                f"{len(gone)} of the set's recordings are no longer there, the first is {gone[0]}",
                "bring them back, or give `prune` to take their clips out",
            )
        if gone:
            (self._out / _HEADER).unlink(missing_ok=True)
        for name in gone:
            self._remove_files(self._ledger.outcomes[name])
        self._ledger.forget(gone)

    def _finish(self) -> None:
        """Choose among all clips, and write everything that depends on all of them."""
        kept, slow = self._sum_up()
        if not kept:
            reasons = {reason for entry in self._result.left_out for reason in entry["reasons"]}
            said = ", ".join(sorted(reasons)) or "there are no recordings"
            raise InputError("source", f"no clip is left of {self._source.root}: {said}", "see mask2iv doctor")
        skipped = "".join(f"{index_line(entry)}\n" for entry in self._result.left_out)
        if all((self._out / name).is_file() for name in (_HEADER, MANIFEST)) and _holds(self._out / SKIPPED, skipped):
            return  # nothing was missing
        (self._out / _HEADER).unlink(missing_ok=True)
        self._place(kept, slow)
        with atomic_write(self._out / SKIPPED) as temporary:
            temporary.write_text(skipped, encoding="utf-8")
        self._ledger.sort()
        rows = [self._row(one) for one in kept]
        write_sheets(self._out, rows, self._result.left_out)
        write_card(self._out, rows, self._result.left_out, self._head)
        counts = {
            "recordings": len(self._ledger.outcomes),
            "new": self._result.new,
            "clips": len(kept),
            "left_out": len(self._result.left_out),
            "failures": len(self._result.failures),
        }
        seconds = time.monotonic() - self._begun
        write_manifest(self._out, self._source, self._config, self._crew, counts, seconds)
        cut = self._config.cut
        lines_by_id = {row["clip_id"]: index_line(row) for row in rows}
        finish_set(self._out, lines_by_id, set_header(cut.size, cut.num_frames, cut.fps, self._head))

    def _sum_up(self) -> tuple[list[Kept], list[Kept]]:
        """Clips that stay and those that are too slow, by name; and the result's counts."""
        outcomes = self._ledger.outcomes.values()
        all_kept = sorted(
            (one for outcome in outcomes for one in outcome["kept"]), key=lambda one: one["row"]["clip_id"]
        )
        left = slowest({one["row"]["clip_id"]: one["motion"] for one in all_kept}, self._config.motion_share)
        kept = [one for one in all_kept if one["row"]["clip_id"] not in left]
        slow = [one for one in all_kept if one["row"]["clip_id"] in left]
        entries: list[LeftOut] = [*self._problems, *(entry for outcome in outcomes for entry in outcome["left_out"])]
        entries += [
            {"name": one["row"]["clip_id"], "reasons": [_LEAST_MOTION], "details": f"{one['motion']:.4f}"}
            for one in slow
        ]
        self._result.left_out = sorted(entries, key=lambda entry: (entry["name"], entry["reasons"]))
        self._result.clips = len(kept)
        return kept, slow

    def _place(self, kept: list[Kept], slow: list[Kept]) -> None:
        """Move the files of clips that are slow now, or were, to where they belong."""
        for ones, here, there in ((kept, "clips", SLOW), (slow, SLOW, "clips")):
            for one in ones:
                clip_id = one["row"]["clip_id"]
                if not (self._out / here / clip_id).is_dir():
                    (self._out / here).mkdir(exist_ok=True)
                    os.replace(self._out / there / clip_id, self._out / here / clip_id)

    def _row(self, kept: Kept) -> dict[str, Any]:
        """A clip's entry in the index, with its split."""
        metadata = dict(kept["row"]["metadata"])
        metadata["split"] = split_of(metadata["group"], metadata["split"], self._config)
        return {**kept["row"], "metadata": metadata}
