"""``python -m mask2iv.execution.metaworld.server JOBS OUT NAME``: does the jobs of a file, one after the other.

JOBS holds a JSON object per line with a ``kind``, an ``id`` and the kind's fields. What a job writes lies in OUT/ID;
its line in OUT/NAME is written when it is done, with a digest of the job. Jobs that such a line in OUT names are left
out.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from pathlib import Path

from mask2iv.execution.metaworld.server.record import record
from mask2iv.execution.metaworld.server.run import run
from mask2iv.execution.metaworld.server.views import Views
from mask2iv.execution.metaworld.server.world import World

KINDS = {"record": record, "run": run}


def main(jobs: Path, out: Path, name: str) -> None:
    """Do the jobs. Those of one task and size of pictures (``size``; null: none are taken) share a simulator if they
    follow each other."""
    warnings.filterwarnings("ignore", module="metaworld")
    out.mkdir(parents=True, exist_ok=True)
    results = out / name
    rows = [json.loads(line) for path in out.glob("results-*.jsonl") for line in path.read_text().splitlines()]
    done = {row["job"] for row in rows}
    world, views, size = None, None, None
    for line in jobs.read_text().splitlines():
        job = json.loads(line)
        digest = hashlib.sha256(line.encode()).hexdigest()
        if digest in done:
            continue
        if world is None or (world.task.name, size) != (job["task"], job["size"]):
            if views is not None:
                views.close()
            world, size = World(job["task"]), job["size"]
            views = Views(world.model, world.data, world.task.parts, *size) if size else None
        world.begin(job["seed"])
        folder = out / job["id"]
        folder.mkdir(exist_ok=True)
        result = KINDS[job["kind"]](job, folder, world, views)
        with results.open("a") as file:
            file.write(json.dumps({"id": job["id"], "job": digest, **result}) + "\n")
    if views is not None:
        views.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
