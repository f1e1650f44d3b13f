"""Bad input: one message that names the flag, exit status 2, nothing left behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from mask2iv.cli import main
from mask2iv.contract import BoolArray, Trajectory, UInt8Array
from mask2iv.media.images import write_png
from mask2iv.trajectories.storage import save_trajectory_file, save_trajectory_folder

PROMPT = ("--prompt", "a hand pushing a box to the right")
OBJECT = ("--object-mask", "object.png")


@pytest.fixture
def desk(
    tmp_path: Path, tiny_model: Path, pictures: dict[str, UInt8Array | BoolArray], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working directory with a picture of 64x128 pixels, masks good and bad, and a link to the model."""
    for name, pixels in pictures.items():
        write_png(tmp_path / f"{name}.png", pixels)
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "model").symlink_to(tiny_model)
    labels = np.zeros((4, 32, 64), dtype=np.uint8)
    save_trajectory_folder(Trajectory(labels), tmp_path / "good")
    save_trajectory_folder(Trajectory(labels[:3]), tmp_path / "short")
    save_trajectory_file(Trajectory(labels[:, :30]), tmp_path / "odd.npz")
    save_trajectory_file(Trajectory(labels, fps=1e9), tmp_path / "fast.npz")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scene(*flags: str) -> list[str]:
    return ["--image", "image.png", *flags]


def refused(capsys: pytest.CaptureFixture[str], command: str, flags: Sequence[str]) -> str:
    """Runs a command that must refuse; returns its message, having checked that nothing else happened."""
    before = sorted(Path().rglob("*"))
    defaults = {"--model": "model", "--threads": "1", "--steps": "1", "--out": "out"}
    missing = [part for flag, value in defaults.items() if flag not in flags for part in (flag, value)]
    assert main([command, *flags, *missing]) == 2
    assert sorted(Path().rglob("*")) == before
    captured = capsys.readouterr()
    assert captured.out == ""
    messages = [line for line in captured.err.splitlines() if line.startswith("mask2iv:")]
    assert len(messages) == 1
    assert "Traceback" not in captured.err
    assert messages[0].startswith("mask2iv: error: ")
    return messages[0].removeprefix("mask2iv: error: ")


SCENES = [
    (("--image", "absent.png", *OBJECT, *PROMPT), "--image: absent.png does not exist"),
    (("--image", "text.png", *OBJECT, *PROMPT), "--image: text.png cannot be read as an image"),
    (("--image", "good", *OBJECT, *PROMPT), "--image: good is not a file"),
    (scene("--object-mask", "absent.png", *PROMPT), "--object-mask: absent.png does not exist"),
    (scene("--object-mask", "other_size.png", *PROMPT), "--object-mask: the mask is 128x32 pixels but the image is"),
    (scene("--object-mask", "empty.png", *PROMPT), "--object-mask: the mask is empty"),
    (scene("--object-mask", "full.png", *PROMPT), "--object-mask: the mask covers the whole image"),
    (scene("--object-mask", "dot.png", *PROMPT), "--object-mask: it covers 1 pixels and vanishes"),
    (scene(*OBJECT, "--target-mask", "empty.png"), "--target-mask: the mask is empty"),
    (scene(*OBJECT, "--target-mask", "other_size.png"), "--target-mask: the mask is 128x32"),
    (scene(*OBJECT, *PROMPT, "--actor-mask", "full.png"), "--actor-mask: the mask covers"),
    (scene(*OBJECT), "--prompt: nothing says what shall happen; give a prompt, a target mask, or both"),
    (scene(*OBJECT, "--prompt", " "), "--prompt: nothing says what shall happen"),
    (
        scene(*OBJECT, "--actor", "hand", "--target-mask", "object.png"),
        "--actor: 'hand' completes a prompt, and none is given",
    ),
    (scene(*PROMPT), "--object-mask: found no object; give the object as a mask, a box or a point"),
    (scene(*PROMPT, *OBJECT, "--object-box", "44,20,34,32"), "--object-mask: found object_mask and object_box"),
    (scene(*PROMPT, "--object-box", "44,20,34"), "--object-box: expected X,Y,W,H in pixels, found '44,20,34'"),
    (scene(*PROMPT, "--object-box", "100,20,34,32"), "--object-box: x=100 y=20 w=34 h=32 leaves the image of 128x64"),
    (scene(*PROMPT, "--object-box", "0,0,128,64"), "--object-box: w=128 h=64 must be"),
    (scene(*PROMPT, "--object-point", "60;36"), "--object-point: expected X,Y in pixels, found '60;36'"),
    (scene(*PROMPT, "--object-point", "-1,36"), "--object-point: x=-1 y=36 lies outside"),
    (scene(*PROMPT, "--object-point", "10,10"), "--object-point: nothing stands out at x=10 y=10"),
    (scene(*PROMPT, *OBJECT, "--segmenter", "onnx"), "--segmenter: there is no box and no point to segment"),
    (scene(*PROMPT, "--object-point", "60,36", "--segmenter", "onnx"), "--segmenter-weights: onnx needs the folder"),
    (scene(*PROMPT, "--object-point", "60,36", "--segmenter-weights", "."), "--segmenter-weights: grabcut has no weig"),
]


