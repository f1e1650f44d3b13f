"""Many videos from a table, with the model loaded once, several scenes at a time, and what is there skipped.

    python examples/batch.py scenes.csv --out results --batch-size 4

The table has the columns id, image, object_mask and prompt, and optionally target_mask and seed; its paths are relative
to it. It becomes a jobs file, as `mask2iv generate --jobs` takes it. Start it again after an interruption: it goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.jobs.run import run_jobs
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling

PATHS = ("image", "object_mask", "target_mask")


def jobs_of(table: Path) -> list[dict[str, str | int]]:
    """The rows as jobs, with whole paths."""
    jobs: list[dict[str, str | int]] = []
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            job: dict[str, str | int] = {name: text for name, text in row.items() if text}
            job |= {name: str(table.parent.resolve() / str(job[name])) for name in PATHS if name in job}
            if "seed" in job:
                job["seed"] = int(job["seed"])
            jobs.append(job)
    return jobs


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="embedded", help="embedded, or a model folder")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--steps", type=int, help="sampling steps; default: the model's")
    given = parser.parse_args(arguments)

    jobs = given.table.with_suffix(".jsonl")
    jobs.write_text("".join(json.dumps(job) + "\n" for job in jobs_of(given.table)), encoding="utf-8")
    return run_jobs(
        jobs,
        Fitting(),
        GuidanceOptions(),
        Sampling(model=given.model, steps=given.steps),
        Acceleration(),
        Output(given.out, webp=True),
        batch_size=given.batch_size,
    )


if __name__ == "__main__":
    sys.exit(main())
