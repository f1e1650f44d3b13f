"""Valid inputs of every command, made once: what is mutated afterwards.

Run as a program with the folder to fill, in a process of its own, since it trains.
"""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from safetensors.torch import save_file

from mask2iv.cli import main
from mask2iv.media.images import write_png
from mask2iv.media.videos import write_video
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.storage import save_trajectory_file

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent))
import alone  # noqa: E402
import recordings  # noqa: E402
from recordings import CURATED  # noqa: E402

SCENE = ["--image", "scene/image.png", "--object-mask", "scene/object.png"]
PROMPT = "a hand pushing a box to the left"
FAST = ["--steps", "1", "--threads", "1"]


@dataclass(frozen=True)
class Target:
    """A command line, and the files that it reads.

    Attributes:
        argv: the arguments; paths are relative to the world, the output is ``out``.
        inputs: files and folders that a case needs.
        mutated: glob patterns of those that are mutated, below the world.
        before: a folder that becomes ``out`` before the run, for commands that resume.
        flags: flags that get odd values now and then. Those that merely ask for much work are not among them.
        program: runs the arguments.
    """

    argv: list[str]
    inputs: tuple[str, ...]
    mutated: tuple[str, ...]
    before: str = ""
    flags: tuple[str, ...] = ()
    program: Callable[[list[str]], int] = main


def _curate(source: str, mutated: tuple[str, ...], *more: str, size: str = "32x64", before: str = "") -> Target:
    argv = ["curate", source, "--out", "out", "--size", size, *CURATED, *more]
    inputs = (source, "networks") if "networks" in more else (source,)
    return Target(argv, inputs, mutated, before, CURATING, alone.run)


def _doctor(source: str, mutated: tuple[str, ...], *more: str) -> Target:
    argv = ["doctor", source, "--sheet", "out/sheet.png", "--json", "out/found.json", *more]
    return Target(argv, (source,), mutated, flags=("--limit", "--cameras", "--kind"))


def _export(form: str, clips: str, mutated: tuple[str, ...], *more: str) -> Target:
    return Target(["export", form, clips, "--out", "out", *more], (clips,), mutated, flags=("--limit", "--shard-size"))


