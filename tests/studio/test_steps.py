"""From picture to video without a browser: the same steps, users apart, and a command that makes it again."""

from __future__ import annotations

import json
import shlex
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mask2iv.cli import main
from mask2iv.errors import InputError
from mask2iv.generation.loaded import LoadedModel
from mask2iv.studio import steps
from mask2iv.studio.drawing import Drawing, Pose
from mask2iv.studio.planning import Wish
from mask2iv.studio.sessions import MOST_SESSIONS, Session, Sessions
from mask2iv.studio.steps import Studio
from mask2iv.studio.worker import MOST_WAITING, Cancelled, Job

Another = Callable[[str], Session]


def done(job: Job) -> None:
    assert job.wait(60)
    if job.error is not None:
        raise job.error


def filmed(studio: Studio, session: Session, seed: int = 0, index: int = 0) -> None:
    steps.load_sample(session, "cup")
    done(steps.predict(studio, session, Wish("a hand picking up a cup", seed=seed, steps=2, candidates=2)))
    steps.choose(session, index)
    done(steps.render(studio, session))


@pytest.mark.parametrize("edited", [False, True], ids=["as predicted", "edited"])
def test_the_command_makes_the_same_files(
    studio: Studio, user: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edited: bool
) -> None:
    steps.load_sample(user, "cup")
    done(steps.predict(studio, user, Wish("a hand picking up a cup", seed=5, steps=2, candidates=2)))
    steps.choose(user, 1)
    if edited:
        steps.editing(user).edit({"op": "transform", "part": "all", "frames": [1, 2], "move": [5, 3], "rotate": 10})
    done(steps.render(studio, user))
    [result] = user.results
    assert result.take.candidate.seed == 6
    with zipfile.ZipFile(result.archive) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    for command in result.take.command.split(" && "):
        program, *words = shlex.split(command)
        assert program == "mask2iv"
        assert main(words) == 0
    assert Path("result/video.mp4").read_bytes() == Path("again/video.mp4").read_bytes()
    assert Path("result/filmstrip.png").read_bytes() == Path("again/filmstrip.png").read_bytes()
    for frame in sorted(Path("result/trajectory").iterdir()):
        assert frame.read_bytes() == Path("edited" if edited else "again", "trajectory", frame.name).read_bytes()
    own, other = (json.loads(Path(folder, "manifest.json").read_text()) for folder in ("result", "again"))
    assert own.keys() == other.keys()
    assert own["settings"] == other["settings"]
    assert own["pictures"] == other["pictures"]


def test_a_dragged_target_and_a_seen_actor_are_in_the_command_too(studio: Studio, user: Session) -> None:
    drawing = steps.load_sample(user, "cup")
    drawing.paint([(200, 100)], 20, marked="actor")
    steps.place(user, Pose(right=20))
    done(steps.predict(studio, user, Wish(steps=1, candidates=1)))
    steps.choose(user, 0)
    done(steps.render(studio, user))
    words = shlex.split(user.results[0].take.command)
    assert {"--target-mask", "--actor-mask"} <= set(words)
    assert "--prompt" not in words


def test_the_next_instruction_begins_where_the_last_ended(studio: Studio, user: Session) -> None:
    filmed(studio, user)
    [result] = user.results
    drawing = steps.continue_from(user, result.number)
    assert (drawing.picture == result.frames[-1]).all()
    if result.take.trajectory.object[-1].any():
        assert (drawing.mask() == result.take.trajectory.object[-1]).all()
    assert user.plan is None


def test_two_users_do_not_see_each_other(studio: Studio, another: Another) -> None:
    one, two = another("one"), another("two")
    for session, seed in ((one, 1), (two, 2)):
        steps.load_sample(session, "cup")
        session.job = steps.predict(studio, session, Wish("a hand picking up a cup", seed=seed, steps=1, candidates=1))
    for session in (one, two):
        assert session.job is not None
        done(session.job)
    assert one.plan is not None
    assert two.plan is not None
    assert [one.plan.candidates[0].seed, two.plan.candidates[0].seed] == [1, 2]
    assert one.folder != two.folder
    assert not two.results
    # The same as alone.
    alone = another("alone")
    steps.load_sample(alone, "cup")
    done(steps.predict(studio, alone, Wish("a hand picking up a cup", seed=2, steps=1, candidates=1)))
    assert alone.plan is not None
    here, there = alone.plan.candidates[0].trajectory, two.plan.candidates[0].trajectory
    assert (here.labels == there.labels).all()


