"""The machine that a bundle is for: its Python, its platform and its installed packages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from mask2iv.errors import InputError

_MANYLINUX = re.compile(r"manylinux_2_(\d+)_(x86_64|aarch64)")
_MACOS = re.compile(r"macosx_(\d+)_(\d+)_(x86_64|arm64)")
# Tags of these glibc versions before the tags had numbers.
_LEGACY = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}


@dataclass(frozen=True)
class Target:
    """Python version and platform of a machine.

    Attributes:
        python: CPython's version, "3.12".
        platform: wheel tag: ``manylinux_2_<glibc>_x86_64`` or ``_aarch64``, or ``macosx_<version>_arm64``.

    Raises:
        InputError: another form.
    """

    python: str = "3.12"
    platform: str = "manylinux_2_28_x86_64"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"3\.\d+", self.python):
            raise InputError("python", f"must be a version such as 3.12, found {self.python!r}")
        if not (_MANYLINUX.fullmatch(self.platform) or _MACOS.fullmatch(self.platform)):
            raise InputError(
                "platform",
                "must be manylinux_2_<minor of glibc>_x86_64 (or _aarch64), or macosx_<major>_<minor>_arm64, "
                f"found {self.platform!r}",
            )

    @property
    def machine(self) -> str:
        """The output of ``uname -m`` there."""
        return self.platform.split("_", 3)[3]

    @property
    def glibc(self) -> tuple[int, int] | None:
        """The oldest glibc that suffices; None on macOS."""
        match = _MANYLINUX.fullmatch(self.platform)
        return (2, int(match[1])) if match else None

    def tags(self) -> list[str]:
        """Platform tags of the wheels that run there, newest first; pip does not add the older tags."""
        match = _MANYLINUX.fullmatch(self.platform)
        if not match:
            return [self.platform]
        tags = []
        for minor in range(int(match[1]), 4, -1):
            tags.append(f"manylinux_2_{minor}_{match[2]}")
            if minor in _LEGACY and (match[2] == "x86_64" or minor == 17):
                tags.append(f"{_LEGACY[minor]}_{match[2]}")
        return tags

    def pip_flags(self) -> list[str]:
        """pip's flags for choosing wheels for this machine."""
        platforms = [flag for tag in self.tags() for flag in ("--platform", tag)]
        return ["--only-binary=:all:", "--implementation", "cp", "--python-version", self.python, *platforms]

    def wants(self, requirement: Requirement, extras: frozenset[str] = frozenset()) -> bool:
        """Whether a requirement applies there, if its owner is installed with ``extras``.

        pip cannot tell: it evaluates markers for the machine that it runs on, whatever platform it fetches for.
        """
        if requirement.marker is None:
            return True
        linux = self.glibc is not None
        environment = {
            **{key: str(value) for key, value in default_environment().items()},
            "implementation_name": "cpython",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_system": "Linux" if linux else "Darwin",
            "python_full_version": f"{self.python}.0",
            "python_version": self.python,
            "sys_platform": "linux" if linux else "darwin",
        }
        return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in {"", *extras})


@dataclass(frozen=True)
class Assumed:
    """A package assumed to be installed on the machine.

    Attributes:
        name: canonical name.
        version: its version; None if unknown.
        because: "named", or "implied by <package>".
    """

    name: str
    version: Version | None
    because: str


def parse_have(text: str) -> dict[str, Assumed]:
    """Installed packages from comma-separated names, each with or without ``==version``.

    Raises:
        InputError: an invalid package name or version, or a package named twice.
    """
    named: dict[str, Assumed] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, version = (piece.strip() for piece in part.partition("=="))
        try:
            canonical = canonicalize_name(Requirement(name).name)
            if canonical != canonicalize_name(name):
                raise InvalidRequirement(name)
            found = Version(version) if "==" in part else None
        except (InvalidRequirement, InvalidVersion) as error:
            raise InputError("have", f"{part!r} is not a package", "write torch or torch==2.8.0") from error
        if canonical in named:
            raise InputError("have", f"{canonical} is named twice", "keep one")
        named[canonical] = Assumed(canonical, found, "named")
    return named


def with_implied(named: Mapping[str, Assumed], target: Target) -> dict[str, Assumed]:
    """The named packages and everything that they require.

    Requirements are those of the packages as installed on this machine. A package that is not installed here implies
    nothing.
    """
    assumed = dict(named)
    waiting = list(named)
    while waiting:
        owner = waiting.pop(0)
        try:
            needs = metadata.requires(owner) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, needs):
            name = canonicalize_name(requirement.name)
            if name not in assumed and target.wants(requirement):
                assumed[name] = Assumed(name, None, f"implied by {owner}")
                waiting.append(name)
    return assumed
