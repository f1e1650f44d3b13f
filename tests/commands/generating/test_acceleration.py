"""Flags of speed and memory: recorded, refused where they cannot work, and named when memory does not suffice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mask2iv.backbones.dynamicrafter.unet import VideoUNet
from mask2iv.cli import main
from mask2iv.contract import BoolArray, UInt8Array
from mask2iv.media.images import write_png

PROMPT = "a hand pushing a box to the right"


@pytest.fixture
def desk(
    tmp_path: Path, tiny_model: Path, pictures: dict[str, UInt8Array | BoolArray], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A working directory with a picture, a mask, three jobs and a link to the model."""
    for name in ("image", "object"):
        write_png(tmp_path / f"{name}.png", pictures[name])
    jobs = [{"id": name, "image": "image.png", "object_mask": "object.png", "prompt": PROMPT} for name in "abc"]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, jobs)))
    (tmp_path / "model").symlink_to(tiny_model)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*flags: str, command: str = "generate") -> int:
    scene = [] if "--jobs" in flags else ["--image", "image.png", "--object-mask", "object.png", "--prompt", PROMPT]
    return main([command, *scene, "--model", "model", "--steps", "1", "--threads", "1", "--out", "out", *flags])


def settings(folder: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "manifest.json").read_text())["settings"]
    return found


def test_flags_are_recorded(desk: Path) -> None:
    assert run("--dtype", "bf16", "--vae-tiling", "--channels-last") == 0
    found = settings()
    assert (found["dtype"], found["vae_tiling"], found["channels_last"], found["compile"]) == (
        "bf16",
        True,
        True,
        False,
    )


def test_precision_reaches_the_networks(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    forward = VideoUNet.forward

    def note(self: VideoUNet, x: torch.Tensor, *rest: Any) -> torch.Tensor:
        seen.add((self.dtype, x.dtype))
        return forward(self, x, *rest)

    monkeypatch.setattr(VideoUNet, "forward", note)
    assert run("--dtype", "bf16", command="trajectory") == 0
    assert seen == {(torch.bfloat16, torch.bfloat16)}


def test_a_job_of_another_precision_is_another_result(desk: Path) -> None:
    assert run("--jobs", "jobs.jsonl") == 0
    assert run("--jobs", "jobs.jsonl", "--channels-last") == 0, "how it is computed does not matter"
    assert run("--jobs", "jobs.jsonl", "--dtype", "bf16") == 3


@pytest.mark.parametrize("command", ["generate", "trajectory"])
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--cuda-graphs",), "--cuda-graphs: it needs a CUDA device, and is of no use on cpu; leave it out"),
        (("--offload", "model"), "--offload model: it needs a CUDA device, and is of no use on cpu; leave it out"),
        (("--offload", "disk"), "--offload: must be one of group, model, none, found 'disk'"),
    ],
)
def test_what_cannot_work_is_refused(
    desk: Path, capsys: pytest.CaptureFixture[str], command: str, flags: tuple[str, ...], message: str
) -> None:
    assert run(*flags, "--device", "cpu", command=command) == 2
    assert message in capsys.readouterr().err
    assert not Path("out").exists()


def test_no_compiler_is_said(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    with pytest.warns(
        RuntimeWarning, match=r"torch.compile does not work here: .*going on without it.*a C\+\+ compiler"
    ):
        assert run("--compile") == 0
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert "torch.compile does not work here" in manifest["not_compiled"]


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, set[int]], list[int]]:
    """Lets a network's calls fail as a full GPU does: with more samples than fit, and at calls of these numbers."""

    def limit(samples: int, fail: set[int]) -> list[int]:
        calls: list[int] = []
        forward = VideoUNet.forward

        def scarce(self: VideoUNet, x: torch.Tensor, *rest: Any) -> torch.Tensor:
            calls.append(len(x))
            if len(x) > samples or len(calls) in fail:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has more to say.")
            return forward(self, x, *rest)

        monkeypatch.setattr(VideoUNet, "forward", scarce)
        return calls

    return limit


def test_lack_of_memory_says_what_to_do(
    desk: Path, small_memory: Callable[[int, set[int]], list[int]], capsys: pytest.CaptureFixture[str]
) -> None:
    small_memory(0, set())
    assert run() == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "--device: the GPU's memory does not suffice (PyTorch: CUDA out of memory); try " in said
    for word in ("batch size", "dtype bf16", "VAE tiling", "int8 quantisation", "offloading"):
        assert word in said
    assert not Path("out").exists()


def test_a_batch_that_does_not_fit_is_computed_one_by_one(
    desk: Path, small_memory: Callable[[int, set[int]], list[int]]
) -> None:
    calls = small_memory(2, set())
    assert run("--jobs", "jobs.jsonl", "--batch-size", "3", "--guidance-scale", "1") == 0
    assert calls[0] == 3
    assert set(calls[1:]) == {1}
    assert all(Path("out", name, "video.mp4").is_file() for name in "abc")


def test_a_job_without_memory_fails_alone(desk: Path, small_memory: Callable[[int, set[int]], list[int]]) -> None:
    small_memory(1, {3})  # two calls a job: the first of the second job fails
    assert run("--jobs", "jobs.jsonl", "--guidance-scale", "1") == 3
    [failure] = json.loads(Path("out/failures.json").read_text())
    assert failure["id"] == "b"
    assert "memory does not suffice" in failure["error"]
    assert sorted(path.parent.name for path in Path("out").glob("*/video.mp4")) == ["a", "c"]
