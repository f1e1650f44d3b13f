"""Which packages a machine lacks, and their wheels: a walk over the requirements, fetched by pip."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
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
"""Packages that others require but that nothing a bundle is for imports, and why."""


@dataclass(frozen=True)
class Wheel:
    """A package as it is carried.

    Attributes:
        name, version: of the package; the name canonical.
        path: the wheel.
        size, unpacked: bytes of the wheel, and of what is in it.
        sha256: of the wheel.
        requirements: what it needs, for every extra and machine.
        extras: names of its extras, canonical.
        requires_python: versions of Python that it runs on.
    """

    name: str
    version: Version
    path: Path
    size: int
    unpacked: int
    sha256: str
    requirements: tuple[Requirement, ...]
    extras: frozenset[str]
    requires_python: SpecifierSet


@dataclass
class Collection:
    """What is carried, what is assumed, what is left out, and who needs what.

    Attributes:
        wheels: by name, the project's own first.
        needs: package -> (who needs it, requirement), of carried and assumed packages.
        left_out: package -> why.
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
            text = archive.read(inside).decode("utf-8")
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read as a wheel: {error}; run the command again") from error
    headers = Parser().parsestr(text, headersonly=True)
    return Wheel(
        canonicalize_name(headers["Name"]),
        Version(headers["Version"]),
        path,
        path.stat().st_size,
        unpacked,
        sha256_file(path),
        tuple(Requirement(line) for line in headers.get_all("Requires-Dist", [])),
        frozenset(canonicalize_name(extra) for extra in headers.get_all("Provides-Extra", [])),
        SpecifierSet(headers.get("Requires-Python", "")),
    )


def collect(
    project: Wheel,
    extras: Iterable[str],
    target: Target,
    assumed: Mapping[str, Assumed],
    left_out: Mapping[str, str],
    constraints: Path,
    folder: Path,
) -> Collection:
    """Fetch the wheels of all that ``project`` needs and the machine lacks into ``folder``.

    Args:
        project: the project's own wheel.
        extras: extras of the project that are wanted.
        target: the machine.
        assumed: what it has; neither that nor what only that needs is fetched.
        left_out: packages not to be carried, and why.
        constraints: pip constraints file; holds the versions to carry.
        folder: receives the wheels.

    Raises:
        InputError: an unknown extra, a Python that the project does not run on, versions that do not go together, or
            wheels that pip does not find.
    """
    wanted = frozenset(canonicalize_name(extra) for extra in extras)
    unknown = sorted(wanted - project.extras)
    if unknown:
        raise InputError(f"--extras: mask2iv has no extra {unknown[0]!r}; it has {', '.join(sorted(project.extras))}")
    if not project.requires_python.contains(f"{target.python}.99"):
        raise InputError(f"--python {target.python}: mask2iv needs Python {project.requires_python}")
    found = Collection({project.name: project})
    waiting: set[tuple[str, frozenset[str]]] = {(project.name, frozenset(wanted))}
    done: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        done |= waiting
        asked = {one for owner, owner_extras in sorted(waiting) for one in _needs(found, owner, owner_extras, target)}
        # To be left out is the weaker word: what is there need not be carried anyway.
        found.left_out |= {name: left_out[name] for name, _ in asked if name in left_out and name not in assumed}
        waiting = {one for one in asked if one[0] not in assumed and one[0] not in left_out} - done
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
    """The packages that a carried one needs, with their extras; noted in ``found``."""
    for requirement in found.wheels[owner].requirements:
        name = canonicalize_name(requirement.name)
        if target.wants(requirement, extras) and name not in ("mask2iv", owner):
            noted = found.needs.setdefault(name, [])
            if (owner, requirement) not in noted:
                noted.append((owner, requirement))
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
                    f"--have {name}=={version}: {text}; install that there, leave it out of --have to carry it, or "
                    f"choose another version of {owner} with --constraint"
                )
            raise InputError(f"{text}, but {version} was collected; name versions that go together with --constraint")


def _download(requirements: list[str], target: Target, constraints: Path, folder: Path) -> list[Path]:
    before = set(folder.iterdir())
    flags = ["--quiet", "--no-deps", *target.pip_flags(), "--constraint", str(constraints), "--dest", str(folder)]
    run_pip("download", *flags, *requirements)
    return sorted(set(folder.iterdir()) - before)


def run_pip(*arguments: str) -> None:
    """Run pip of this Python.

    Raises:
        InputError: there is no pip, or it failed; with its last words.
    """
    command = [sys.executable, "-m", "pip", *arguments, "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        raise InputError(f"{sys.executable} has no pip, which fetches the wheels: run `python -m ensurepip` first")
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or done.stderr.splitlines()
        raise InputError(f"pip {arguments[0]} failed: {' '.join(said[-2:])[:600]}")


def assumed_record(found: Collection, assumed: Mapping[str, Assumed]) -> list[dict[str, Any]]:
    """The assumed packages for the manifest, with what of them is needed; those needed come first."""
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