CURATING = (
    "--fps", "--take", "--fit", "--fit-scale", "--min-frames", "--max-frames", "--motion-share", "--validation",
    "--test", "--split-seed", "--limit", "--cameras", "--kind", "--min-confidence",
    "--actor-index", "--test-list",
)  # fmt: skip
BRIDGE = ("bridge/**/*.jpg", "bridge/**/lang.txt")
HOI4D = ("hoi4d/**/*.mp4", "hoi4d/**/color.json", "hoi4d/**/0003*.png", "hoi4d/testset.txt")
OWN = ("videos/*", "videos/v0_masks/*")
MASKED = ("masked/*.*", "masked/*_masks/*", "masked/*_masks/*/*")
ASKED = (
    "--prompt", "--seed", "--size", "--guidance-scale", "--target-guidance-scale", "--fit", "--fit-scale",
    "--object-point", "--object-box", "--sampler", "--device", "--dtype",
)  # fmt: skip
MODEL = ("model/**/*",)
CLIPS = ("clips/**/*",)
TARGETS = {
    "generate": Target(
        ["generate", *SCENE, "--target-mask", "scene/target.png", "--prompt", "a hand pushing a box to the left",
         "--model", "model", *FAST, "--out", "out"], ("scene", "model"), ("scene/*.png", *MODEL), flags=ASKED),
    "jobs": Target(
        ["generate", "--jobs", "jobs.jsonl", "--model", "model", *FAST, "--out", "out"],
        ("scene", "model", "jobs.jsonl"), ("jobs.jsonl", "out/**/*.json"), "jobs-done"),
    "trajectory": Target(
        ["trajectory", *SCENE, "--prompt", PROMPT, "--model", "planning", *FAST, "--out",
         "out"], ("scene", "planning"), ("scene/*.png", "planning/**/*"), flags=ASKED),
    "render": Target(
        ["render", "--image", "scene/image.png", "--trajectory", "plan/trajectory", "--model", "model", *FAST, "--out",
         "out"], ("scene", "plan", "model"), ("plan/**/*",)),
    "render-file": Target(
        ["render", "--image", "scene/image.png", "--trajectory", "labels.npz", "--model", "model", *FAST, "--out",
         "out"], ("scene", "labels.npz", "model"), ("labels.npz",)),
    "clips": Target(
        ["clips", "videos", "--size", "32x64", "--frames", "4", "--out", "out"], ("videos",), ("videos/**/*",),
        flags=("--size", "--frames", "--fps", "--take", "--fit", "--actor-index", "--object-index")),
    "join": Target(["join", "clips", "clips-too", "--out", "out"], ("clips", "clips-too"), CLIPS),
    "simulate": Target(
        ["simulate", "--clips", "3", "--size", "32x64", "--workers", "1", "--out", "out"], (), (),
        flags=("--size", "--seed", "--actor", "--verbs", "--objects", "--domains", "--distractors", "--noise",
               "--split")),
    "evaluate": Target(
        ["evaluate", "--data", "clips", "--model", "model", "--metrics", "psnr,interaction", *FAST, "--out", "out"],
        ("clips", "model"), ("clips/*", "clips/clips/clip-0/*", "out/**/*"), "results-half"),
    "predictions": Target(
        ["evaluate", "--predictions", "predictions", "--data", "clips", "--metrics", "psnr", "--threads", "1", "--out",
         "out"], ("clips", "predictions"), ("predictions/**/*",)),
    "compare": Target(
        ["compare", "results", "results-too", "--references", "--out", "out/table.md"], ("results", "results-too"),
        ("results/*.json*", "results/features/*"),
        flags=("--measures", "--names", "--format")),
    "train": Target(
        ["train", "video", "--data", "clips", "--recipe", "tiny", "--out", "out", "--resume-from-checkpoint", "latest",
         "--threads", "1"], ("clips",), ("clips/*", "clips/clips/clip-1/*", "out/**/*"), "trained"),
    "train-vae": Target(
        ["train", "vae", "--data", "clips", "--recipe", "tiny", "--out", "out", "--resume-from-checkpoint", "latest",
         "--set", "vae.training.checkpoint_every=1", "--threads", "1"], ("clips",), CLIPS),
    "import": Target(
        ["import", "stage.ckpt", "--stage", "trajectory-text", "--config", "config.json", "--tokenizer", "bpe.txt.gz",
         "--dtype", "fp32", "--out", "out"],
        ("stage.ckpt", "config.json", "bpe.txt.gz"), ("stage.ckpt", "config.json", "bpe.txt.gz")),
    "import-safetensors": Target(
        ["import", "stage.safetensors", "--stage", "video", "--config", "config.json", "--tokenizer", "tokenizer",
         "--out", "out"], ("stage.safetensors", "config.json", "tokenizer"), ("stage.safetensors", "tokenizer/*")),
    "join-stages": Target(
        ["import", "--trajectory", "first", "--video", "second", "--out", "out"], ("first", "second"),
        ("first/**/*", "second/**/*")),
    "export": Target(["export-official", "first", "--stage", "trajectory", "--out", "out/back.ckpt"], ("first",),
                     ("first/**/*",)),
    "pack": Target(["pack", "trained", "--out", "out", "--piece-size", "100KiB"], ("trained",),
                   ("trained/**/*",)),
    "unpack": Target(["unpack", "pieces", "--out", "out"], ("pieces",), ("pieces/*",)),
    "bench": Target(["bench", "--model", "model", "--parts", "text,vae_decode", "--runs", "1", "--threads", "1"],
                    ("model",), MODEL),
    "reproduce": Target(
        ["reproduce", "table-ablation", "--data", "clips", "--scale", "tiny", "--out", "out", "--rows",
         "interdyn", "--threads", "1"], ("clips",),
        ("out/*.json", "out/**/manifest.json", "out/evaluations/**/*.json*"), "tables"),
    "curate-bridge": _curate("bridge", BRIDGE, size="36x64"),
    "curate-again": _curate("bridge", ("out/*.json*", "out/clips/*/*"), size="36x64", before="curated-half"),
    "curate-done": _curate("bridge", ("out/*.json*", "out/clips/*/*", "out/sheets/*"), size="36x64", before="curated"),
    "curate-hoi4d": _curate("hoi4d", HOI4D),
    "curate-videos": _curate("videos", OWN),
    "curate-masks": _curate("masked", MASKED),
    "curate-onnx": _curate("videos", ("networks/*",), "--remake-masks", "--segmenter", "onnx", "--segmenter-weights",
                           "networks", "--limit", "1"),
    "curate-lerobot": _curate("lerobot", ("lerobot/**/*",)),
    "curate-tables": _curate("lerobot-third", ("lerobot-third/**/*.parquet", "lerobot-third/**/*.json"),
                             "--cameras", "observation.images.wrist"),
    "doctor-bridge": _doctor("bridge", BRIDGE),
    "doctor-hoi4d": _doctor("hoi4d", HOI4D),
    "doctor-masks": _doctor("masked", MASKED),
    "doctor-lerobot": _doctor("lerobot-second", ("lerobot-second/**/*",), "--cameras", "observation.images.top"),
    "export-lerobot": _export("lerobot", "clips", CLIPS),
    "export-webdataset": _export("webdataset", "clips", CLIPS, "--shard-size", "60KB"),
    "export-frames": _export("frames", "clips", CLIPS),
    "export-masks": _export("masks", "clips", CLIPS, "--to", "coco"),
    "export-results": _export("masks", "jobs-done", ("jobs-done/*/*", "jobs-done/*/trajectory/*")),
    "shards": _export("masks", "shards", ("shards/*",), "--to", "arrays"),
    "predictions-shards": Target(
        ["evaluate", "--predictions", "predictions", "--data", "shards", "--metrics", "psnr", "--threads", "1", "--out",
         "out"], ("shards", "predictions"), ("shards/*",)),
}  # fmt: skip
WITH_WORKERS = {
    "curate": Target(
        ["curate", "masked", "--out", "out", "--size", "32x64", "--frames", "4", "--motion-share", "0.3", "--workers",
         "2"], ("masked",), ()),
}  # fmt: skip
"""Commands that start processes, to be disturbed; their files are mutated where they do the work alone."""


