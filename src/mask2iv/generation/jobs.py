"""``mask2iv generate --jobs``: many scenes from a file, one folder each; goes on where it stopped.

A job's folder appears whole, with its manifest, so what is there is done. A job that cannot be done is noted and the
others go on; only a defect of the program stops them all.
"""

from __future__ import annotations

import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mask2iv.config import from_dict, plain, read_config
from mask2iv.errors import InputError, InputWarning, within
from mask2iv.files import claimed, disk_faults, reason, require_file, write_json
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.inputs import (
    SceneInputs,
    check_fitting,
    check_sampling,
    check_seed,
    check_size_and_scales,
    complete_prompt,
    file_record,
    read_scene,
    scene_record,
)
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling, SceneOptions
from mask2iv.generation.results import check_result_folder, result_folder
from mask2iv.generation.run import LoadedModel, batched, check_model, write_result
from mask2iv.manifest import versions
from mask2iv.media.images import write_png
from mask2iv.parsing import read_lines
from mask2iv.stages.scene import Scene

SOME_FAILED = 3
"""Exit status when some jobs could not be done."""

FAILURES, SUMMARY = "failures.json", "jobs-manifest.json"
_PATHS = ("image", "object_mask", "target_mask", "actor_mask", "segmenter_weights")
_SCENE = tuple(f.name for f in fields(SceneOptions))
_FIT = {f.name for f in fields(Fitting)}
_KEYS = ("id", "seed", *_SCENE, *sorted(_FIT))
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# Settings that do not say what was asked for, only how it was computed.
_ASIDE = ("device", "threads", "batch_size", "offload", "channels_last", "compile", "cuda_graphs")


@dataclass(frozen=True)
class Job:
    """One line of a jobs file: the scene, how its picture is fitted, its seed, and the name of its folder."""

    id: str
    line: int
    scene: SceneOptions
    fitting: Fitting
    seed: int


@dataclass(frozen=True)
class _Named:
    """Keys of a job besides those of its scene."""

    id: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class _Result:
    """What a result's manifest says was asked for."""

    inputs: dict[str, Any]
    settings: dict[str, Any]


def run_jobs(
    path: Path,
    fitting: Fitting,
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
    check_fitting(fitting)
    size = check_size_and_scales(guidance, None)
    jobs = read_jobs(path, sampling.seed, fitting)
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
    with claimed(output.out):
        try:
            session.work(jobs, batch_size)
        finally:
            session.report(record)
    return SOME_FAILED if session.failures else 0


def read_jobs(path: Path, seed: int, fitting: Fitting) -> list[Job]:
    """The jobs of a file, one JSON object per line; blank lines are skipped.

    Args:
        path: paths in the file are relative to its folder.
        seed, fitting: of jobs that have none of their own.

    Raises:
        InputError: no such file, no jobs, a line that is not a job, or an id twice; names line and key.
    """
    require_file(path, "jobs")
    jobs: list[Job] = []
    taken: dict[str, int] = {}
    with within("jobs"):
        lines = list(read_lines(path))
    for number, line in lines:
        place = f"jobs: {path}: line {number}"
        if not isinstance(line, dict):
            raise InputError(place, f"expected a JSON object, found {type(line).__name__}")
        with within(place):
            job = _job(line, number, path.parent, f"job-{len(jobs):05d}", seed, fitting)
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


def _job(line: Mapping[str, Any], number: int, folder: Path, default_id: str, seed: int, fitting: Fitting) -> Job:
    values = {key: value for key, value in line.items() if value is not None}
    for key in ("object_box", "object_point"):
        # A box or point may be a list of numbers too.
        if isinstance(values.get(key), list):
            values[key] = ",".join(map(str, values[key]))
    named = from_dict(_Named, values, unknown="ignore")
    unknown = [key for key in values if key not in _KEYS]
    if unknown:
        raise InputError(unknown[0], "unknown key", f"known keys: {', '.join(_KEYS)}")
    scene = from_dict(SceneOptions, {key: values[key] for key in _SCENE if key in values})
    if scene.image is None:
        raise InputError("image", "it is missing")
    name = default_id if named.id is None else named.id
    own_seed = seed if named.seed is None else named.seed
    check_seed(own_seed, 1)
    # A scale goes with its fit.
    own_fit = {key: values[key] for key in _FIT & values.keys()}
    from_dict(Fitting, own_fit)
    fitting = replace(Fitting() if "fit" in values else fitting, **own_fit)
    check_fitting(fitting)
    if not _ID.fullmatch(name) or name.endswith(".") or name.casefold() in (FAILURES, SUMMARY):
        raise InputError(
            "id",
            f"{name!r} cannot be a folder name here",
            "use up to 100 letters, digits, '-', '_' and '.', a letter or digit first",
        )
    paths = {key: folder / path for key in _PATHS if (path := getattr(scene, key)) is not None}
    return Job(name, number, replace(scene, **paths), fitting, own_seed)


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
                    with self._noting(job), _warning_of(job):
                        inputs = read_scene(job.scene)
                        read.append((job, inputs, self.model.fitted(inputs.scene, job.fitting)))
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
        with disk_faults(self.output.out):
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
            found = read_config(folder / "manifest.json", _Result, "ignore")
        except InputError:
            return False
        there = _asked(found.inputs, found.settings)
        prompt = complete_prompt(job.scene.prompt, job.scene.actor)
        own = self._own(job, prompt)
        wanted = _asked(scene_record(job.scene), {**self.model.settings, **own})
        return there == plain(wanted) and (folder / "video.mp4").is_file()

    def _own(self, job: Job, prompt: str | None) -> dict[str, Any]:
        """A job's settings beside the common ones."""
        return {**self.model.prompt_record(prompt), **self.model.fit_record(job.fitting), "seed": job.seed}

    def _make(self, batch: Sequence[tuple[Job, SceneInputs, Scene]]) -> None:
        """Generate and write one batch; one by one, where one of them spoils it."""
        try:
            made = self.model.make([scene for *_, scene in batch], [job.seed for job, *_ in batch])
        except InputError as error:
            if len(batch) == 1:
                self._fail(batch[0][0], error)
                return
            for one in batch:
                self._make([one])
            return
        for (job, inputs, scene), (trajectory, video) in zip(batch, made, strict=True):
            output = self._output(job)
            with self._noting(job):
                with result_folder(output, [*job.scene.files, self.jobs_file]) as folder, disk_faults(output.out):
                    if inputs.found_mask:
                        write_png(folder / "object_mask.png", inputs.scene.object_mask)
                    write_result(folder, scene, trajectory, video)
                    self.model.write_manifest(folder, inputs.record, self._own(job, scene.prompt), scene.placement)
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


@contextmanager
def _warning_of(job: Job) -> Iterator[None]:
    """Warnings of a job's input name the job."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", InputWarning)
        yield
    for warning in said:
        message = warning.message
        if isinstance(message, InputWarning):
            message = message.within(f"{job.id} (line {job.line})")
        warnings.warn_explicit(message, warning.category, warning.filename, warning.lineno)


def _asked(inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says was asked for: inputs by their hashes, settings without names and devices."""
    hashes = {
        name: {key: part for key, part in value.items() if key != "path"} if isinstance(value, dict) else value
        for name, value in inputs.items()
    }
    kept = {name: value for name, value in settings.items() if name not in _ASIDE}
    model = settings.get("model")
    return {"inputs": hashes, "settings": {**kept, "model": model.get("sha256") if isinstance(model, dict) else model}}
