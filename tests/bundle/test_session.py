"""A session leaves a complete model and a summary, whatever happens in it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mask2iv.bundle import session as session_module
from mask2iv.bundle.pieces import unpack
from mask2iv.bundle.processes import run_process
from mask2iv.bundle.release import PIECE_BYTES, pack_release
from mask2iv.bundle.session import Options, Session, parse
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.files import write_json
from mask2iv.parsing import read_json
from mask2iv.pipelines.folder import read_index
from mask2iv.pipelines.pipeline import Mask2IVPipeline


class Fake:
    """Runs no command, but writes its output files. Commands that begin with one of `broken` fail."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.commands: list[list[str]] = []

    def __call__(self, arguments: Sequence[str], seconds: float, log: Path) -> None:
        command = list(arguments)
        self.commands.append(command)
        log.write_text("said\n")
        if " ".join(command[:2]).startswith(self.broken or ("nothing",)):
            raise InputError("train", "exit status 1: out of memory")
        out = Path(command[command.index("--out") + 1])
        if command[0] == "train":
            folder = out / "training" / command[1]
            write_json(folder / "manifest.json", {"figures": {"psnr": 20.0}})
            (folder / "log.jsonl").write_text('{"step": 20}\n{"step": 31, "validation": {}}\n')
            for component in {"video": ["video_unet"], "reference": ["reference_decoder"]}.get(command[1], []):
                for path in (out / component).glob("*.safetensors"):
                    save_file({name: torch.zeros_like(one) for name, one in load_file(path).items()}, path)
        if command[0] == "evaluate":
            (out / "filmstrips").mkdir(parents=True)
            (out / "filmstrips" / "clip.png").write_bytes(b"png")
            write_json(out / "metrics.json", {})

    def setting(self, component: str, name: str) -> str:
        [command] = [one for one in self.commands if one[:2] == ["train", component]]
        [found] = [one for one in command if one.startswith(f"{component}.training.{name}=")]
        return found.partition("=")[2]


@pytest.fixture
def options(tmp_path: Path, tiny_model: Path, tiny_clips: Path) -> Options:
    given = ["--out", str(tmp_path / "out"), "--model", str(tiny_model), "--scale", "rehearsal", "--minutes", "30"]
    return parse([*given, "--data", str(tiny_clips), "--held-out", str(tiny_clips)])


def brought(options: Options, tmp_path: Path) -> Path:
    unpack(options.out / "pieces", tmp_path / "brought")
    return tmp_path / "brought"


def zeros(model: Path, component: str) -> bool:
    return all(not one.any() for path in (model / component).glob("*.safetensors") for one in load_file(path).values())


def test_a_part_that_fails_costs_neither_the_model_nor_the_others(options: Options, tmp_path: Path) -> None:
    run = Fake("train video", "train painter")
    assert Session(options, run).go() == 1
    parts = read_json(options.out / "summary.json")["parts"]
    assert {name: part["status"] for name, part in parts.items()} == {
        "simulate": "done",
        "painter": "failed",
        "planner": "left out",
        "video": "failed",
        "reference": "done",
        "evaluate": "done",
        "pack": "done",
    }
    assert parts["video"]["why"] == "train: exit status 1: out of memory"
    assert parts["reference"] | {"seconds": 0} == parts["reference"] | {
        "seconds": 0,
        "steps": 31,
        "figures": {"psnr": 20.0},
    }
    model = brought(options, tmp_path)
    assert not zeros(model, "video_unet")
    assert zeros(model, "reference_decoder")
    Mask2IVPipeline.from_pretrained(model)
    assert read_json(model / "session" / "summary.json")["parts"]["reference"]["status"] == "done"
    assert (model / "session" / "logs" / "train-video.txt").read_text() == "said\n"
    assert len([path for path in options.out.rglob("*") if path.is_file()]) <= session_module.FILES


def test_a_model_is_there_before_the_first_part_and_after_each(options: Options, tmp_path: Path) -> None:
    def cut_off(arguments: Sequence[str], seconds: float, log: Path) -> None:
        if arguments[:2] == ["train", "reference"]:
            raise KeyboardInterrupt
        Fake("train painter")(arguments, seconds, log)

    with pytest.raises(KeyboardInterrupt):
        Session(options, cut_off).go()
    assert zeros(brought(options, tmp_path), "video_unet")
    assert read_json(options.out / "summary.json")["parts"]["video"]["status"] == "done"


