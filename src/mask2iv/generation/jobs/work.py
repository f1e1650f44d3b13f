"""Work on jobs with a model that is loaded once: in this process, or in each worker of a crew."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mask2iv.config import plain, read_config
from mask2iv.errors import InputError, InputWarning
from mask2iv.files import disk_faults, reason
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.candidates import write_candidates
from mask2iv.generation.inputs import SceneInputs, complete_prompt, read_scene, scene_record
from mask2iv.generation.jobs.file import Job
from mask2iv.generation.loaded import LoadedModel
from mask2iv.generation.options import GuidanceOptions, Output, Sampling
from mask2iv.generation.records import digests
from mask2iv.generation.results import result_folder
from mask2iv.generation.run import write_result
from mask2iv.media.images import write_png
from mask2iv.stages.scene import Scene

# Settings that do not say what was asked for, only how it was computed.
_ASIDE = (
    "device",
    "threads",
    "batch_size",
    "offload",
    "channels_last",
    "compile",
    "cuda_graphs",
    "score",
)


@dataclass
class Outcome:
    """What became of a batch.

    Attributes:
        done: number of jobs whose results are there.
        failures: the other jobs: id, line, error.
        said: warnings of the input, where a worker could not say them itself.
        settings: of the worker, for the summary.
    """

    done: int = 0
    failures: list[dict[str, Any]] = field(default_factory=list)
    said: list[InputWarning] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def fail(self, job: Job, problem: str) -> None:
        self.failures.append({"id": job.id, "line": job.line, "error": problem})

    @contextmanager
    def noting(self, job: Job) -> Iterator[None]:
        """Notes a job's failure, and swallows it."""
        try:
            yield
        except InputError as error:
            self.fail(job, str(error))


@dataclass(frozen=True)
class _Result:
    """What a result's manifest says was asked for."""

    inputs: dict[str, Any]
    settings: dict[str, Any]


class JobMaker:
    """Makes the results of jobs.

    Args:
        model: the model and the common settings.
        output: the flags of the folder of all results.
        jobs_file: must not be replaced by a result.
        candidates: trajectories drawn for each job, of which the best is rendered.
    """

    def __init__(self, model: LoadedModel, output: Output, jobs_file: Path, candidates: int = 1) -> None:
        self.model, self.output, self.jobs_file, self.candidates = model, output, jobs_file, candidates

    def work(self, batch: Sequence[Job]) -> Outcome:
        """Read, make and write one batch."""
        outcome, read = Outcome(), []
        for job in batch:
            with outcome.noting(job), _warning_of(job):
                inputs = read_scene(job.scene)
                read.append((job, inputs, self.model.fitted(inputs.scene, job.fitting)))
        if read:
            self._make(read, outcome)
        return outcome

    def is_done(self, job: Job) -> bool:
        """Whether the job's folder holds its result: same hashes of its inputs, same settings.

        Raises:
            InputError: an input is missing.
        """
        folder = self.output.out / job.id
        if not folder.is_dir():
            return False
        try:
            found = read_config(folder / "manifest.json", _Result, "ignore")
        except InputError:
            return False
        there = _asked(found.inputs, found.settings)
        prompt = complete_prompt(job.scene.prompt, job.scene.actor)
        own = self._own(job, prompt)
        wanted = _asked(scene_record(job.scene), {**self.model.settings, **own})
        films = [f"video{suffix}" for suffix in (".mp4", *self.output.animations)]
        return there == plain(wanted) and all((folder / name).is_file() for name in films)

    def output_of(self, job: Job) -> Output:
        return replace(self.output, out=self.output.out / job.id)

    def _own(self, job: Job, prompt: str | None) -> dict[str, Any]:
        """A job's settings beside the common ones."""
        own = {**self.model.prompt_record(prompt), **self.model.fit_record(job.fitting), "seed": job.seed}
        return own | ({"candidates": self.candidates, "first_seed": job.seed} if self.candidates > 1 else {})

    def _make(self, batch: Sequence[tuple[Job, SceneInputs, Scene]], outcome: Outcome) -> None:
        """Generate and write one batch; one by one, where one of them spoils it."""
        try:
            made = self.model.make([scene for *_, scene in batch], [job.seed for job, *_ in batch], self.candidates)
        except InputError as error:
            if len(batch) == 1:
                outcome.fail(batch[0][0], str(error))
                return
            for one in batch:
                self._make([one], outcome)
            return
        for (job, inputs, scene), result in zip(batch, made, strict=True):
            output = self.output_of(job)
            with outcome.noting(job):
                # A worker that died may have written the first results of a batch, which is made again as a whole: in
                # a smaller one the others would come out differently by rounding.
                if not self.is_done(job):
                    files = [*job.scene.files, self.jobs_file]
                    with result_folder(output, files) as folder, disk_faults(output.out):
                        if inputs.found_mask:
                            write_png(folder / "object_mask.png", inputs.scene.object_mask)
                        own = {**self._own(job, scene.prompt), "seed": result.seed, **result.record}
                        pictures = digests(result.trajectory, result.video)
                        record = self.model.record(inputs.record, own, scene.placement, pictures)
                        write_result(folder, output, scene, result.trajectory, result.video, record)
                        if result.candidates:
                            write_candidates(folder, result.candidates)
                outcome.done += 1


@dataclass(frozen=True)
class Begin:
    """Loads the model in a worker of a crew. Relative paths are those of the folder ``place``."""

    sampling: Sampling
    guidance: GuidanceOptions
    size: tuple[int, int] | None
    acceleration: Acceleration
    batch_size: int
    output: Output
    jobs_file: Path
    place: Path
    candidates: int

    def __call__(self) -> Callable[[Sequence[Job]], Outcome]:
        """What works on a batch.

        Raises:
            InputError: the model cannot be used here, or the folder is not there.
        """
        try:
            os.chdir(self.place)
        except OSError as error:
            raise InputError(
                "ray", f"a worker cannot enter {self.place}: {reason(error)}", "share the file system between all nodes"
            ) from error
        model = LoadedModel("generate", self.sampling, self.acceleration, self.batch_size, progress=False)
        model.settle(self.guidance, self.size)
        maker = JobMaker(model, self.output, self.jobs_file, self.candidates)

        def work(batch: Sequence[Job]) -> Outcome:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always", InputWarning)
                outcome = maker.work(batch)
            outcome.said = [one.message for one in said if isinstance(one.message, InputWarning)]
            outcome.settings = {name: model.settings[name] for name in ("device", "threads")}
            return outcome

        return work


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
    # Of candidates, one is chosen; what was asked for is the first one's seed.
    kept["seed"] = kept.get("first_seed", kept.get("seed"))
    model = settings.get("model")
    return {"inputs": hashes, "settings": {**kept, "model": model.get("sha256") if isinstance(model, dict) else model}}
