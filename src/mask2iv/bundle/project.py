"""The project's own wheel, from a source checkout or from an installed package, and the versions it was tested with."""

from __future__ import annotations

import base64
import hashlib
import shutil
import zipfile
from importlib import metadata
from pathlib import Path

import mask2iv
from mask2iv.bundle.collect import run_pip
from mask2iv.errors import InputError
from mask2iv.files import require_file

_PACKAGE = Path(mask2iv.__file__).parent
_WEIGHTS = "weights"


def checkout() -> Path | None:
    """The source checkout that this package runs from, or None where it is installed."""
    root = _PACKAGE.parents[1]
    return root if _PACKAGE.parent.name == "src" and (root / "pyproject.toml").is_file() else None


def project_wheel(folder: Path, weights: bool) -> Path:
    """Make the project's wheel in ``folder``.

    Args:
        folder: receives the wheel.
        weights: include the embedded weights (46 MiB), which training from a recipe does not read.

    Raises:
        InputError: it cannot be built.
    """
    root = checkout()
    return _installed_wheel(folder, weights) if root is None else _built_wheel(root, folder, weights)


def _built_wheel(root: Path, folder: Path, weights: bool) -> Path:
    def ignored(_: str, names: list[str]) -> set[str]:
        return {name for name in names if name == "__pycache__" or (name == _WEIGHTS and not weights)}

    # A copy, since building leaves files in the source folder.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        require_file(root / name, "source checkout")
        shutil.copy(root / name, source)
    shutil.copytree(_PACKAGE, source / "src" / "mask2iv", ignore=ignored)
    run_pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source))
    shutil.rmtree(source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _installed_wheel(folder: Path, weights: bool) -> Path:
    """Zip what pip has installed; the inverse of installing a pure wheel."""
    distribution = metadata.distribution("mask2iv")
    info = f"mask2iv-{distribution.version}.dist-info"
    skipped = {f"{info}/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")}
    wheel = folder / f"mask2iv-{distribution.version}-py3-none-any.whl"
    lines = []
    with zipfile.ZipFile(wheel, "x", zipfile.ZIP_DEFLATED) as archive:
        for file in distribution.files or []:
            name = file.as_posix()
            ours = name.startswith((f"{info}/", "mask2iv/")) and name not in skipped and "__pycache__" not in name
            if ours and (weights or not name.startswith(f"mask2iv/{_WEIGHTS}/")):
                data = file.read_binary()
                digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
                archive.writestr(name, data)
                lines.append(f"{name},sha256={digest},{len(data)}\n")
        if not any(line.startswith("mask2iv/__init__.py,") for line in lines):
            raise InputError("the installed mask2iv cannot be packed: its files are not on record; install it with pip")
        archive.writestr(f"{info}/RECORD", "".join(lines) + f"{info}/RECORD,,\n")
    return wheel


def default_constraints(folder: Path) -> tuple[Path, str]:
    """The versions to carry when the user names none, as a pip constraints file, and where they are from.

    In a checkout the project's constraints.txt; where the package is installed, the versions that are installed beside
    it: what has been tried here goes there.
    """
    root = checkout()
    if root is not None and (root / "constraints.txt").is_file():
        return root / "constraints.txt", "constraints.txt of the source checkout"
    pins = {one.metadata["Name"]: one.version for one in metadata.distributions() if one.metadata["Name"]}
    path = folder / "constraints.txt"
    path.write_text("".join(f"{name}=={pin}\n" for name, pin in sorted(pins.items()) if "+" not in pin))
    return path, "versions installed beside mask2iv"
