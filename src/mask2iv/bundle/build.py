"""Makes a bundle: compressed packages, an installer, a start script and a manifest.

OUT/site.tar.xz   the packages as pip installs them, for the machine's Python and platform
OUT/install.py    checks the machine and unpacks the packages
OUT/start.sh      installs on first use, and runs mask2iv
OUT/bundle.json   packages bundled (versions, sizes, SHA-256 sums), assumed and left out
"""

from __future__ import annotations

import lzma
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mask2iv import __version__
from mask2iv.bundle import install
from mask2iv.bundle.collect import Collection, assumed_record, collect, read_wheel, run_pip
from mask2iv.bundle.project import default_constraints, project_wheel
from mask2iv.bundle.target import Assumed, Target
from mask2iv.errors import InputError
from mask2iv.files import atomic_directory, reason, require_file, sha256_file, write_json

ARCHIVE = "site.tar.xz"
_MIB = 2**20

_START = """#!/bin/sh
# sh start.sh COMMAND ...: runs mask2iv without network, from packages installed beside this script on first use.
# PYTHON chooses the interpreter (python3), MASK2IV_SITE the folder of the packages.
set -eu
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
python=${PYTHON:-python3}
site=${MASK2IV_SITE:-$here/site}
"$python" "$here/install.py" "$site"
PYTHONPATH=$site${PYTHONPATH:+:$PYTHONPATH}
HF_HUB_OFFLINE=1
export PYTHONPATH HF_HUB_OFFLINE
exec "$python" -m mask2iv.bundle.start "$here" "$@"
"""


@dataclass(frozen=True)
class BundleConfig:
    """The contents of a bundle.

    Attributes:
        target: the machine.
        assumed: its packages: those that the user named, and those that they imply.
        left_out: packages to leave out, with the reason.
        extras: extras of the project.
        recipe: default recipe of ``start.sh train``.
        constraints: pip constraints file, or None for the default.
        weights: include the embedded weights.
        limit: largest size of the bundle in bytes.
    """

    target: Target
    assumed: Mapping[str, Assumed]
    left_out: Mapping[str, str]
    extras: tuple[str, ...]
    recipe: str
    constraints: Path | None
    weights: bool
    limit: int


def build(config: BundleConfig, out: Path, overwrite: bool) -> dict[str, Any]:
    """Make a bundle in the new folder ``out``, which appears complete or not at all.

    Prints a table of the bundled packages. Returns the manifest.

    Raises:
        InputError: as :func:`mask2iv.bundle.collect.collect`; or torch is not assumed, the bundle is larger than the
            limit, or ``out`` cannot be used.
    """
    if "torch" not in config.assumed:
        raise InputError(
            "have", "must name torch: PyTorch takes gigabytes and is not bundled", "install it there first"
        )
    with atomic_directory(out, overwrite=overwrite) as folder, tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        try:
            for name in ("project", "wheels", "site"):
                (work / name).mkdir()
            found, source = _collect(config, work)
            print(table(found), flush=True)
            _install_site(found, config.target, work / "site")
            unpacked = _compress(work / "site", folder / ARCHIVE, config.target)
            shutil.copy(install.__file__, folder / "install.py")
        except OSError as error:
            raise InputError("out", f"cannot make the bundle {out}: {reason(error)}") from error
        (folder / "start.sh").write_text(_START)
        manifest = _manifest(config, found, source, folder / ARCHIVE, unpacked)
        write_json(folder / install.MANIFEST, manifest)
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > config.limit:
            raise _too_large(found, size, config.limit)
    print(f"{size / _MIB:.1f} MiB compressed, {unpacked / _MIB:.1f} MiB unpacked -> {out}")
    return manifest


def _collect(config: BundleConfig, work: Path) -> tuple[Collection, dict[str, str]]:
    if config.constraints is None:
        constraints, origin = default_constraints(work)
    else:
        require_file(config.constraints, "constraint")
        constraints, origin = config.constraints, config.constraints.name
    project = read_wheel(project_wheel(work / "project", config.weights))
    found = collect(
        project, config.extras, config.target, config.assumed, config.left_out, constraints, work / "wheels"
    )
    return found, {"from": origin, "sha256": sha256_file(constraints)}


