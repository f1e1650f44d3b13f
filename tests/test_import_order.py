"""Each room of the package imports only rooms before it, so that the house can be read from the bottom up."""

import ast
from pathlib import Path

import mask2iv

LEVELS = [
    {"errors"},
    {"contract", "files", "config", "extras"},
    {"alignment", "distances", "morphology", "manifest", "seeds"},
    {"plan"},
    {"masks"},
    {"media"},
    {"segment", "filmstrip", "checkpoint"},
    {"models", "data", "diffusion", "sim"},
    {"conditions", "plan_conditions"},
    {"stages"},
    {"recipes"},
    {"variants"},
    {"evaluation", "bundle"},
    {"training"},
    {"commands"},
    {"cli"},
]
RANK = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# TrainingConfig sits beside the engine that owns it; recipes may name it.
ALLOWED = {("recipes", "training.config")}


def test_rooms_import_only_rooms_before_them() -> None:
    root = Path(mask2iv.__file__).parent
    wrong = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts == ("__init__",) or parts == ("__main__",):
            continue
        room = parts[0]
        assert room in RANK, f"{room} has no place in the order; give it one"
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                if not name.startswith("mask2iv."):
                    continue
                inner = name.removeprefix("mask2iv.")
                target = inner.split(".")[0]
                if target != room and RANK[target] >= RANK[room] and (room, inner) not in ALLOWED:
                    wrong.append(f"{'/'.join(parts)} imports {inner}")
    assert not wrong, "\n".join(wrong)
