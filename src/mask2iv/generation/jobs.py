"""``mask2iv generate --jobs``: many scenes from a file, one folder each; goes on where it stopped.

A job's folder appears whole, with its manifest, so what is there is done. A job that cannot be done is noted and the
others go on; only a defect of the program stops them all.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mask2iv.errors import InputError
from mask2iv.files import read_json, reason, require_file, write_json
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.inputs import (
    SceneInputs,
    check_sampling,
    check_seed,
    check_size_and_scales,
    complete_prompt,
    file_record,
    read_scene,
    scene_record,
)
from mask2iv.generation.options import GuidanceOptions, Output, Sampling, SceneOptions
from mask2iv.generation.results import check_result_folder, disk_faults, result_folder
from mask2iv.generation.run import LoadedModel, batched, check_model, write_result
from mask2iv.manifest import versions
from mask2iv.media.images import write_png

SOME_FAILED = 3
"""Exit status when some jobs could not be done."""

FAILURES, SUMMARY = "failures.json", "jobs-manifest.json"
_PATHS = ("image", "object_mask", "target_mask", "actor_mask")
_SCENE = tuple(f.name for f in fields(SceneOptions))
_KEYS = ("id", "seed", *_SCENE)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Settings that do not say what was asked for, only how it was computed.
_ASIDE = ("device", "threads", "batch_size", "offload", "channels_last", "compile", "cuda_graphs")


@dataclass(frozen=True)
class Job:
    """One line of a jobs file: the scene, its seed, and the name of its folder."""

    id: str
    line: int
    scene: SceneOptions
    seed: int


def run_jobs(
    path: Path,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    batch_size: int = 1,
) -> int:
    """Do the jobs of a file that are not done yet, each into a folder of its own.

    Returns:
        0, or :data:`SOME_FAILED`.

    Raises:
        InputError: options or a jobs file that cannot be used; nothing is written then.
    """
    check_sampling(sampling, 1, batch_size)
    size = check_size_and_scales(guidance, None)
    jobs = read_jobs(path, sampling.seed)
    check_model("generate", sampling.model)
    record = file_record(path)
    model = LoadedModel("generate", sampling, acceleration, batch_size, progress=False)
    model.settle(guidance, size)
    try:
        output.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "out", f"cannot write the folder {output.out}: {reason(error)}", "choose a writable place"
        ) from error
    session = _Session(model, output, path, len(jobs))
    try:
        session.work(jobs, batch_size)
    finally:
        session.report(record)
    return SOME_FAILED if session.failures else 0


def read_jobs(path: Path, seed: int) -> list[Job]:
    """The jobs of a file, one JSON object per line; blank lines are skipped.

    Args:
        path: paths in the file are relative to its folder.
        seed: of jobs that have none of their own.

    Raises:
        InputError: no such file, no jobs, a line that is not a job, or an id twice; names line and key.
    """
    require_file(path, "jobs")
    try:
        # Not splitlines: JSON text may hold the rarer line separators as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("jobs", f"{path} cannot be read: {reason(error)}", "save it as UTF-8 text") from error
    jobs: list[Job] = []
    taken: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            job = _parse(line, number, path.parent, f"job-{len(jobs):05d}", seed)
        except InputError as error:
            place = f"jobs: line {number} of {path}"
            raise (error.about(place) if error.field == "job" else error.within(place)) from error
        # Some file systems do not tell upper from lower case.
        name = job.id.casefold()
        if name in taken:
            raise InputError(
                "jobs", f"lines {taken[name]} and {number} of {path} both have the id {job.id!r}", "rename one of them"
            )
        taken[name] = number
        jobs.append(job)
    if not jobs:
        raise InputError("jobs", f"{path} holds no jobs", "write one JSON object per line")
    return jobs


def _parse(line: str, number: int, folder: Path, default_id: str, seed: int) -> Job:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError("job", f"not JSON: {reason(error)}") from error
    if not isinstance(read, dict):
        raise InputError("job", f"expected a JSON object, found {type(read).__name__}")
    unknown = [key for key in read if key not in _KEYS]
    if unknown:
        raise InputError(f"{unknown[0]!r}", "unknown key", f"known keys: {', '.join(_KEYS)}")
    values = {key: value for key, value in read.items() if value is not None}
    for key, value in values.items():
        # A box or point may be a list of numbers too.
        if key in ("object_box", "object_point") and isinstance(value, list):
            values[key] = ",".join(map(str, value))
        elif type(value) is not (int if key == "seed" else str):
            raise InputError(key, f"expected {'an integer' if key == 'seed' else 'text'}, found {value!r}")
    if "image" not in values:
        raise InputError("image", "it is missing")
    if values.get("actor", "hand") not in ("hand", "robot"):
        raise InputError("actor", f"expected 'hand' or 'robot', found {values['actor']!r}")
    name, own_seed = values.pop("id", default_id), values.pop("seed", seed)
    check_seed(own_seed, 1)
    if not _ID.fullmatch(name) or name.endswith(".") or name.casefold() in (FAILURES, SUMMARY):
        raise InputError(
            "id",
            f"{name!r} cannot be a folder name here",
            "use up to 100 letters, digits, '-', '_' and '.', a letter or digit first",
        )
    return Job(
        name, number, SceneOptions(**values | {key: folder / values[key] for key in _PATHS if key in values}), own_seed
    )


class _Session:
    """Jobs being done: what became of them.

    Args:
        model: the model and the common settings.
        output: the flags of the folder of all results.
        jobs_file: must not be replaced by a result.
        total: number of jobs.
    """

    def __init__(self, model: LoadedModel, output: Output, jobs_file: Path, total: int) -> None:
        self.model, self.output, self.jobs_file, self.total = model, output, jobs_file, total
        self.done = self.skipped = 0
        self.failures: list[dict[str, Any]] = []
        self._started = time.perf_counter()

    def work(self, jobs: Sequence[Job], batch_size: int) -> None:
        """Do all that are not there yet."""
        left = [job for job in jobs if self._is_left(job)]
        self.model.tell_of_prompts(complete_prompt(job.scene.prompt, job.scene.actor) for job in left)
        if batch_size > 1:
            # Only jobs with the same kinds of conditions go through the networks together.
            left.sort(key=lambda job: (job.scene.prompt is None, job.scene.target_mask is None))
        with tqdm(total=self.total, initial=self.total - len(left), desc="jobs", unit="job") as bar:
            for batch in batched(left, batch_size):
                read = []
                for job in batch:
                    with self._noting(job):
                        read.append((job, read_scene(job.scene)))
                if read:
                    self._make(read)
                bar.update(len(batch))

    def report(self, record: Mapping[str, Any]) -> None:
        """Write the summary and the failures, and say them.

        Raises:
            InputError: they cannot be written.
        """
        out, failed = self.output.out, len(self.failures)
        self.failures.sort(key=lambda failure: failure["line"])
        left = self.total - self.done - self.skipped - failed
        counts = {"jobs": self.total, "done": self.done, "skipped": self.skipped, "failed": failed, "left": left}
        summary = {
            "command": "generate --jobs",
            "jobs": record,
            "counts": counts,
            "settings": self.model.settings,
            "seconds": {
                "load": self.model.seconds["load"],
                "jobs": round(time.perf_counter() - self._started, 3),
            },
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": versions(),
        }
        with disk_faults(self.output):
            write_json(out / SUMMARY, summary)
            if self.failures:
                write_json(out / FAILURES, self.failures)
            else:
                (out / FAILURES).unlink(missing_ok=True)
        for failure in self.failures:
            print(f"mask2iv: {failure['id']} (line {failure['line']}): {failure['error']}", file=sys.stderr)
        said = [f"{number} {name}" for name, number in counts.items() if name != "jobs" and number]
        print(f"{out}: {', '.join(said)}" + (f"; see {FAILURES}" if self.failures else ""))

    def _is_left(self, job: Job) -> bool:
        """Whether there is anything to do: not for what is done already, nor for what cannot be."""
        folder = self.output.out / job.id
        with self._noting(job):
            complete_prompt(job.scene.prompt, job.scene.actor)  # fails here, not where all prompts are told of
            if folder.is_dir() and self._is_same(job, folder):
                self.skipped += 1
                return False
            if (folder / "manifest.json").is_file() and not self.output.overwrite:
                raise InputError(
                    "id",
                    f"{folder} holds a result of other inputs or settings, or an incomplete one",
                    "give another id, or ask to overwrite",
                )
            check_result_folder(self._output(job), [*job.scene.files, self.jobs_file])
            return True
        return False

    def _is_same(self, job: Job, folder: Path) -> bool:
        """Whether the folder holds this job's result: same hashes of its inputs, same settings.

        Raises:
            InputError: an input is missing.
        """
        try:
            found = read_json(folder / "manifest.json")
            there = _asked(found["inputs"], found["settings"])
        except (InputError, KeyError, TypeError, AttributeError):
            return False
        prompt = complete_prompt(job.scene.prompt, job.scene.actor)
        own = {**self.model.prompt_record(prompt), "seed": job.seed}
        wanted = _asked(scene_record(job.scene), {**self.model.settings, **own})
        return there == json.loads(json.dumps(wanted)) and (folder / "video.mp4").is_file()

    def _make(self, batch: Sequence[tuple[Job, SceneInputs]]) -> None:
        """Generate and write one batch; one by one, where one of them spoils it."""
        try:
            resized = [inputs.scene.at(self.model.size) for _, inputs in batch]
            made = self.model.make(resized, [job.seed for job, _ in batch])
        except InputError as error:
            if len(batch) == 1:
                self._fail(batch[0][0], error)
                return
            for one in batch:
                self._make([one])
            return
        for (job, inputs), scene, (trajectory, video) in zip(batch, resized, made, strict=True):
            output = self._output(job)
            with self._noting(job):
                with result_folder(output, [*job.scene.files, self.jobs_file]) as folder, disk_faults(output):
                    if inputs.found_mask:
                        write_png(folder / "object_mask.png", inputs.scene.object_mask)
                    write_result(folder, scene, trajectory, video)
                    own = {**self.model.prompt_record(scene.prompt), "seed": job.seed}
                    self.model.write_manifest(folder, inputs.record, own)
                self.done += 1

    def _output(self, job: Job) -> Output:
        return replace(self.output, out=self.output.out / job.id)

    @contextmanager
    def _noting(self, job: Job) -> Iterator[None]:
        """Notes a job's failure, and swallows it."""
        try:
            yield
        except InputError as error:
            self._fail(job, error)

    def _fail(self, job: Job, error: InputError) -> None:
        self.failures.append({"id": job.id, "line": job.line, "error": str(error)})


def _asked(inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says was asked for: inputs by their hashes, settings without names and devices."""
    hashes = {name: value["sha256"] if isinstance(value, dict) else value for name, value in inputs.items()}
    kept = {name: value for name, value in settings.items() if name not in _ASIDE}
    return {"inputs": hashes, "settings": {**kept, "model": settings["model"]["sha256"]}}