@pytest.mark.parametrize(("flags", "message"), SCENES, ids=[message for _, message in SCENES])
def test_scenes(desk: Path, capsys: pytest.CaptureFixture[str], flags: Sequence[str], message: str) -> None:
    assert message in refused(capsys, "trajectory", flags)


NUMBERS = [
    (("--steps", "0"), "--steps: must be at least 1, found 0"),
    (("--steps", "5000"), "--steps: must be between 1 and 1000, found 5000"),
    (("--samples", "0"), "--samples: must be between 1 and 1000, found 0"),
    (("--seed", "-1"), "--seed: must be between 0 and"),
    (("--seed", str(2**63 - 1)), "--seed: must be between 0 and"),
    (("--threads", "-1"), "--threads: must be at least 1"),
    (("--size", "33x64"), "--size 33x64: height and width must be multiples of"),
    (("--size", "32"), "--size: expected HEIGHTxWIDTH in pixels, for example 160x256, found '32'"),
    (("--size", "0x64"), "--size: expected HEIGHTxWIDTH in pixels, for example 160x256, found '0x64'"),
    (("--size", "64000x64000"), "--size 64000x64000: at most 64 megapixels"),
    (("--guidance-scale", "nan"), "--guidance-scale: must be a number from 0 on"),
    (("--guidance-scale", "-1"), "--guidance-scale: must be a number from 0 on"),
    (
        ("--target-guidance-scale", "2"),
        "--target-guidance-scale: there is no target mask to guide by; give a target mask",
    ),
    (("--model", "nowhere"), "--model 'nowhere': no such folder"),
    (("--model", "good"), "--model: good is not a model folder"),
]


@pytest.mark.parametrize(("flags", "message"), NUMBERS, ids=[" ".join(flags) for flags, _ in NUMBERS])
def test_numbers_and_models(desk: Path, capsys: pytest.CaptureFixture[str], flags: Sequence[str], message: str) -> None:
    assert message in refused(capsys, "generate", [*scene(*OBJECT, *PROMPT), *flags])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
