"""What the documentation tells its readers to type: it is marked as what it is, its flags exist, and it runs.

Commands run at a tiny scale, page by page, in a folder that holds what the pages name. A block that needs a GPU, data
sets, weights or hours says so in a comment before it, `<!-- not run: REASON -->`; its flags are checked all the same.
"""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mask2iv.cli import COMMANDS, command_class, flags_of, main
from mask2iv.data.store import SIMULATOR, ClipSet, ClipSetWriter
from mask2iv.media.images import write_png
from mask2iv.media.videos import write_video
from mask2iv.samples import sample_folder

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOT_RUN = 47
"""Blocks that are not run. Raise it only for what truly cannot run here."""
SLOW = {"simulation.md", "benchmark-data.md"}
"""Pages whose blocks take more than half a minute together."""
_BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_TYPED = re.compile(r"^(?:\$ )?(?:mask2iv|make|python3?|pip|accelerate|torchrun) ", re.M)
_SMALL = {"--size": "32x64", "--frames": "4"}
_TINY: dict[str, dict[str, str]] = {
    "generate": {"--threads": "1", "--steps": "1"},
    "trajectory": {"--threads": "1", "--steps": "1"},
    "render": {"--threads": "1", "--steps": "1"},
    "plan": {"--threads": "1", "--steps": "1", "--candidates": "2"},
    "train": {"--threads": "1", "--recipe": "tiny"},
    "evaluate": {"--threads": "1", "--limit": "1", "--metrics": "psnr,ssim"},
    "simulate": {"--clips": "1", "--workers": "1"},
    "clips": _SMALL,
    "curate": _SMALL,
}
"""Flags that make a command tiny: put in place of what is given, or added."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `reason` says why it is not run."""

    page: Path
    kind: str
    text: str
    reason: str | None

    @property
    def commands(self) -> list[list[str]]:
        """Words of each mask2iv command."""
        lines = self.text.replace("\\\n", " ").splitlines()
        words = [shlex.split(line, comments=True) for line in lines if line.startswith("mask2iv ")]
        return [one[1:] for one in words]


def blocks_of(page: Path) -> list[Block]:
    found = _BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, match["kind"], match["text"], match["reason"]) for match in found]


PAGES = sorted(DOCS.rglob("*.md"))
BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def test_what_is_typed_is_marked_as_such() -> None:
    wrong = [
        block for block in BLOCKS if block.kind not in ("bash", "python", "json", "yaml") and _TYPED.search(block.text)
    ]
    assert not wrong, "fence these as bash:\n" + "\n".join(f"{block.page.name}: {block.text[:60]}" for block in wrong)


def test_few_blocks_are_left_out() -> None:
    left = [block for block in BLOCKS if block.reason is not None]
    run = [block for block in BLOCKS if block.reason is None and block.kind in ("bash", "python")]
    assert len(left) <= NOT_RUN, [f"{block.page.name}: {block.reason}" for block in left]
    assert len(run) >= 30


def test_every_flag_exists() -> None:
    wrong = []
    for block in BLOCKS:
        for name, *words in block.commands if block.kind == "bash" else []:
            if name == "completion":
                continue
            assert name in COMMANDS, f"{block.page.name}: mask2iv {name}"
            known = {f"--{flag.replace('_', '-')}" for flag in flags_of(command_class(name))} | {"--help"}
            given = {word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")}
            wrong += [f"{block.page.name}: mask2iv {name} {flag}" for flag in given - known]
    assert not wrong, "\n".join(wrong)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_clips: Path,
    tiny_model: Path,
    hoi4d: tuple[Path, Any],
    bridge: tuple[Path, Any],
) -> Path:
    """A folder with all that the pages name."""
    root = tmp_path_factory.mktemp("reader") / "world"
    root.mkdir()
    cup = sample_folder("cup")
    for name, file in {"desk": "image", "can": "object_mask", "there": "target_mask"}.items():
        shutil.copy(cup / f"{file}.png", root / f"{name}.png")
    edits, path = (block.text for block in blocks_of(DOCS / "editing.md") if block.kind == "json")
    [plan] = (block.text for block in blocks_of(DOCS / "editing.md") if block.kind == "yaml")
    for name, text in {"edits.json": edits, "path.json": path, "right.json": path, "plan.yaml": plan}.items():
        (root / name).write_text(_for_few_frames(text))
    job = {"image": "desk.png", "object_mask": "can.png", "prompt": "a hand pushing a can"}
    (root / "jobs.jsonl").write_text("".join(json.dumps({**job, "id": name}) + "\n" for name in "ab"))
    shutil.copytree(tiny_clips, root / "data" / "train")
    shutil.copytree(tiny_model, root / "runs" / "mine")
    clips = ClipSet(tiny_clips)
    with ClipSetWriter(root / "data" / "test", (32, 64), 4, 8.0, {"generator": SIMULATOR}) as writer:
        for clip in clips[:2]:
            writer.add(replace(clip, clip_id=f"test-{clip.clip_id}"))
    (root / "my_videos").mkdir()
    (root / "their-videos").mkdir()
    captions = ["clip,caption,verb,object,actor"]
    for index in range(2):
        clip = clips[index]
        write_video(root / "my_videos" / f"{index}.mp4", clip.video, 8.0)
        for frame, labels in enumerate(clip.trajectory.labels):
            colours = np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0]], dtype=np.uint8)[labels]
            write_png(root / "my_videos" / f"{index}_masks" / f"{frame:04d}.png", colours)
        captions.append(f"{index},{clip.caption},{clip.verb},{clip.object_name},{clip.actor}")
        write_video(root / "their-videos" / f"test-{clip.clip_id}.mp4", clip.video, 8.0)
    (root / "my_videos" / "captions.csv").write_text("\n".join(captions) + "\n")
    shutil.copytree(root / "my_videos", root / "FOLDER")
    shutil.copy(root / "my_videos" / "0.mp4", root / "video.mp4")
    for name, (tree, _) in {"HOI4D": hoi4d, "bridge": bridge}.items():
        (root / name).symlink_to(tree)
    sequences = [path.relative_to(hoi4d[0]).parent.as_posix() for path in hoi4d[0].rglob("align_rgb")]
    for name in ("release.txt", "testset.txt"):
        (root / name).write_text("\n".join(sequences[:2]) + "\n")
    return root


