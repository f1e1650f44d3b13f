"""The README: its commands run, its links lead somewhere, and the pages it points at name every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mask2iv.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_commands_run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    [demo, test, activate, generate] = [line.partition("#")[0].split() for line in block.splitlines()]
    assert [demo, test] == [["make", "demo"], ["make", "test"]]
    assert {"demo", "test"} <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert activate == [".", ".venv/bin/activate"]
    monkeypatch.chdir(tmp_path)
    assert main([*generate[1:], "--model", str(tiny_model), "--threads", "1"]) == 0
    assert Path("result/video.mp4").is_file()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md"])
def test_links_lead_somewhere(page: str) -> None:
    """Those of the documentation are checked when the site is built."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert not [link for link in links if not ((ROOT / page).parent / link).exists()]


def test_the_page_of_commands_names_each() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    missing = [name for name in [*COMMANDS, "completion"] if not re.search(rf"mask2iv {name}(?![\w-])", page)]
    assert not missing, "docs/commands.md lacks them"