def module(path: Path) -> ModuleType:
    """A file of the tests as a module."""
    spec = importlib.util.spec_from_file_location(f"fuzz_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def call(*arguments: str) -> None:
    assert main(list(arguments)) == 0, arguments


def build(root: Path) -> None:
    """Fill the working directory, which is `root`."""
    shared = module(TESTS / "conftest.py")
    clips = [shared.make_clip(index) for index in range(4)]
    for name in ("clips", "clips-too"):
        with shared.ClipSetWriter(root / name, (32, 64), 4, 8.0, {"generator": shared.SIMULATOR}) as writer:
            for clip in clips:
                writer.add(clip if name == "clips" else replace(clip, clip_id=f"{clip.clip_id}-too"))
    _scene(root, clips[0])
    _videos(root, clips)
    for component in shared.COMPONENTS:
        call("train", component, "--data", "clips", "--out", "model", "--recipe", "tiny", "--threads", "1")
    _trained(root)
    _results(root)
    _checkpoints(root)
    recordings.build(root, clips, call, module)
    for name in ("model", "planning"):
        shutil.rmtree(root / name / "training")


def _scene(root: Path, clip: object) -> None:
    video, labels = clip.video, clip.trajectory.labels  # type: ignore[attr-defined]
    (root / "scene").mkdir()
    write_png(root / "scene" / "image.png", video[0])
    write_png(root / "scene" / "object.png", labels[0] == 2)
    write_png(root / "scene" / "target.png", labels[-1] == 2)
    job = {"image": "scene/image.png", "object_mask": "scene/object.png", "prompt": "a hand pushing a box to the left"}
    jobs = [{**job, "id": "a"}, {**job, "id": "b", "object_mask": None, "object_box": [26, 12, 12, 14], "seed": 3}]
    (root / "jobs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in jobs))
    save_trajectory_file(clip.trajectory, root / "labels.npz")  # type: ignore[attr-defined]


def _videos(root: Path, clips: list[object]) -> None:
    folder = root / "videos"
    lines = ["clip,caption,verb,object,actor"]
    for index, clip in enumerate(clips[:3]):
        labels = clip.trajectory.labels  # type: ignore[attr-defined]
        write_video(folder / f"v{index}.mp4", clip.video, 8.0)  # type: ignore[attr-defined]
        lines.append(f"v{index},{clip.caption},pushing,box,hand")  # type: ignore[attr-defined]
        if index == 0:
            for t, frame in enumerate(labels_to_rgb(labels)):
                write_png(folder / "v0_masks" / f"{t:04d}.png", frame)
        elif index == 1:
            save_trajectory_file(clip.trajectory, folder / "v1_labels.npz")  # type: ignore[attr-defined]
        else:
            write_video(folder / "v2_labels.mp4", labels_to_rgb(labels), 8.0, crf=8, pixel_format="yuv444p")
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    for clip in clips:
        write_video(root / "predictions" / f"{clip.clip_id}.mp4", clip.video, 8.0)  # type: ignore[attr-defined]


def _trained(root: Path) -> None:
    shared = ("--data", "clips", "--recipe", "tiny", "--threads", "1")
    (root / "planning").mkdir()
    index = json.loads((root / "model" / "model_index.json").read_text())
    for path in sorted((root / "model").iterdir()):
        if path.is_dir() and path.name != "training" and not path.name.startswith("trajectory_"):
            (root / "planning" / path.name).mkdir()
            for file in path.iterdir():
                (root / "planning" / path.name / file.name).write_bytes(file.read_bytes())
    rest = {name: value for name, value in index.items() if not name.startswith("trajectory_")}
    (root / "planning" / "model_index.json").write_text(json.dumps(rest))
    for component in ("painter", "planner"):
        call("train", component, "--out", "planning", *shared)
    half = ("--set", "video.training.checkpoint_every=2", "--set", "video.training.checkpoints_total_limit=2")
    call("train", "vae", "--out", "trained", *shared)
    call("train", "encoders", "--out", "trained", *shared)
    call("train", "video", "--out", "trained", *shared, *half)
    call("pack", "trained", "--out", "pieces", "--piece-size", "200KiB")
    call("trajectory", *SCENE, "--prompt", PROMPT, "--model", "model", *FAST, "--out", "plan")
    call("generate", "--jobs", "jobs.jsonl", "--model", "model", *FAST, "--out", "jobs-done")
    call("reproduce", "table-ablation", "--data", "clips", "--scale", "tiny", "--out", "tables", "--rows", "interdyn",
         "--threads", "1")  # fmt: skip


def _results(root: Path) -> None:
    asked = ("--data", "clips", "--model", "model", "--metrics", "psnr,interaction", *FAST)
    for name in ("results", "results-too", "results-half"):
        call("evaluate", *asked, "--out", name)
    # An evaluation that was stopped after two clips.
    half = root / "results-half"
    journal = half / "per_clip.jsonl"
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:2]))
    for name in ("metrics.json", "report.html", "per_clip.parquet"):
        (half / name).unlink()


