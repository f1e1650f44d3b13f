"""Small wheels, and a pip that finds only them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

MakeWheel = Callable[..., Path]


@pytest.fixture
def make_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeWheel:
    """Makes wheels in a folder that is all pip knows: ``make_wheel("a", "1.0", "b>=2", tag="py3-none-any")``."""
    house = tmp_path / "wheelhouse"
    house.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))

    def make(
        name: str, version: str, *requires: str, tag: str = "py3-none-any", size: int = 10, extras: str = ""
    ) -> Path:
        module, path = name.replace("-", "_"), house / f"{name.replace('-', '_')}-{version}-{tag}.whl"
        headers = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: >=3.11"]
        headers += [f"Requires-Dist: {one}" for one in requires]
        headers += [f"Provides-Extra: {one}" for one in extras.split()]
        info = f"{module}-{version}.dist-info"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(f"{module}/__init__.py", f"__version__ = {version!r}\n" + "#" * size)
            archive.writestr(f"{info}/METADATA", "\n".join(headers) + "\n")
            archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
            archive.writestr(f"{info}/RECORD", f"{module}/__init__.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n")
        return path

    return make
