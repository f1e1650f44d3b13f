"""Which packages are bundled, and the folder that is made of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from mask2iv.bundle import build as build_module
from mask2iv.bundle import project as project_module
from mask2iv.bundle.collect import LEFT_OUT, Collection, assumed_record, collect, read_wheel, run_pip
from mask2iv.bundle.project import default_constraints, project_wheel
from mask2iv.bundle.target import Target, parse_have
from mask2iv.cli import main
from mask2iv.errors import InputError

MakeWheel = Callable[..., Path]
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def collected(project: Path, have: str = "torch", extras: str = "", pins: str = "") -> Collection:
    folder = project.parent.parent / "collected"
    folder.mkdir()
    constraints = folder.with_name("constraints.txt")
    constraints.write_text(pins)
    wanted = extras.split()
    return collect(read_wheel(project), wanted, Target(), parse_have(have), LEFT_OUT, constraints, folder)


def test_requirements_are_followed_except_those_of_assumed_packages(make_wheel: MakeWheel) -> None:
    make_wheel("a", "1.0", "b[fast]>=2", "there")
    make_wheel("a", "1.5")
    make_wheel("b", "2.1", 'quick; extra == "fast"', 'other; sys_platform == "win32"', "a", extras="fast")
    make_wheel("quick", "0.1", "hf-xet")
    make_wheel("viewer", "1.0", tag="cp312-cp312-manylinux_2_17_x86_64")
    make_wheel("viewer", "2.0", tag="cp312-cp312-manylinux_2_35_x86_64")
    make_wheel("viewer", "3.0", tag="cp313-cp313-manylinux_2_17_x86_64")
    needs = ("torch>=2", "a", 'viewer; extra == "sim"', 'ruff; extra == "dev"')
    project = make_wheel("mask2iv", "0.1", *needs, extras="sim dev")
    found = collected(project, "torch,there", "sim", "a==1.0\n")
    versions = {name: str(wheel.version) for name, wheel in found.wheels.items()}
    assert versions == {"mask2iv": "0.1", "a": "1.0", "b": "2.1", "quick": "0.1", "viewer": "1.0"}
    assert set(found.left_out) == {"hf-xet"}
    record = {one["name"]: one["needed"] for one in assumed_record(found, parse_have("torch,there,unneeded"))}
    assert record["there"] == [{"by": "a", "requirement": "there"}]
    assert record["torch"] == [{"by": "mask2iv", "requirement": "torch>=2"}]
    assert record["unneeded"] == []


def test_the_versions_of_assumed_packages_are_checked(make_wheel: MakeWheel) -> None:
    make_wheel("a", "1.0", "numpy<2")
    project = make_wheel("mask2iv", "0.1", "torch>=2.8", "a")
    with pytest.raises(InputError, match=r"^have numpy==2\.1: a 1\.0 needs numpy<2;"):
        collected(project, "torch==2.8.0+cu128,numpy==2.1")


def test_an_old_torch_is_refused(make_wheel: MakeWheel) -> None:
    with pytest.raises(InputError, match=r"^have torch==2\.5\.0: mask2iv 0\.1 needs torch>=2\.8;"):
        collected(make_wheel("mask2iv", "0.1", "torch>=2.8"), "torch==2.5.0")


def test_conflicting_versions_are_refused(make_wheel: MakeWheel) -> None:
    make_wheel("a", "1.0", "b<2")
    make_wheel("b", "2.0")
    project = make_wheel("mask2iv", "0.1", "a", "b")
    with pytest.raises(InputError, match=r"^constraint: a 1\.0 needs b<2, found 2\.0;"):
        collected(project)


def test_packages_that_pip_does_not_find_are_named(make_wheel: MakeWheel) -> None:
    with pytest.raises(InputError, match=r"^pip download: failed: .*nowhere"):
        collected(make_wheel("mask2iv", "0.1", "nowhere"))


def test_unknown_extras_and_old_pythons_are_refused(make_wheel: MakeWheel) -> None:
    project = make_wheel("mask2iv", "0.1", extras="sim dev")
    with pytest.raises(InputError, match=r"^extras: mask2iv has no extra 'train'; it has dev, sim$"):
        collected(project, extras="train")
    wheel = read_wheel(project)
    with pytest.raises(InputError, match=r"^python: mask2iv needs Python >=3\.11, found 3\.10$"):
        collect(wheel, (), Target("3.10"), {}, {}, project, project.parent)


def test_an_installed_package_is_zipped_into_a_wheel(
    make_wheel: MakeWheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, site, version = make_wheel("mask2iv", "0.1", "a>=1"), tmp_path / "site", metadata.version("packaging")
    with zipfile.ZipFile(given, "a") as archive:
        archive.writestr("mask2iv/weights/large.safetensors", "")
    run_pip("install", "--quiet", "--no-deps", "--target", str(site), str(given))
    installed = metadata.PathDistribution(site / "mask2iv-0.1.dist-info")
    monkeypatch.setattr(project_module, "checkout", lambda: None)
    monkeypatch.setattr(project_module.metadata, "distribution", lambda name: installed)
    for weights in (False, True):
        folder = tmp_path / f"made-{weights}"
        folder.mkdir()
        wheel = project_wheel(folder, weights)
        with zipfile.ZipFile(wheel) as made, zipfile.ZipFile(given) as before:
            left_out = set() if weights else {"mask2iv/weights/large.safetensors"}
            assert set(made.namelist()) == set(before.namelist()) - left_out
        assert read_wheel(wheel).metadata.requires_dist == read_wheel(given).metadata.requires_dist
        run_pip("install", "--quiet", "--no-deps", "--target", str(folder / "site"), str(wheel))
    path, origin = default_constraints(tmp_path)
    assert origin == "versions installed beside mask2iv"
    assert f"packaging=={version}" in path.read_text().splitlines()


@pytest.fixture
def small_project(make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project of two packages in place of this one, which cannot be built without a network."""
    make_wheel("big", "1.0", size=50_000)
    wheel = make_wheel("mask2iv", "0.1", "torch>=2.8", "packaging>=20", "big==1.0", extras="sim")
    monkeypatch.setattr(build_module, "project_wheel", lambda folder, weights: wheel)


