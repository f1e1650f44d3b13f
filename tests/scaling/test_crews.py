"""Crews do all of the work, and say what could not be done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.scaling import chores

from mask2iv.errors import InputError
from mask2iv.scaling.interfaces import Crew, Failure, in_order
from mask2iv.scaling.processes import ProcessCrew


@pytest.fixture(params=["processes", "ray"], scope="module")
def crew(request: pytest.FixtureRequest) -> Crew:
    if request.param == "processes":
        return ProcessCrew(2)
    request.getfixturevalue("local_ray")
    from mask2iv.scaling.ray import RayCrew

    return RayCrew("local", 2)


def tries(folder: Path, item: int) -> list[str]:
    return (folder / f"{item}.txt").read_text().split()


def test_one_death_one_error_and_one_defect_leave_the_rest_done(crew: Crew, tmp_path: Path) -> None:
    results = dict(crew.work(partial(chores.begin, tmp_path), range(20)))
    failures = {item: result for item, result in results.items() if isinstance(result, Failure)}
    assert sorted(failures) == [chores.DEADLY, chores.WRONG, chores.BROKEN]
    assert all(results[item] == item * item for item in range(20) if item not in failures)
    assert failures[chores.WRONG] == Failure("item: is wrong; mend it", expected=True)
    assert failures[chores.BROKEN].problem.startswith("ZeroDivisionError: a defect (_square, line ")
    assert "Traceback" in failures[chores.BROKEN].details
    assert "worker died" in failures[chores.DEADLY].problem
    assert not failures[chores.DEADLY].expected
    # Tried again: each death in another process.
    assert len(set(tries(tmp_path, chores.DEADLY))) == 3
    assert [len(tries(tmp_path, item)) for item in (chores.WRONG, chores.BROKEN, 0)] == [2, 3, 1]


def test_a_worker_that_dies_once_costs_nothing(crew: Crew, tmp_path: Path) -> None:
    results = dict(crew.work(partial(chores.die_once, tmp_path), range(3)))
    assert results == {0: 0, 1: 1, 2: 4}


def test_a_worker_that_cannot_begin_stops_everything(crew: Crew, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weights: are not there"):
        list(crew.work(partial(chores.begin_badly, tmp_path), range(3)))


def test_items_are_asked_for_as_they_are_needed(tmp_path: Path) -> None:
    asked = []

    def items() -> Iterator[int]:
        for item in (20, 21, 22, 23, 24, 25, 26):
            asked.append(item)
            yield item

    results = ProcessCrew(2).work(partial(chores.begin, tmp_path), items())
    next(results)
    assert len(asked) <= 3
    results.close()


@pytest.mark.parametrize("ahead", [None, 1, 3])
def test_results_in_order_whatever_order_they_get_done_in(ahead: int | None) -> None:
    results = in_order(ProcessCrew(2), chores.slow_at_first, ["d", "c", "b", "a"], ahead)
    assert list(results) == [("d", "dd"), ("c", "cc"), ("b", "bb"), ("a", "aa")]


def test_few_results_wait_for_a_late_one(tmp_path: Path) -> None:
    begun = []

    def items() -> Iterator[int]:
        for item in (chores.DEADLY, *range(20, 60)):
            begun.append(item)
            yield item

    # The first is tried three times, each time by a new process; meanwhile the other worker could do all of the rest.
    results = in_order(ProcessCrew(2), partial(chores.begin, tmp_path), items(), ahead=4)
    item, result = next(results)
    assert item == chores.DEADLY
    assert isinstance(result, Failure)
    assert len(begun) <= 5
    assert [item for item, _ in results] == list(range(20, 60))


def test_a_worker_computes_with_one_thread(crew: Crew) -> None:
    [(_, threads)] = crew.work(chores.count_threads, ["torch"])
    assert threads == {"torch": 1, "cv2": 1, "variable": "1"}


def test_the_environment_says_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    [(_, threads)] = ProcessCrew(1).work(chores.count_threads, ["torch"])
    assert (threads["cv2"], threads["variable"]) == (3, "3")
    assert "OPENCV_FOR_THREADS_NUM" not in os.environ


def test_no_worker_outlives_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "from functools import partial; from pathlib import Path; import os, signal\n"
        "from mask2iv.scaling.processes import ProcessCrew; from tests.scaling import chores\n"
        f"for item, result in ProcessCrew(1).work(partial(chores.begin, Path({str(tmp_path)!r})), range(100, 10**6)):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    script = tmp_path / "driver.py"
    script.write_text(
        f"import sys; sys.path[:0] = {sys.path!r}\nif __name__ == '__main__':\n    " + program.replace("\n", "\n    ")
    )
    subprocess.run([sys.executable, str(script)], check=False)
    worker = int(tries(tmp_path, 100)[0])
    for _ in range(100):
        if not _runs(worker):
            return
        time.sleep(0.1)
    raise AssertionError("the worker runs on")


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_negative_number_of_workers_is_refused() -> None:
    with pytest.raises(InputError, match=r"workers: must be 0 .* found -1"):
        ProcessCrew(-1)
