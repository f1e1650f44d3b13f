"""The house can be read from the bottom up: rooms import only rooms before them, and no files import in a ring."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import mask2iv

LEVELS = [
    {"errors"},
    {"contract", "files", "extras", "devices"},
    {"parsing", "samples"},
    {"config"},
    {"manifest", "seeds", "scaling"},
    {"media"},
    {"trajectories"},
    {"segmentation"},
    {"models", "data", "diffusion", "sim"},
    {"prompts", "stages", "curation", "export"},
    {"backbones"},
    {"pipelines"},
    {"official"},
    {"recipes"},
    {"generation", "evaluation"},
    {"execution"},
    {"training"},
    {"experiments"},
    {"bundle", "studio"},
    {"commands"},
    {"cli"},
]
RANK = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
ROOT = Path(mask2iv.__file__).parent
DOORS = ("mask2iv", "mask2iv.__main__", "mask2iv.bundle.start")
"""What is run, and imported by nothing."""


def imports(root: Path) -> dict[str, set[str]]:
    """Of each module below `root`, which is the package, the modules of the package that it names anywhere: at its top,
    within functions, and for types alone."""
    package = root.name
    files = {}
    for path in sorted(root.rglob("*.py")):
        parts = (package, *path.relative_to(root).with_suffix("").parts)
        files[".".join(parts).removesuffix(".__init__")] = path
    return {name: {*_named(path, files)} - {name} for name, path in files.items()}


def _named(path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are written out"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                # A name in a module, or a module in a room.
                found = full if full in files else node.module
                if found in files:
                    yield found


def rings(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches all others of its group."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        found, waiting = set(), [start]
        while waiting:
            new = graph[waiting.pop()] - found
            found |= new
            waiting += new
        reached[start] = found
    circular = {name for name in graph if name in reached[name]}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in circular}
    return sorted(sorted(group) for group in groups)


def test_rooms_import_only_rooms_before_them() -> None:
    wrong = []
    for name, targets in imports(ROOT).items():
        if name in DOORS:
            continue
        room = name.split(".")[1]
        assert room in RANK, f"{room} has no place in the order; give it one"
        for target in targets - {"mask2iv"}:
            other = target.split(".")[1]
            if other != room and RANK[other] >= RANK[room]:
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(sorted(wrong))


def test_no_files_import_in_a_ring() -> None:
    assert rings(imports(ROOT)) == []


@pytest.mark.parametrize(
    "line",
    [
        "from house.cellar import pump",
        "from house.cellar.pump import water",
        "import house.cellar.pump",
        "def late():\n    from house.cellar import pump",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.cellar.pump import water",
    ],
)
def test_a_planted_ring_is_seen(line: str, tmp_path: Path) -> None:
    cellar = tmp_path / "house" / "cellar"
    cellar.mkdir(parents=True)
    for folder in (cellar.parent, cellar):
        (folder / "__init__.py").write_text("")
    (cellar / "pump.py").write_text("from house.roof import rain\nwater = rain\n")
    (cellar.parent / "roof.py").write_text("rain = 1\n")
    assert rings(imports(cellar.parent)) == []
    (cellar.parent / "roof.py").write_text(f"{line}\nrain = 1\n")
    assert rings(imports(cellar.parent)) == [["house.cellar.pump", "house.roof"]]
