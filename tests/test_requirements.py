"""What pyproject.toml allows is what is tested."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
RUN_ELSEWHERE = {"transformers": Version("5.17")}
"""Lower than what the tests install, and run for real: a training session on a cluster node."""


def test_lower_bounds_are_the_tested_versions() -> None:
    pins = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE)
    tested = {canonicalize_name(name): Version(version) for name, version in pins}
    [torch] = re.findall(r"torch==(\S+)", (ROOT / "Makefile").read_text())
    tested["torch"] = Version(torch)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    for requirement in map(Requirement, asked):
        name = canonicalize_name(requirement.name)
        if name not in tested:
            continue  # wandb, which the tests do not install
        [bound] = [one for one in requirement.specifier if one.operator == ">="]
        least = RUN_ELSEWHERE.get(name, tested[name])
        assert bound.operator == ">="
        assert Version(bound.version).release[:2] == least.release[:2], requirement
