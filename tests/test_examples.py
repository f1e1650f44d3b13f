"""The examples run, here on a tiny model."""

from __future__ import annotations

import csv
import json
import runpy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mask2iv.media.videos import read_video
from mask2iv.samples import sample_folder

# A tiny model knows few words.
pytestmark = pytest.mark.filterwarnings("ignore::mask2iv.prompts.reader.PromptWarning")
EXAMPLES = Path(__file__).parents[1] / "examples"


def main_of(name: str) -> Callable[[list[str]], Any]:
    main: Callable[[list[str]], Any] = runpy.run_path(str(EXAMPLES / name))["main"]
    return main


def test_every_example_is_listed_and_tested() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")}
    assert names == {"first_video.ipynb", "own_picture.py", "batch.py"}
    assert all(f"({name})" in (EXAMPLES / "README.md").read_text() for name in names)


def test_the_notebook_runs(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((EXAMPLES / "first_video.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(
        cell["outputs"] or "import" in "".join(cell["source"]) for cell in notebook["cells"] if "outputs" in cell
    )
    given = 'MODEL = "embedded"'
    assert given in cells[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in [cells[0].replace(given, f"MODEL = {str(tiny_model)!r}"), *cells[1:]]:
        exec(compile(cell, "notebook", "exec"), names)
    assert read_video("cup.mp4").frames.shape == (4, 32, 64, 3)
    assert Path("cup.webp").is_file()


def test_own_picture(tiny_model: Path, tmp_path: Path) -> None:
    picture, out = sample_folder("cup") / "image.png", tmp_path / "out"
    flags = ["--box", "108,58,44,52", "--prompt", "a hand pushing a box", "--samples", "2", "--steps", "1"]
    main_of("own_picture.py")([str(picture), *flags, "--model", str(tiny_model), "--out", str(out)])
    assert {path.name for path in out.iterdir()} == {"object_mask.png", "video-0.mp4", "video-1.mp4", "all.png"}


def test_batch(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(sample_folder("cup"), tmp_path / "cup")
    with (tmp_path / "scenes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "object_mask", "target_mask", "prompt", "seed"])
        writer.writerow(["a", "cup/image.png", "cup/object_mask.png", "", "a hand pushing a box", 3])
        writer.writerow(["b", "cup/image.png", "cup/object_mask.png", "cup/target_mask.png", "", ""])
    flags = ["--out", str(tmp_path / "out"), "--model", str(tiny_model), "--steps", "1", "--batch-size", "2"]
    for said in ("2 done", "2 skipped"):
        assert main_of("batch.py")([str(tmp_path / "scenes.csv"), *flags]) == 0
        assert said in capsys.readouterr().out
    assert (tmp_path / "out" / "b" / "video.webp").is_file()