def test_trainings_get_the_time_that_is_left(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Fake("train painter")
    Session(replace(options, share={"simulate": 1.0, "video": 2.0, "reference": 1.0}), run).go()
    # The first part took none of the 30 minutes, so the second gets two thirds.
    left = 20.0 - session_module._START_SECONDS / 60
    assert float(run.setting("video", "max_minutes")) == pytest.approx(left, abs=0.3)
    late = Fake()
    Session(replace(options, minutes=0.001, work=options.out / "late"), late).go()
    assert not late.commands
    assert read_json(options.out / "summary.json")["parts"]["video"]["why"] == "no time left"


def test_a_part_may_start_from_random_weights(options: Options) -> None:
    run = Fake("train painter")
    Session(replace(options, anew=("video",)), run).go()
    begins = {one[1]: "--initial-weights" in one for one in run.commands if one[0] == "train"}
    assert begins == {"painter": True, "video": False, "reference": True}


def test_stage_1_and_stage_2_train_in_parallel(options: Options) -> None:
    both = threading.Barrier(2)

    def wait_for_the_other(arguments: Sequence[str], seconds: float, log: Path) -> None:
        if arguments[:2] in (["train", "painter"], ["train", "video"]):
            both.wait(20)
        Fake()(arguments, seconds, log)

    Session(options, wait_for_the_other).go()
    parts = read_json(options.out / "summary.json")["parts"]
    assert [parts[name]["status"] for name in ("painter", "video")] == ["done", "done"]


def test_the_reference_decoder_learns_from_clips_that_stage_2_did_not(options: Options) -> None:
    run = Fake("train painter")
    Session(options, run).go()
    sets = {one[1]: ClipSet(Path(one[one.index("--data") + 1])).ids for one in run.commands if one[0] == "train"}
    assert sets["reference"]
    assert sets["video"]
    assert not {*sets["reference"]} & {*sets["video"]}
    assert {*sets["reference"], *sets["video"]} == {*sets["painter"]}


def test_a_session_goes_on_from_the_pieces_of_another(options: Options, tmp_path: Path) -> None:
    Session(options, Fake("train painter")).go()
    run = Fake("train painter")
    given = replace(options, out=tmp_path / "second", resume=options.out / "pieces")
    Session(given, run).go()
    [command] = [one for one in run.commands if one[:2] == ["train", "video"]]
    start = Path(command[command.index("--initial-weights") + 1])
    assert zeros(start, "video_unet")
    assert not (start / "session").exists()


def test_pieces_are_small_enough_and_not_too_many(tiny_model: Path, tmp_path: Path) -> None:
    packed = pack_release(tiny_model, tmp_path / "nothing", tmp_path / "pieces", 6)
    sizes = [path.stat().st_size for path in (tmp_path / "pieces").iterdir()]
    assert len(sizes) == packed.pieces + 1
    assert max(sizes) <= PIECE_BYTES
    with pytest.raises(InputError, match=r"^model: takes .* but 1 files may be copied back"):
        pack_release(tiny_model, tmp_path / "nothing", tmp_path / "few", 1)
    unpack(tmp_path / "pieces", tmp_path / "back")
    weights = [one for path in (tmp_path / "back" / "vae").glob("*.safetensors") for one in load_file(path).values()]
    assert {one.dtype for one in weights} == {torch.float16}


def test_stage_1_by_diffusion_is_dropped_from_a_model_with_plans(tiny_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    index: dict[str, Any] = json.loads((model / "model_index.json").read_text())
    for name, kind in (("painter", "MaskPainter"), ("planner", "InteractionPlanner")):
        shutil.copytree(model / "vae", model / name, dirs_exist_ok=True)
        index[name] = kind
    (model / "model_index.json").write_text(json.dumps(index))
    pack_release(model, tmp_path / "nothing", tmp_path / "pieces", 6)
    unpack(tmp_path / "pieces", tmp_path / "back")
    assert not {"trajectory_unet", "trajectory_resampler"} & {*read_index(tmp_path / "back")[1]}
    assert not (tmp_path / "back" / "trajectory_unet").exists()
    assert (model / "trajectory_unet").is_dir()


def test_commands_end_at_their_time_limit(tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(InputError, match=r"^train: not done after 0 s; see log.txt$"):
        run_process(["train", "vae"], 0.2, tmp_path / "log.txt")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--share", "vae=1"], "^share: must be PART=NUMBER, .* found 'vae=1'$"),
        (["--share", "video=-1"], "^share: must be PART=NUMBER, .* found 'video=-1'$"),
        (["--data", "x"], "^data: must be given together with held_out"),
        (["--minutes", "0"], "^minutes: must be positive, found 0"),
        (["--clips", "0"], "^clips: must be at least 1, found 0$"),
    ],
)
def test_wrong_flags_are_refused(flags: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        parse(["--out", str(tmp_path), *flags])