def _for_few_frames(script: str) -> str:
    """The script of edits, whose frames are those of 16, for a trajectory of 4."""
    return re.sub(r"\b(4|9|15)\b(?=[\],}])", lambda found: {"4": "1", "9": "2", "15": "3"}[found[1]], script)


def tiny(words: Sequence[str], model: Path) -> list[str]:
    """A command at a tiny scale: small models in place of trained ones, few steps, few clips."""
    name, *rest = words
    changes = dict(_TINY.get(name, {}))
    if name in ("generate", "trajectory", "render", "replay", "plan"):
        changes["--model"] = str(model)
    if name == "simulate" and "--benchmark" not in rest:
        changes["--size"] = "32x64"
    if "--workers" in rest:
        changes["--workers"] = "1"
    for flag, value in changes.items():
        if flag in rest:
            place = rest.index(flag) + 1
            # A model that a page has trained before is used.
            if not (flag == "--model" and rest[place] != "embedded"):
                rest[place] = value
        else:
            rest += [flag, value]
    return [name, *(str(model) if word == "embedded" else word for word in rest)]


PAGES_THAT_RUN = sorted({block.page for block in BLOCKS if block.reason is None and block.kind in ("bash", "python")})


@pytest.mark.filterwarnings("ignore::mask2iv.prompts.reader.PromptWarning")  # a tiny model knows few words
@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.relative_to(DOCS).as_posix(), marks=[pytest.mark.slow] if page.name in SLOW else [])
        for page in PAGES_THAT_RUN
    ],
)
def test_a_page_runs_from_top_to_bottom(
    page: Path, world: Path, planning_model: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(world, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    # Only a planner fits an actor to a path.
    model = planning_model if page.name in ("training.md", "editing.md", "commands.md") else tiny_model
    if page.name in ("training.md", "simulation.md"):
        # They make these themselves.
        shutil.rmtree("runs")
        shutil.rmtree("data")
    for block in blocks_of(page):
        if block.reason is not None or block.kind not in ("bash", "python"):
            continue
        if block.kind == "python":
            program = block.text.replace('from_pretrained("embedded")', f"from_pretrained({str(model)!r})")
            # Made for the embedded model's frames and sizes.
            program = program.replace("frames=(4, 15)", "frames=(1, 3)").replace("np.pi, 16", "np.pi, 4")
            exec(compile(program, f"{page.name}", "exec"), {"__name__": "page"})
            continue
        lines = [line for line in block.text.splitlines() if line.strip()]
        assert all(line.startswith(("mask2iv ", "# ", " ")) or line.endswith("\\") for line in lines), block.text
        for words in block.commands:
            # The miniature data sets hold every fault of the real ones, and 3 says that some were found.
            assert main(tiny(words, model)) in ((0, 3) if words[0] == "doctor" else (0,)), " ".join(words)


def test_the_pages_fetch_nothing_from_elsewhere() -> None:
    settings = (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in settings
    assert not [page.name for page in PAGES if re.search(r"!\[[^\]]*\]\(https?:", page.read_text(encoding="utf-8"))]


def test_modules_of_the_api_pages_are_there() -> None:
    for page in (DOCS / "api").glob("*.md"):
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.M):
            try:
                module: Any = importlib.import_module(name)
            except ModuleNotFoundError:
                above, _, last = name.rpartition(".")
                module = getattr(importlib.import_module(above), last)
            assert module.__doc__, name