def test_no_gpu(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refused(capsys, "generate", [*scene(*OBJECT, *PROMPT), "--device", "cuda"])
    assert "--device: no CUDA device is available for 'cuda'" in message


TRAJECTORIES = [
    ("absent", "--trajectory: absent is neither a folder of PNG frames nor an .npz file"),
    ("image.png", "--trajectory: image.png is neither"),
    ("short", "--trajectory: it has 3 frames, this model renders 4"),
    ("odd.npz", "--trajectory of size 30x64: height and width must be multiples of"),
    ("painted", "--trajectory: painted/0000.png has the colour (120, 130, 125) at x=0, y=0"),
    ("fast.npz", "--trajectory: the frame rate of fast.npz must be 0.01 to 1000, found 1000000000.0"),
    ("gap", "--trajectory: gap: jumps from frame 1 to 3"),
]


@pytest.mark.parametrize(("path", "message"), TRAJECTORIES, ids=[path for path, _ in TRAJECTORIES])
def test_trajectories(desk: Path, capsys: pytest.CaptureFixture[str], path: str, message: str) -> None:
    shutil.copytree("good", "painted")
    shutil.copy("image.png", "painted/0000.png")
    shutil.copytree("good", "gap", ignore=shutil.ignore_patterns("0002.png"))
    assert message in refused(capsys, "render", scene("--trajectory", path))


def test_a_damaged_model(desk: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny_model, "broken", ignore=shutil.ignore_patterns("training"))
    weights = Path("broken/trajectory_unet/diffusion_pytorch_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    flags = scene(*OBJECT, *PROMPT, "--model", "broken")
    message = refused(capsys, "generate", flags)
    assert message.startswith("--model: component trajectory_unet in broken cannot be read")
    Path("broken/model_index.json").write_text("{")
    assert refused(capsys, "generate", flags).startswith("--model: broken/model_index.json: is not valid JSON")


def test_a_model_of_one_stage(desk: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(tiny_model, "half", ignore=shutil.ignore_patterns("training", "video_*"))
    index = json.loads(Path("half/model_index.json").read_text())
    kept = {name: value for name, value in index.items() if not name.startswith("video_")}
    Path("half/model_index.json").write_text(json.dumps(kept))
    message = refused(capsys, "generate", scene(*OBJECT, *PROMPT, "--model", "half"))
    assert message == "--model: half has no video stage, which generate needs"
    refused(capsys, "render", scene("--trajectory", "good", "--model", "half"))
    flags = ["--model", "half", "--threads", "1", "--steps", "1", "--out", "out"]
    assert main(["trajectory", *scene(*OBJECT, *PROMPT), *flags]) == 0


OUTPUTS = [
    ("filled", "--out: the folder {here}/filled is not empty; choose another one, or ask to overwrite"),
    ("text.png", "--out: {here}/text.png: cannot be written: a file has this name"),
    ("text.png/below", "--out: {here}/text.png/below: cannot be written: Not a directory"),
    ("/proc/result", "--out: /proc/result: cannot be written: "),
]


@pytest.mark.parametrize(("out", "message"), OUTPUTS, ids=[out for out, _ in OUTPUTS])
def test_outputs(desk: Path, capsys: pytest.CaptureFixture[str], out: str, message: str) -> None:
    if out.startswith("/proc") and not os.path.isdir("/proc"):
        pytest.skip("no place here that even the administrator cannot write")
    Path("filled").mkdir()
    Path("filled/video.mp4").write_text("precious")
    assert message.format(here=desk) in refused(capsys, "generate", scene(*OBJECT, *PROMPT, "--out", out))
    assert Path("filled/video.mp4").read_text() == "precious"


def test_overwrite_never_removes_what_no_run_wrote(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = scene(*OBJECT, *PROMPT, "--overwrite", "--out", ".")
    assert refused(capsys, "generate", flags).startswith(f"--overwrite: {desk} holds 'dot.png'")
    Path("former").mkdir()
    shutil.copytree("good", "former/trajectory")
    flags = scene("--trajectory", "former", "--overwrite", "--out", "former")
    assert refused(capsys, "render", flags).startswith(f"--out: the folder {desk}/former holds the input former")


def test_a_failed_run_leaves_things_as_they_were(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("earlier").mkdir()
    Path("earlier/video.mp4").write_text("precious")
    flags = scene(*OBJECT, *PROMPT, "--overwrite", "--size", "33x64")
    refused(capsys, "generate", [*flags, "--out", "earlier"])
    assert Path("earlier/video.mp4").read_text() == "precious"
    refused(capsys, "generate", [*flags, "--out", "new/folders/result"])


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [16, 700])
def test_a_full_disk(desk: Path, capsys: pytest.CaptureFixture[str], size: int) -> None:
    with small_files(size):
        message = refused(capsys, "generate", scene(*OBJECT, *PROMPT))
    assert message == "--out: out cannot be written: File too large; make room, or write elsewhere"


def test_interrupting_leaves_nothing(desk: Path) -> None:
    before = sorted(Path().rglob("*"))
    # A shell that starts tests in the background makes its children deaf to SIGINT.
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from mask2iv.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    flags = ["--model", "model", "--threads", "1", "--steps", "900", "--out", "new/out"]
    process = subprocess.Popen(
        [sys.executable, "-c", program, "generate", *scene(*OBJECT, *PROMPT), *flags], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    while b"trajectory:" not in said:
        part = os.read(process.stderr.fileno(), 4096)
        assert part, said.decode()
        said += part
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert b"mask2iv: interrupted" in said
    assert b"Traceback" not in said
    assert sorted(Path().rglob("*")) == before
