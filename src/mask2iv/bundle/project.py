"""The project's own wheel, from a source checkout or an installed package, and the versions it was tested with."""

from __future__ import annotations

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
    """The source checkout that this package runs from, or None if it is installed elsewhere."""
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

    # Built from a copy, since building leaves files in the source folder.
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        require_file(root / name, str(root))
        shutil.copy(root / name, source)
    shutil.copytree(_PACKAGE, source / "src" / "mask2iv", ignore=ignored)
    run_pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source))
    shutil.rmtree(source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _installed_wheel(folder: Path, weights: bool) -> Path:
    """Zip the files that pip has installed: the inverse of installing a pure wheel."""
    distribution = metadata.distribution("mask2iv")
    info = f"mask2iv-{distribution.version}.dist-info"
    skipped = {f"{info}/{name}" for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")}
    wheel = folder / f"mask2iv-{distribution.version}-py3-none-any.whl"
    names = []
    with zipfile.ZipFile(wheel, "x", zipfile.ZIP_DEFLATED) as archive:
        for file in distribution.files or []:
            name = file.as_posix()
            ours = name.startswith((f"{info}/", "mask2iv/")) and name not in skipped and "__pycache__" not in name
            if ours and (weights or not name.startswith(f"mask2iv/{_WEIGHTS}/")):
                archive.writestr(name, file.read_binary())
                names.append(name)
        if "mask2iv/__init__.py" not in names:
            raise InputError("mask2iv", "cannot be packed: its installed files are not recorded", "install it with pip")
        # Without hashes, which pip does not compare.
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*names, f"{info}/RECORD")))
    return wheel


def default_constraints(folder: Path) -> tuple[Path, str]:
    """The pip constraints file for the versions to bundle if the user gives none, and its origin.

    In a checkout, this is the project's constraints.txt. Elsewhere, it lists the installed versions: what has been
    tried here goes into the bundle.
    """
    root = checkout()
    if root is not None and (root / "constraints.txt").is_file():
        return root / "constraints.txt", "constraints.txt of the source checkout"
    pins = {one.metadata["Name"]: one.version for one in metadata.distributions() if one.metadata["Name"]}
    path = folder / "constraints.txt"
    path.write_text("".join(f"{name}=={pin}\n" for name, pin in sorted(pins.items()) if "+" not in pin))
    return path, "versions installed beside mask2iv"
