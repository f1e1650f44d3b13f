"""``mask2iv generate --jobs``: many scenes from a file, one folder each; goes on where it stopped.

A job's folder appears whole, with its manifest, so what is there is done. A job that cannot be done is noted and the
others go on; only a defect of the program stops them all.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tqdm import tqdm

from mask2iv.devices import pick_device
from mask2iv.errors import InputError
from mask2iv.files import claimed, disk_faults, reason, write_json
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.candidates import check_candidates
from mask2iv.generation.inputs import (
    check_fitting,
    check_sampling,
    check_size_and_scales,
    complete_prompt,
    file_record,
)
from mask2iv.generation.jobs.file import FAILURES, SUMMARY, Job, read_jobs
from mask2iv.generation.jobs.work import Begin, JobMaker, Outcome
from mask2iv.generation.loaded import LoadedModel, check_model
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling
from mask2iv.generation.results import check_result_folder
from mask2iv.generation.run import batched
from mask2iv.manifest import versions
from mask2iv.scaling.choice import crew_of
from mask2iv.scaling.interfaces import Crew, Failure

SOME_FAILED = 3
"""Exit status when some jobs could not be done."""


@dataclass(frozen=True)
class Workers:
    """Who works on the jobs.

    Attributes:
        number: processes, or Ray actors; 0 for one per core, or per GPU.
        ray: address of a cluster, or "local"; None: processes of this machine, or this one alone.
        gpus: share of a GPU for each actor; 0: they compute on processors.
    """

    number: int = 1
    ray: str | None = None
    gpus: float = 0.0

    def sampling(self, asked: Sampling) -> Sampling:
        """The options of each worker.

        Raises:
            InputError: names the one that does not go with the others.
        """
        if not 0 <= self.gpus < float("inf"):
            raise InputError("gpus_per_worker", f"must be 0 or more, found {self.gpus:g}")
        if self.gpus and self.ray is None:
            raise InputError("gpus_per_worker", "is for Ray actors", "give `ray`, or leave it out")
        if self.ray is not None:
            if self.gpus:
                return asked
            if asked.device == "cuda":
                raise InputError(
                    "gpus_per_worker", "actors on a GPU need a share of one", "give 1, or 0.5 for two on one"
                )
            return replace(asked, device="cpu")
        if self.number == 1:
            return asked
        if pick_device(asked.device).type != "cpu":
            raise InputError(
                "workers",
                "several processes compute on processors, and there is a GPU",
                "choose the `device` cpu, or give `ray` and `gpus_per_worker`",
            )
        import torch

        # They share the cores, or each would start as many threads as one has alone.
        size = crew_of(self.number, None).size
        return replace(asked, device="cpu", threads=asked.threads or max(1, torch.get_num_threads() // size))

    def crew(self) -> Crew | None:
        """The crew; None: this process alone."""
        return None if self.ray is None and self.number == 1 else crew_of(self.number, self.ray, self.gpus)


def run_jobs(
    path: Path,
    fitting: Fitting,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    batch_size: int = 1,
    workers: Workers = Workers(),
    candidates: int = 1,
) -> int:
    """Do the jobs of a file that are not done yet, each into a folder of its own; of `candidates`, the best.

    Returns:
        0, or :data:`SOME_FAILED`.

    Raises:
        InputError: options or a jobs file that cannot be used; nothing is written then.
    """
    check_candidates(candidates, 1)
    check_sampling(sampling, candidates, batch_size)
    check_fitting(fitting)
    size = check_size_and_scales(guidance, None)
    jobs = read_jobs(path, sampling.seed, fitting)
    check_model("generate", sampling.model)
    record = file_record(path)
    sampling = workers.sampling(sampling)
    crew = workers.crew()
    if crew is None:
        model = LoadedModel("generate", sampling, acceleration, batch_size, progress=False)
    else:
        model = _model_to_ask(sampling, acceleration, batch_size)
    model.settle(guidance, size)
    try:
        output.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "out", f"cannot write the folder {output.out}: {reason(error)}", "choose a writable place"
        ) from error
    session = _Session(JobMaker(model, output, path, candidates), len(jobs))
    begin = Begin(sampling, guidance, size, acceleration, batch_size, output, path, Path.cwd(), candidates)
    with claimed(output.out):
        try:
            session.work(jobs, batch_size, None if crew is None else (crew, begin))
        finally:
            session.report(record)
    return SOME_FAILED if session.failures else 0


def _model_to_ask(sampling: Sampling, acceleration: Acceleration, batch_size: int) -> LoadedModel:
    """The model as the process that leads a crew needs it: to know what is asked for, in main memory, unused."""
    plain = Acceleration(dtype=acceleration.dtype)
    model = LoadedModel("generate", replace(sampling, device="cpu"), plain, batch_size, progress=False)
    model.settings |= acceleration.settings
    return model


class _Session:
    """Jobs being done: what became of them.

    Args:
        maker: of the results, or for a crew, which makes them, what knows the results that are there.
        total: number of jobs.
    """

    def __init__(self, maker: JobMaker, total: int) -> None:
        self.maker, self.model, self.output, self.total = maker, maker.model, maker.output, total
        self.done = self.skipped = 0
        self.failures: list[dict[str, Any]] = []
        self._started = time.perf_counter()

    def work(self, jobs: Sequence[Job], batch_size: int, helpers: tuple[Crew, Begin] | None) -> None:
        """Do all that are not there yet, here or with helpers."""
        left = [job for job in jobs if self._is_left(job)]
        self.model.tell_of_prompts(complete_prompt(job.scene.prompt, job.scene.actor) for job in left)
        if batch_size > 1:
            # Only jobs with the same kinds of conditions go through the networks together.
            left.sort(key=lambda job: (job.scene.prompt is None, job.scene.target_mask is None))
        batches = [list(batch) for batch in batched(left, batch_size)]
        with tqdm(total=self.total, initial=self.total - len(left), desc="jobs", unit="job") as bar:
            if helpers is None:
                for batch in batches:
                    self._note(self.maker.work(batch))
                    bar.update(len(batch))
            elif batches:
                # A job whose worker dies again and again takes the others of its batch along: alone it does not.
                died = self._lead(*helpers, batches, bar)
                self._lead(*helpers, [[job] for batch in died for job in batch], bar)

    def _lead(self, crew: Crew, begin: Begin, batches: Iterable[list[Job]], bar: Any) -> list[list[Job]]:
        """Have a crew work on batches; returns those of several jobs whose workers died.

        Raises:
            RuntimeError: a defect that a worker met.
        """
        died: list[list[Job]] = []
        if not batches:
            return died
        with closing(crew.work(begin, batches)) as results:
            for batch, result in results:
                if not isinstance(result, Failure):
                    self._note(result)
                elif result.details:
                    raise RuntimeError(f"{batch[0].id} (line {batch[0].line}): {result.problem}\n{result.details}")
                elif len(batch) > 1:
                    died.append(batch)
                    continue
                else:
                    failed = Outcome()
                    failed.fail(batch[0], result.problem)
                    self._note(failed)
                bar.update(len(batch))
        return died

    def _note(self, outcome: Outcome) -> None:
        self.done += outcome.done
        self.failures += outcome.failures
        self.model.settings |= outcome.settings
        for message in outcome.said:
            warnings.warn(message, stacklevel=2)

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
        folder, outcome, left = self.output.out / job.id, Outcome(), False
        with outcome.noting(job):
            complete_prompt(job.scene.prompt, job.scene.actor)  # fails here, not where all prompts are told of
            if self.maker.is_done(job):
                self.skipped += 1
                return False
            if (folder / "manifest.json").is_file() and not self.output.overwrite:
                raise InputError(
                    "id",
                    f"{folder} holds a result of other inputs or settings, or an incomplete one",
                    "give another id, or ask to overwrite",
                )
            check_result_folder(self.maker.output_of(job), [*job.scene.files, self.maker.jobs_file])
            left = True
        self._note(outcome)
        return left
