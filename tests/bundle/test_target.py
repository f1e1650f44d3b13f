"""The machine that a bundle is for: wheel tags, markers, installed packages."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from mask2iv.bundle.target import Target, parse_have, with_implied
from mask2iv.errors import InputError


def test_a_platform_takes_wheels_of_older_systems_and_of_no_newer_ones() -> None:
    tags = Target(platform="manylinux_2_28_x86_64").tags()
    assert tags[0] == "manylinux_2_28_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_5_x86_64", "manylinux1_x86_64"} <= set(tags)
    assert "manylinux_2_31_x86_64" not in tags
    assert "manylinux1_aarch64" not in Target(platform="manylinux_2_28_aarch64").tags()


def test_markers_are_those_of_the_machine_not_of_this_one() -> None:
    target = Target("3.13", "macosx_14_0_arm64")
    wanted = ('sys_platform == "darwin"', 'platform_machine == "arm64"', 'python_version >= "3.13"')
    assert all(target.wants(Requirement(f"x; {marker}")) for marker in wanted)
    assert not Target("3.11").wants(Requirement('x; python_version >= "3.12"'))
    assert not target.wants(Requirement('x; extra == "sim"'))
    assert target.wants(Requirement('x; extra == "sim"'), frozenset({"sim"}))


@pytest.mark.parametrize(
    ("field", "value"), [("python", "3"), ("python", "2.7"), ("platform", "linux"), ("platform", "win32")]
)
def test_other_machines_are_refused(field: str, value: str) -> None:
    with pytest.raises(InputError, match=rf"^{field}: must be .*, found '{value}'$"):
        Target(**{field: value})


def test_named_packages_imply_their_requirements() -> None:
    named = parse_have("torch==2.8.0, Opencv_Python.headless,transformers")
    assert {name: one.version for name, one in named.items()} == {
        "torch": Version("2.8.0"),
        "opencv-python-headless": None,
        "transformers": None,
    }
    implied = with_implied(named, Target())
    assert implied["tokenizers"].because == "implied by transformers"
    assert implied["torch"].because == "named"
    assert "hf-xet" in implied, "an indirect requirement"
    assert "diffusers" not in implied
    assert set(with_implied(parse_have("not-a-package-at-all"), Target())) == {"not-a-package-at-all"}


@pytest.mark.parametrize("have", ["torch>=2.8", "torch==new", "torch==", "-x", "torch,Torch", "a b"])
def test_invalid_packages_are_refused(have: str) -> None:
    with pytest.raises(InputError, match=r"^have: "):
        parse_have(have)