def bundle(out: Path, *flags: str) -> int:
    return main(["bundle", "--out", str(out), "--python", HERE, "--have", "torch,packaging", *flags])


def test_a_bundle_installs_without_pip_and_network(
    small_project: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "node"
    assert bundle(out, "--recipe", "tiny") == 0
    shown = capsys.readouterr().out
    assert shown.index("big ") < shown.index("mask2iv "), "largest first"
    manifest = json.loads((out / "bundle.json").read_text())
    assert [(one["name"], one["version"]) for one in manifest["packages"]] == [("mask2iv", "0.1"), ("big", "1.0")]
    assert manifest["recipe"] == "tiny"
    assert manifest["constraints"]["from"] == "constraints.txt of the source checkout"
    assert subprocess.run(["sh", "-n", out / "start.sh"], check=False).returncode == 0
    command = [sys.executable, out / "install.py", tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": ""})
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "big" / "__init__.py").stat().st_size > 50_000


def test_a_bundle_is_the_same_every_time(small_project: None, tmp_path: Path) -> None:
    assert bundle(tmp_path / "one") == bundle(tmp_path / "two") == 0
    with tarfile.open(tmp_path / "one" / "site.tar.xz") as tar:
        assert {member.mtime for member in tar} == {0}
    assert (tmp_path / "one" / "bundle.json").read_text() == (tmp_path / "two" / "bundle.json").read_text()


def test_a_bundle_above_the_limit_names_the_largest_and_is_not_left(
    small_project: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bundle(tmp_path / "node", "--limit-mib", "0.0009765625") == 2
    said = capsys.readouterr().err
    assert "--limit-mib: must be at least" in said
    assert "largest are big (0.0 MiB), mask2iv" in said
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--have", "transformers"], "--have: must name torch"),
        (["--have", "torch", "--recipe", "huge"], "--recipe: 'huge' is not known"),
        (["--have", "torch", "--limit-mib", "0"], "--limit-mib: must be positive, found 0"),
        (["--have", "torch", "--constraint", "nowhere.txt"], "--constraint: nowhere.txt does not exist"),
    ],
)
def test_wrong_flags_are_refused(
    flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "--out", str(tmp_path / "node"), *flags]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_real_bundle_with_the_simulator_stays_below_60_mib(tmp_path: Path) -> None:
    """Fetches from the package index, and compresses for some minutes."""
    have = "torch==2.13.0,transformers,numpy,pillow,opencv-python-headless"
    assert main(["bundle", "--out", str(tmp_path / "node"), "--have", have, "--python", HERE]) == 0
    manifest = json.loads((tmp_path / "node" / "bundle.json").read_text())
    names = {one["name"] for one in manifest["packages"]}
    assert {"mask2iv", "mujoco", "mujoco-core", "av", "diffusers", "tyro"} <= names
    assert not {"torch", "tokenizers", "hf-xet", "mujoco-studio"} & names
    command = [sys.executable, tmp_path / "node" / "install.py"]
    assert subprocess.run(command, check=False).returncode == 0
    site = tmp_path / "node" / "site"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    program = "import mask2iv, av; print(mask2iv.__file__, av.__file__)"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.count(str(site)) == 2
    assert not (site / "mask2iv" / "weights").exists()