def test_cancel_stops_what_runs(studio: Studio, user: Session) -> None:
    steps.load_sample(user, "cup")
    job = steps.predict(studio, user, Wish("a hand picking up a cup", steps=100, candidates=12))
    while job.progress.done < 1:
        assert not job.wait(0.01)
    job.cancel()
    assert job.wait(5)
    assert isinstance(job.error, Cancelled)
    assert user.plan is not None
    assert len(user.plan.candidates) < 12


def test_what_waits_is_bounded(studio: Studio, user: Session) -> None:
    gate, begun = threading.Event(), threading.Event()

    def hold(_: LoadedModel, job: Job) -> None:
        begun.set()
        assert gate.wait(60)

    jobs = [studio.worker.submit(hold)]
    assert begun.wait(60)
    jobs += [studio.worker.submit(hold) for _ in range(MOST_WAITING)]
    steps.load_sample(user, "cup")
    with pytest.raises(InputError, match="waiting already"):
        steps.predict(studio, user, Wish("a hand picking up a cup"))
    assert not user.busy
    for job in jobs[1:]:
        job.cancel()
    gate.set()
    for job in jobs:
        assert job.wait(60)
    assert all(isinstance(job.error, Cancelled) for job in jobs[1:])


def test_what_lacks_is_said(studio: Studio, user: Session, tmp_path: Path) -> None:
    wish = Wish("a hand picking up a cup")
    with pytest.raises(InputError, match="picture"):
        steps.predict(studio, user, wish)
    with pytest.raises(InputError, match="sample"):
        steps.load_sample(user, "../cup")
    user.drawing = Drawing.of("grey", np.full((64, 64, 3), 90, dtype=np.uint8))
    with pytest.raises(InputError, match="nothing is selected"):
        steps.predict(studio, user, wish)
    with pytest.raises(InputError, match="no object is selected"):
        steps.place(user, Pose(right=3))
    steps.load_sample(user, "cup").place(None)
    with pytest.raises(InputError, match="nothing says"):
        steps.predict(studio, user, Wish())
    with pytest.raises(InputError, match="candidate"):
        steps.render(studio, user)
    with pytest.raises(InputError, match="outside"):
        steps.place(user, Pose(right=5000))
    assert user.drawing.pose is None, "what was refused is not kept"
    assert not list(user.folder.iterdir()), "nothing half-written"


@pytest.mark.parametrize(
    "wish", [{"candidates": 0}, {"candidates": 99}, {"steps": 0}, {"steps": 1000}, {"seed": -1}, {"prompt": "a" * 2000}]
)
def test_wishes_have_bounds(wish: dict[str, int]) -> None:
    with pytest.raises(InputError):
        Wish(**wish)  # type: ignore[arg-type]


def test_a_page_that_is_loaded_again_takes_its_work_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(tmp_path)
    assert sessions.take_up("page", "ticket") is None
    work = sessions.of("page")
    steps.load_sample(work, "cup")
    # The server may see the page leave before or after it is there again.
    sessions.leave("page")
    assert sessions.take_up("again", "another ticket") is None
    assert sessions.take_up("again", "ticket") is work is sessions.of("again")
    assert sessions.take_up("third", "ticket") is work is sessions.of("third")
    sessions.leave("again")
    assert sessions.of("third") is work
    assert work.folder.is_dir()
    # Without a ticket, or after a while, it goes.
    monkeypatch.setattr("mask2iv.studio.sessions.KEPT_SECONDS", 0.05)
    sessions.leave("third")
    other = sessions.of("a program")
    steps.load_sample(other, "box")
    sessions.leave("a program")
    assert not other.folder.exists()
    until = time.monotonic() + 20
    while work.folder.exists() and time.monotonic() < until:
        time.sleep(0.02)
    assert not work.folder.exists()


def test_work_that_was_left_gives_way_to_users_who_are_there(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    for index in range(MOST_SESSIONS):
        sessions.take_up(str(index), f"ticket {index}")
        steps.load_sample(sessions.of(str(index)), "cup")
    left = sessions.of("3").folder
    sessions.leave("3")
    assert left.is_dir()
    sessions.of("one more")
    assert not left.exists()
    sessions.close_all()
    assert not list(tmp_path.iterdir())


def test_sessions_are_bounded_and_their_folders_go(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path)
    for index in range(MOST_SESSIONS):
        sessions.of(str(index))
    with pytest.raises(InputError, match="at work already"):
        sessions.of("one more")
    assert len({path.name for path in tmp_path.iterdir()}) == MOST_SESSIONS
    sessions.close("0")
    assert sessions.of("one more").folder.is_dir()
    sessions.close_all()
    assert not list(tmp_path.iterdir())