def _install_site(found: Collection, target: Target, site: Path) -> None:
    # By name: for paths, pip would record this machine's paths in the packages.
    wheels = [f"{wheel.name}=={wheel.version}" for wheel in found.wheels.values()]
    links = [flag for place in {wheel.path.parent for wheel in found.wheels.values()} for flag in ("-f", str(place))]
    flags = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--target", str(site)]
    run_pip("install", *flags, *links, *target.pip_flags(), *wheels)
    # Console scripts contain the path of this machine's interpreter.
    shutil.rmtree(site / "bin", ignore_errors=True)


def _compress(site: Path, archive: Path, target: Target) -> int:
    """Write the archive, a third smaller than the wheels. Returns the total size of its files in bytes."""
    filters: list[dict[str, int]] = [{"id": lzma.FILTER_LZMA2, "preset": 6}]
    if target.machine == "x86_64":
        filters.insert(0, {"id": lzma.FILTER_X86})
    unpacked = 0
    with lzma.open(archive, "wb", filters=filters) as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        for path in sorted(path for path in site.rglob("*") if path.is_file()):
            info = tarfile.TarInfo(path.relative_to(site).as_posix())
            info.size, info.mode = path.stat().st_size, 0o644
            unpacked += info.size
            with path.open("rb") as file:
                tar.addfile(info, file)
    return unpacked


def table(found: Collection) -> str:
    """The bundled packages, largest first."""
    rows = sorted(found.wheels.values(), key=lambda wheel: -wheel.size)
    lines = [f"{'package':<28}{'version':<16}{'wheel MiB':>10}{'unpacked MiB':>14}"]
    lines += [f"{w.name:<28}{w.version!s:<16}{w.size / _MIB:>10.2f}{w.unpacked / _MIB:>14.2f}" for w in rows]
    wheels, unpacked = sum(wheel.size for wheel in rows) / _MIB, sum(wheel.unpacked for wheel in rows) / _MIB
    lines.append(f"{'together':<44}{wheels:>10.2f}{unpacked:>14.2f}")
    lines += [f"left out: {name} ({why})" for name, why in sorted(found.left_out.items())]
    return "\n".join(lines)


def _too_large(found: Collection, size: int, limit: int) -> InputError:
    """Names the largest packages."""
    largest = sorted(found.wheels.values(), key=lambda wheel: -wheel.size)[:3]
    named = ", ".join(f"{wheel.name} ({wheel.size / _MIB:.1f} MiB)" for wheel in largest)
    problem = f"must be at least the bundle's {size / _MIB:.1f}, found {limit / _MIB:g}; largest are {named}"
    return InputError("limit_mib", problem, "name the packages that are there already, or raise the limit")


def _manifest(
    config: BundleConfig, found: Collection, source: dict[str, str], archive: Path, unpacked: int
) -> dict[str, Any]:
    target = config.target
    return {
        "format": "mask2iv-bundle",
        "version": 1,
        "mask2iv": __version__,
        "python": target.python,
        "platform": target.platform,
        "machine": target.machine,
        "glibc": target.glibc,
        "extras": config.extras,
        "recipe": config.recipe,
        "weights": config.weights,
        "constraints": source,
        "archive": {
            "name": archive.name,
            "size": archive.stat().st_size,
            "sha256": sha256_file(archive),
            "unpacked": unpacked,
        },
        "packages": [
            {
                "name": wheel.name,
                "version": str(wheel.version),
                "wheel": wheel.path.name,
                "size": wheel.size,
                "unpacked": wheel.unpacked,
                "sha256": wheel.sha256,
            }
            for wheel in found.wheels.values()
        ],
        "assumed": assumed_record(found, config.assumed),
        "left_out": dict(sorted(found.left_out.items())),
    }
