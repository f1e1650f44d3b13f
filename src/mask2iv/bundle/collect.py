"""Finds the packages that a machine lacks, and fetches their wheels.

pip fetches; it cannot resolve. It evaluates markers for the machine that it runs on, and would fetch what the other
machine has: torch, for example, in a version that no index offers.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mask2iv.bundle.target import Assumed, Target
from mask2iv.errors import InputError
from mask2iv.files import sha256_file

LEFT_OUT = {
    "glfw": "opens windows; MuJoCo renders without a display here",
    "hf-xet": "speeds up downloads; there is no network",
    "mujoco-studio": "MuJoCo's viewer; nothing here imports it",
}
"""Packages that are required but never imported on the target machine, and why."""


@dataclass(frozen=True)
class Wheel:
    """A package in the bundle.

    Attributes:
        name, version: of the package; the name is canonical.
        path: the wheel.
        size, unpacked: bytes of the wheel and of its contents.
        sha256: of the wheel.
        metadata: its requirements, extras and Python versions.
    """

    name: str
    version: Version
    path: Path
    size: int
    unpacked: int
    sha256: str
    metadata: Metadata


@dataclass
class Collection:
    """The packages of a bundle, and those left out of it.

    Attributes:
        wheels: by name, the project's own first.
        needs: package -> [(package that requires it, requirement)], for bundled and assumed packages.
        left_out: package -> reason.
    """

    wheels: dict[str, Wheel] = field(default_factory=dict)
    needs: dict[str, list[tuple[str, Requirement]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def read_wheel(path: Path) -> Wheel:
    """A wheel's metadata.

    Raises:
        InputError: not a wheel.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            (inside,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            # Not validated: wheels on the index have harmless faults, such as headers of later versions.
            about = Metadata.from_email(archive.read(inside), validate=False)
            unpacked = sum(entry.file_size for entry in archive.infolist())
            name, version = canonicalize_name(about.name), about.version
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(str(path), f"cannot be read as a wheel: {error}", "run the command again") from error
    return Wheel(name, version, path, path.stat().st_size, unpacked, sha256_file(path), about)


def collect(
    project: Wheel,
    extras: Iterable[str],
    target: Target,
    assumed: Mapping[str, Assumed],
    left_out: Mapping[str, str],
    constraints: Path,
    folder: Path,
) -> Collection:
    """Fetch the wheels of all packages that ``project`` requires and the machine lacks into ``folder``.

    Args:
        project: the project's own wheel.
        extras: the wanted extras of the project.
        target: the machine.
        assumed: its packages. Neither they nor packages that only they require are fetched.
        left_out: packages to leave out, with the reason.
        constraints: pip constraints file with the versions to fetch.
        folder: receives the wheels.

    Raises:
        InputError: an unknown extra, a Python version that the project does not support, conflicting versions, or
            wheels that pip does not find.
    """
    wanted = frozenset(canonicalize_name(extra) for extra in extras)
    offered = project.metadata.provides_extra or []
    if unknown := sorted(wanted - {*offered}):
        raise InputError("extras", f"mask2iv has no extra {unknown[0]!r}", f"it has {', '.join(sorted(offered))}")
    pythons = project.metadata.requires_python
    if pythons and not pythons.contains(f"{target.python}.99"):
        raise InputError("python", f"mask2iv needs Python {pythons}, found {target.python}")
    found = Collection({project.name: project})
    waiting: set[tuple[str, frozenset[str]]] = {(project.name, frozenset(wanted))}
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        done |= waiting
        needed = {one for owner, owner_extras in sorted(waiting) for one in _needs(found, owner, owner_extras, target)}
        # An assumed package is not fetched anyway, so it does not count as left out.
        found.left_out |= {name: left_out[name] for name, _ in needed if name in left_out and name not in assumed}
        waiting = {one for one in needed if one[0] not in assumed and one[0] not in left_out} - done
        missing = sorted({name for name, _ in waiting if name not in found.wheels})
        if missing:
            lines = [name + ",".join(str(r.specifier) for _, r in found.needs[name] if r.specifier) for name in missing]
            fetched = map(read_wheel, _download(lines, target, constraints, folder))
            found.wheels.update({wheel.name: wheel for wheel in fetched})
    _check_versions(found, assumed)
    return found


def _needs(
    found: Collection, owner: str, extras: frozenset[str], target: Target
) -> Iterator[tuple[str, frozenset[str]]]:
    """The packages that ``owner`` requires, with their extras; also recorded in ``found.needs``."""
    for requirement in found.wheels[owner].metadata.requires_dist or []:
        name = canonicalize_name(requirement.name)
        if target.wants(requirement, extras) and name not in ("mask2iv", owner):
            recorded = found.needs.setdefault(name, [])
            if (owner, requirement) not in recorded:
                recorded.append((owner, requirement))
            yield name, frozenset(canonicalize_name(extra) for extra in requirement.extras)


def _check_versions(found: Collection, assumed: Mapping[str, Assumed]) -> None:
    for name, needs in found.needs.items():
        if name not in assumed and name not in found.wheels:
            continue  # left out
        version = assumed[name].version if name in assumed else found.wheels[name].version
        for owner, requirement in needs:
            if version is None or requirement.specifier.contains(version, prereleases=True):
                continue
            text = f"{owner} {found.wheels[owner].version} needs {name}{requirement.specifier}"
            if name in assumed:
                raise InputError(
                    f"have {name}=={version}",
                    text,
                    "install that there, do not name it, so that it is bundled, or constrain "
                    f"{owner} to another version",
                )
            raise InputError("constraint", f"{text}, found {version}", "give a constraints file with matching versions")


def _download(requirements: list[str], target: Target, constraints: Path, folder: Path) -> list[Path]:
    before = set(folder.iterdir())
    flags = ["--quiet", "--no-deps", *target.pip_flags(), "--constraint", str(constraints), "--dest", str(folder)]
    run_pip("download", *flags, *requirements)
    return sorted(set(folder.iterdir()) - before)


def run_pip(*arguments: str) -> None:
    """Run this Python's pip.

    Raises:
        InputError: pip is missing, or failed; with its last messages.
    """
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        raise InputError(sys.executable, "has no pip, which fetches the wheels", "run `python -m ensurepip` first")
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
        raise InputError(f"pip {arguments[0]}", f"failed: {' '.join(lines[-2:])[:600]}")


def assumed_record(found: Collection, assumed: Mapping[str, Assumed]) -> list[dict[str, Any]]:
    """The assumed packages for the manifest, with the requirements on them; required packages come first."""
    records = [
        {
            "name": name,
            "version": None if one.version is None else str(one.version),
            "because": one.because,
            "needed": [
                {"by": owner, "requirement": f"{name}{requirement.specifier}"}
                for owner, requirement in found.needs.get(name, [])
            ],
        }
        for name, one in sorted(assumed.items())
    ]
    return sorted(records, key=lambda record: not record["needed"])