def _checkpoints(root: Path) -> None:
    makers = module(TESTS / "golden" / "checkpoints.py")
    state, config = makers.small_checkpoint()
    torch.save({"state_dict": state}, root / "stage.ckpt")
    save_file(
        {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()},
        root / "stage.safetensors",
    )
    (root / "config.json").write_text(json.dumps(config))
    makers.write_vocabulary(root / "bpe.txt.gz")
    common = ("--config", "config.json", "--tokenizer", "bpe.txt.gz", "--dtype", "fp32")
    call("import", "stage.ckpt", "--stage", "trajectory-text", "--out", "first", *common)
    call("import", "stage.ckpt", "--stage", "video", "--out", "second", *common)
    (root / "tokenizer").mkdir()
    for path in (root / "first" / "tokenizer").iterdir():
        (root / "tokenizer" / path.name).write_bytes(path.read_bytes())


class _Code:
    """Pickled, it would make a file when it is read."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def make_traps(root: Path) -> None:
    """Hostile files to put in place of others."""
    traps = root / "traps"
    traps.mkdir()
    code = pickle.dumps(_Code("PICKLE-RAN"), protocol=2)
    (traps / "pickle.bin").write_bytes(code)
    with zipfile.ZipFile(traps / "pickle.zip", "w") as archive:
        archive.writestr("archive/data.pkl", code)
        archive.writestr("archive/version", "3\n")
    with zipfile.ZipFile(traps / "pickle.npz", "w") as archive, archive.open("labels.npy", "w") as file:
        np.lib.format.write_array(file, np.array([_Code("PICKLE-RAN")], dtype=object))
    with zipfile.ZipFile(traps / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("labels", "fps", "psnr model 0"):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                count = 6 * 2**30 if name == "labels" else 8
                header = {"descr": "|u1", "fortran_order": False, "shape": (count // 8, 2, 4)}
                np.lib.format.write_array_header_1_0(file, header)
                for _ in range(max(count >> 24, 1)):
                    file.write(bytes(min(count, 1 << 24)))
    recordings.make_tables(traps)
    (traps / "script.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 32\n(x) show\nshowpage\n")
    (traps / "concat.txt").write_text("ffconcat version 1.0\nfile '/etc/passwd'\n")
    (traps / "playlist.m3u8").write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n")
    (traps / "page.html").write_text("<html><script>alert(1)</script></html>")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    torch.set_num_threads(1)
    build(folder.resolve())
    make_traps(folder.resolve())
