"""What start.sh does: simulate if there are no clips, train missing components, continue where it stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mask2iv.bundle import start as start_module
from mask2iv.bundle.start import Plan, main, parse, plan, probe_opengl
from mask2iv.errors import InputError
from mask2iv.files import write_json


def planned(*flags: str, recipe: str = "tiny") -> Plan:
    return plan(*parse(flags, recipe))


def value(command: list[str], flag: str) -> str:
    return command[command.index(flag) + 1]


def test_an_empty_folder_needs_clips_and_the_components_before(tmp_path: Path) -> None:
    out = tmp_path / "run"
    todo = planned("video", "--out", str(out), "--clips", "8", "--set", "video.training.max_steps=3", recipe="embedded")
    assert todo.simulate is not None
    assert todo.simulate[:3] == ["simulate", "--out", str(tmp_path / ".run-data.unfinished")]
    assert (value(todo.simulate, "--clips"), value(todo.simulate, "--size")) == ("8", "160x256")
    assert int(value(todo.simulate, "--workers")) == len(os.sched_getaffinity(0))
    assert [command[1] for command in todo.train] == ["vae", "encoders", "video"]
    for command in todo.train:
        assert value(command, "--resume_from_checkpoint") == "latest"
        assert value(command, "--recipe") == "embedded"
        assert value(command, "--set") == "video.training.max_steps=3"


def test_components_of_the_initial_weights_are_not_trained(tmp_path: Path) -> None:
    def components(*flags: str) -> list[str]:
        todo = planned(*flags, "--out", str(tmp_path / "run"), "--data", "x")
        return [command[1] for command in todo.train]

    assert components("video", "--initial-weights", "embedded") == ["video"]
    assert components("all", "--initial-weights=embedded") == ["trajectory", "video"]
    assert components("video", "--recipe", "dynamicrafter-512-video", "--initial-weights", "start") == ["video"]
    assert components("video", "--recipe", "tiny:dynamicrafter") == ["vae", "encoders", "video"]
    todo = planned("trajectory", "--add-words", "--out", str(tmp_path / "run"), "--data", "x")
    assert ["--add-words" in command for command in todo.train] == [False, False, True]


def test_a_dry_run_simulates_nothing(tmp_path: Path) -> None:
    assert planned("vae", "--out", str(tmp_path / "run"), "--dry-run").simulate is None


def test_finished_steps_are_not_repeated(tmp_path: Path, tiny_clips: Path) -> None:
    write_json(tmp_path / "training" / "vae" / "manifest.json", {})
    todo = planned("trajectory", "--out", str(tmp_path), "--data", str(tiny_clips))
    assert todo.simulate is None
    assert [command[1] for command in todo.train] == ["encoders", "trajectory"]
    assert [command[1] for command in planned("vae", "--out", str(tmp_path), "--data", "x").train] == ["vae"]
    todo = planned("all", "--out", str(tmp_path), "--data", "x")
    assert [command[1] for command in todo.train] == ["encoders", "reference", "trajectory", "video"]


def test_reports_the_renderer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MUJOCO_GL", "egl")
    monkeypatch.setattr(start_module, "_PROBE", "print('egl Some GPU')")
    probe_opengl()
    assert capsys.readouterr().out == "start: simulating with EGL (Some GPU)\n"
    monkeypatch.setattr(start_module, "_PROBE", "print('osmesa llvmpipe')")
    probe_opengl()
    assert "EGL does not start here; simulating in software with OSMesa (llvmpipe)" in capsys.readouterr().out
    assert os.environ["MUJOCO_GL"] == "osmesa", "its children do not try EGL again"
    monkeypatch.setattr(start_module, "_PROBE", "import sys; sys.exit('no headless OpenGL')")
    with pytest.raises(InputError, match=r"^simulate: no headless OpenGL$"):
        probe_opengl()


def start(tmp_path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    write_json(tmp_path / "bundle.json", {"recipe": "tiny"})
    argv = [sys.executable, "-m", "mask2iv.bundle.start", str(tmp_path), *command]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("component", ["vae", pytest.param("reference", marks=pytest.mark.slow)])
def test_trains_to_the_end(component: str, tmp_path: Path, tiny_clips: Path) -> None:
    flags = ["--out", str(tmp_path / "run"), "--data", str(tiny_clips), "--threads", "1"]
    done = start(tmp_path, "train", component, *flags)
    assert done.returncode == 0, done.stderr
    trained = {path.parent.name for path in (tmp_path / "run").glob("training/*/manifest.json")}
    assert trained == {"vae", component}


def test_other_commands_are_passed_on(tmp_path: Path, tiny_clips: Path) -> None:
    assert main([str(tmp_path), "pack", str(tiny_clips), "--out", str(tmp_path / "pieces")]) == 0
    assert (tmp_path / "pieces" / "part-0000").is_file()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["session", "--minutes", "0"], "start: error: --minutes: must be positive, found 0.0"),
        (["session", "--clips", "0"], "start: error: --clips: must be at least 1, found 0"),
        (["session", "--share", "vae=1"], "start: error: --share: must be PART=NUMBER"),
        (["train", "vae", "--recipe", "huge"], "start: error: --recipe"),
    ],
)
def test_errors_name_the_flags(
    command: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(tmp_path / "bundle.json", {"recipe": "tiny"})
    assert main([str(tmp_path), *command, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"), [("run-data", "no finished clip set"), ("tiny-data", "holds 6 clips of seed None in 32x64")]
)
def test_other_clips_are_not_used(name: str, message: str, tmp_path: Path, tiny_clips: Path) -> None:
    (tmp_path / "run-data").mkdir()
    (tmp_path / "run-data" / "index.jsonl").write_text("")
    (tmp_path / "tiny-data").symlink_to(tiny_clips)
    with pytest.raises(InputError, match=message):
        planned("vae", "--out", str(tmp_path / name.removesuffix("-data")))
