"""Install this bundle: python3 install.py [FOLDER]. Needs neither network nor root, and writes only into FOLDER.

A copy is in every bundle. It uses the standard library alone, since nothing else is installed yet.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import platform
import shutil
import sys
import tarfile
from importlib import metadata
from pathlib import Path
from typing import Any

MANIFEST = "bundle.json"
_STAMP = ".bundle-sha256"


class Refused(Exception):
    """The bundle does not fit this machine, or is damaged."""


def install(bundle: Path, site: Path) -> bool:
    """Unpack the bundle's packages into the new folder ``site``, which appears complete or not at all.

    Returns:
        False if they are installed already.

    Raises:
        Refused: the Python or processor differs from the bundle's, or the C library is older; an assumed package is
            missing or has an unsuitable version; the bundle is damaged; or ``site`` holds other files.
    """
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    archive = manifest["archive"]
    check_machine(manifest)
    stamp = site / _STAMP
    if stamp.is_file() and stamp.read_text() == archive["sha256"]:
        check_assumed(manifest, site)
        return False
    if site.exists() and not stamp.is_file() and any(site.iterdir()):
        raise Refused(f"{site} holds other files; choose another folder")
    path = bundle / archive["name"]
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != archive["sha256"]:
            raise Refused(f"{path} differs from its SHA-256 sum; copy it again")
    temporary = site.with_name(f".{site.name}.{os.getpid()}")
    try:
        with tarfile.open(path, "r:xz") as tar:
            tar.extractall(temporary, filter="data")
        check_assumed(manifest, temporary)
        (temporary / _STAMP).write_text(archive["sha256"])
        shutil.rmtree(site, ignore_errors=True)
        os.replace(temporary, site)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def check_machine(manifest: dict[str, Any]) -> None:
    """Raises Refused unless Python's version, the processor and the C library fit the bundle."""
    python = ".".join(platform.python_version_tuple()[:2])
    if python != manifest["python"] or platform.python_implementation() != "CPython":
        raise Refused(
            f"the bundle is for CPython {manifest['python']}, this is {platform.python_implementation()} {python}; set "
            "PYTHON, or make a bundle with --python for this one"
        )
    if platform.machine() != manifest["machine"]:
        raise Refused(f"the bundle is for {manifest['machine']} processors, this is {platform.machine()}")
    name, version = platform.libc_ver()
    if manifest["glibc"] and name == "glibc" and [int(n) for n in version.split(".")[:2]] < manifest["glibc"]:
        wanted = ".".join(map(str, manifest["glibc"]))
        raise Refused(f"the bundle needs glibc {wanted}, this is {version}; make one with --platform for this machine")


def check_assumed(manifest: dict[str, Any], site: Path) -> None:
    """Raises Refused, naming all faults, if packages that the bundle assumes are missing or do not fit."""
    sys.path.insert(0, str(site))
    try:
        importlib.invalidate_caches()
        wrong = [_fault(one["name"], need) for one in manifest["assumed"] for need in one["needed"]]
    finally:
        sys.path.remove(str(site))
    if any(wrong):
        raise Refused("; ".join(sorted({fault for fault in wrong if fault})) + "; make the bundle with another --have")


def _fault(name: str, need: dict[str, str]) -> str | None:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is not installed here ({need['by']} needs it)"
    try:
        requirements = importlib.import_module("packaging.requirements")
    except ModuleNotFoundError:
        return "packaging is not installed here"
    if requirements.Requirement(need["requirement"]).specifier.contains(version, prereleases=True):
        return None
    return f"{need['by']} needs {need['requirement']}, found {version}"


def main() -> int:
    """Exit status: 0 installed, 2 refused, with a message on standard error."""
    bundle = Path(__file__).resolve().parent
    site = Path(sys.argv[1] if len(sys.argv) > 1 else bundle / "site").absolute()
    try:
        done = install(bundle, site)
    except (Refused, OSError, ValueError, KeyError, tarfile.TarError) as error:
        print(f"install: error: {error}", file=sys.stderr)
        return 2
    if done:
        print(f"installed into {site}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
