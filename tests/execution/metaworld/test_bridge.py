"""Jobs go to another Python by files, and results come back; a stand-in takes Meta-World's place."""

import sys
from pathlib import Path

import numpy as np
import pytest

from mask2iv.contract import Label
from mask2iv.errors import InputError
from mask2iv.execution.metaworld.bridge import VARIABLE, do_jobs
from mask2iv.execution.metaworld.planners import straight
from mask2iv.execution.metaworld.trials import all_trials, run_trials

STAND_IN = f"""#!{sys.executable}
# A world in which a task is done once two programs have been carried out.
import hashlib, json, sys
from pathlib import Path
import numpy as np

jobs, out, name = Path(sys.argv[3]), Path(sys.argv[4]), sys.argv[5]
for line in jobs.read_text().splitlines():
    job = json.loads(line)
    (out / "calls").open("a").write(job["id"] + "\\n")
    if job["seed"] == 13:
        sys.exit("no such layout")
    folder = out / job["id"]
    folder.mkdir(exist_ok=True)
    programs = job.get("programs", [])
    digest = hashlib.sha256(line.encode()).hexdigest()
    result = {{"id": job["id"], "job": digest, "success": len(programs) > 1, "steps": 100 * len(programs), "track": []}}
    if job["size"] and len(programs) < 2:
        labels = np.zeros(job["size"], np.uint8)
        labels[80:90, 120:130] = {Label.OBJECT:d}
        np.savez(folder / "view.npz", picture=np.zeros((*job["size"], 3), np.uint8), labels=labels,
                 depth=np.full(job["size"], 1.0, np.float32), fingers=[0, 0.6, 0.2], opening=1.0, pose=np.zeros(7))
        result["view"] = {{"position": [0, -0.4, 0.2], "rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "focal": 200.0,
                           "centre": [127.5, 79.5]}}
    (out / name).open("a").write(json.dumps(result) + "\\n")
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(python))


def job(seed: int) -> dict[str, object]:
    return {"id": f"one-{seed}", "kind": "run", "task": "door-open", "seed": seed, "size": None, "programs": [[], []]}


def test_results_come_back_from_all_processes(tmp_path: Path) -> None:
    found = do_jobs([job(seed) for seed in range(3)], tmp_path / "work", processes=2)
    assert list(found) == ["one-0", "one-1", "one-2"]
    assert all(result["success"] for result in found.values())


def test_results_of_another_job_of_that_name_do_not_count(tmp_path: Path) -> None:
    do_jobs([job(1)], tmp_path / "work")
    [result] = do_jobs([{**job(1), "programs": [[]]}], tmp_path / "work").values()
    assert not result["success"]


def test_a_failing_simulator_is_said_in_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such layout"):
        do_jobs([job(13)], tmp_path / "work")


def test_an_absent_environment_is_said_with_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="make metaworld"):
        do_jobs([job(1)], tmp_path / "work")


def test_a_trial_that_fails_is_planned_again_and_one_that_is_done_is_not(tmp_path: Path) -> None:
    trials = all_trials(["door-open"], ["corner"], [0, 1])
    run_trials(trials, straight, 5, tmp_path / "work")
    assert [(trial.success, len(trial.programs), trial.steps) for trial in trials] == [(True, 2, 200)] * 2
    assert not (tmp_path / "work" / "round-3").exists()


def test_without_planning_again_there_is_one_plan(tmp_path: Path) -> None:
    trials = all_trials(["door-open"], ["corner"], [0])
    run_trials(trials, straight, 1, tmp_path / "work")
    assert not trials[0].success
    assert len(trials[0].programs) == 1


def test_an_episode_without_a_plan_is_over(tmp_path: Path) -> None:
    trials = all_trials(["door-open"], ["corner"], [0])
    run_trials(trials, lambda seen: [None] * len(seen), 3, tmp_path / "work")
    assert trials[0].over
    assert trials[0].programs == []


def test_a_plan_is_made_from_what_the_camera_sees(tmp_path: Path) -> None:
    trials = all_trials(["door-open"], ["corner"], [0])
    seen = []

    def look(observations: list[object]) -> list[None]:
        seen.extend(observations)
        return [None] * len(observations)

    run_trials(trials, look, 1, tmp_path / "work")
    [observation] = seen
    assert (observation.labels == Label.OBJECT).sum() == 100
    middle = observation.seen.camera.points(observation.seen.depth)[observation.labels == Label.OBJECT].mean(axis=0)
    assert np.allclose(middle, [-0.015, 0.6, 0.175], atol=0.01)
