"""The installer: what does not fit is refused before anything is written."""

from __future__ import annotations

import io
import json
import platform
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mask2iv.bundle.install import MANIFEST, Refused, install
from mask2iv.files import sha256_file

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def make_bundle(folder: Path, member: str = "carried/__init__.py", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "site.tar.xz", "w:xz") as tar:
        info = tarfile.TarInfo(member)
        info.size = 5
        tar.addfile(info, io.BytesIO(b"x = 1"))
    manifest = {
        "python": HERE,
        "machine": platform.machine(),
        "glibc": [2, 5],
        "archive": {"name": "site.tar.xz", "sha256": sha256_file(folder / "site.tar.xz")},
        "assumed": [assumed("numpy", "numpy>=1"), {"name": "not-a-package-at-all", "needed": []}],
    }
    (folder / MANIFEST).write_text(json.dumps(manifest | changes))
    return folder


def assumed(name: str, requirement: str) -> dict[str, Any]:
    return {"name": name, "needed": [{"by": "mask2iv", "requirement": requirement}]}


def test_installs_once_and_again_after_a_change(tmp_path: Path) -> None:
    bundle, site = make_bundle(tmp_path / "bundle"), tmp_path / "site"
    assert install(bundle, site)
    assert (site / "carried" / "__init__.py").read_text() == "x = 1"
    assert not install(bundle, site)
    assert install(make_bundle(bundle, "newer.py"), site)
    assert sorted(path.name for path in site.iterdir()) == [".bundle-sha256", "newer.py"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"python": "3.4"}, "is for CPython 3.4"),
        ({"machine": "pdp11"}, "is for pdp11 processors"),
        ({"glibc": [2, 99]}, r"needs glibc 2\.99"),
        (
            {"assumed": [assumed("no-such", "no-such"), assumed("numpy", "numpy<1")]},
            "needs numpy<1.*no-such is not inst",
        ),
        ({"archive": {"name": "site.tar.xz", "sha256": "0"}}, "SHA-256"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "glibc" in changes and platform.libc_ver()[0] != "glibc":
        pytest.skip("glibc only")
    bundle = make_bundle(tmp_path / "bundle", **changes)
    with pytest.raises(Refused, match=message):
        install(bundle, tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_other_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(Refused, match="holds other files"):
        install(make_bundle(tmp_path / "bundle"), tmp_path / "home")
    with pytest.raises(tarfile.FilterError):
        install(make_bundle(tmp_path / "bundle", "../outside.py"), tmp_path / "site")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "home"]
