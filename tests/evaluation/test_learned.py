"""Metrics by pretrained networks, on small random networks with the same interface."""

from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch
from torch import nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPTokenizer,
    XCLIPConfig,
    XCLIPModel,
    XCLIPTextConfig,
    XCLIPVisionConfig,
)

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.evaluation.networks.learned import I3D, Inception, VideoText, lpips_net, lpips_of_video
from mask2iv.evaluation.networks.weights import HOW_TO_GET, choose_metrics, parse_weights, unavailable
from mask2iv.files import sha256_file
from mask2iv.models.lpips import LPIPS

CPU = torch.device("cpu")


def video(frames: int = 12, size: tuple[int, int] = (70, 90), seed: int = 0) -> UInt8Array:
    coarse = np.random.default_rng(seed).integers(0, 256, (frames, 7, 9, 3), dtype=np.uint8)
    return coarse.repeat(size[0] // 7, axis=1).repeat(size[1] // 9, axis=2)


# --- LPIPS


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the names of torchvision's AlexNet and random numbers."""
    torch.manual_seed(0)
    state = {f"features.{name}": value for name, value in LPIPS().features.state_dict().items()}
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save({**state, "classifier.1.weight": torch.zeros(2, 2)}, path)
    return path


def test_own_alexnet_takes_the_place_of_the_shipped_one(alexnet: Path) -> None:
    own, shipped = lpips_net(parse_weights([f"lpips={alexnet}"])["lpips"]), lpips_net()
    assert torch.equal(own.features[0].weight, torch.load(alexnet, weights_only=True)["features.0.weight"])
    assert all(torch.equal(a, b) for a, b in zip(own.lins, shipped.lins, strict=True))
    one, other = video(seed=0), video(seed=1)
    assert lpips_of_video(own, one, other) != lpips_of_video(shipped, one, other)


def test_lpips_of_a_video_leaves_out_the_first_frame() -> None:
    net = lpips_net()
    one, other = video(seed=0), video(seed=1)
    mixed = np.concatenate([other[:1], one[1:]])
    assert lpips_of_video(net, mixed, one) == 0
    assert lpips_of_video(net, other, one) > 0.1


def test_another_file_is_no_alexnet(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"weights lpips: .* is not torchvision's AlexNet"):
        lpips_net(parse_weights([f"lpips={tmp_path / 'other.pth'}"])["lpips"])


# --- TorchScript


class TinyI3D(nn.Module):
    """Takes what the published I3D module takes."""

    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        assert rescale
        assert resize
        assert return_features
        return torch.stack([x.mean(dim=(1, 2, 3, 4)), x[:, :, 1:].sub(x[:, :, :-1]).abs().mean(dim=(1, 2, 3, 4))], 1)


class TinyInception(nn.Module):
    def forward(self, x: torch.Tensor, return_features: bool = False) -> torch.Tensor:
        assert return_features
        return x.float().mean(dim=(2, 3))


@pytest.fixture
def scripted(tmp_path: Path) -> Path:
    torch.jit.script(TinyI3D()).save(str(tmp_path / "i3d.pt"))
    return tmp_path / "i3d.pt"


def test_torchscript_runs_only_with_its_digest(scripted: Path) -> None:
    digest = sha256_file(scripted)
    with pytest.raises(InputError, match=f"fvd={scripted}@sha256:{digest}"):
        I3D(parse_weights([f"fvd={scripted}"])["fvd"], CPU)
    with pytest.raises(InputError, match=f"has sha256 {digest}"):
        I3D(parse_weights([f"fvd={scripted}@sha256:{'0' * 64}"])["fvd"], CPU)


def test_i3d_gets_all_frames_as_bytes(scripted: Path) -> None:
    i3d = I3D(parse_weights([f"fvd={scripted}@sha256:{sha256_file(scripted)}"])["fvd"], CPU)
    clip = video()
    found = i3d.features_of([clip, clip[::-1]])
    assert found.shape == (2, 2)
    assert found[0, 0] == pytest.approx(clip.mean(), rel=1e-5)
    with pytest.raises(InputError, match="FVD needs 10 frames or more, found 9"):
        i3d.features_of([clip[:9]])


class PreparedI3D(nn.Module):
    """Takes what is prepared already, and tells the means of its corners and its extremes."""

    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        assert not rescale
        assert not resize
        assert return_features
        assert x.shape[3:] == (224, 224)
        return torch.stack([x[..., 0].mean(dim=(1, 2, 3)), x[..., -1].mean(dim=(1, 2, 3))], 1)


def test_by_the_papers_convention_i3d_gets_the_middle_square(tmp_path: Path) -> None:
    path = tmp_path / "i3d.pt"
    torch.jit.script(PreparedI3D()).save(str(path))
    i3d = I3D(parse_weights([f"fvd={path}@sha256:{sha256_file(path)}"])["fvd"], CPU, "paper")
    clip = np.zeros((16, 32, 64, 3), dtype=np.uint8)
    clip[:, :, 12:20], clip[:, :, 20:52] = 255, 51  # the middle square is columns 16 to 47
    assert i3d.features_of([clip])[0].tolist() == pytest.approx([1.0, 2 * 51 / 255 - 1], abs=1e-4)


def test_inception_gets_the_frames_after_the_first(tmp_path: Path) -> None:
    path = tmp_path / "inception.pt"
    torch.jit.script(TinyInception()).save(str(path))
    net = Inception(parse_weights([f"fid={path}@sha256:{sha256_file(path)}"])["fid"], CPU)
    clip = video()
    assert np.allclose(net.features_of(clip), clip[1:].mean(axis=(1, 2)), rtol=1e-5)


# --- video and text


@pytest.fixture(scope="module")
def xclip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny X-CLIP with a tokenizer of letters."""
    folder = tmp_path_factory.mktemp("xclip")
    torch.manual_seed(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    vocabulary = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = XCLIPConfig(
        text_config=XCLIPTextConfig(vocab_size=len(vocabulary), bos_token_id=0, eos_token_id=1, **sizes).to_dict(),
        vision_config=XCLIPVisionConfig(
            image_size=32, patch_size=16, num_frames=4, mit_hidden_size=16, mit_intermediate_size=32,
            mit_num_hidden_layers=1, mit_num_attention_heads=2, **sizes
        ).to_dict(),
        projection_dim=16, prompt_layers=1, prompt_num_attention_heads=2,
    )  # fmt: skip
    XCLIPModel(config).save_pretrained(folder)
    CLIPTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=[]).save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@torch.no_grad()
def test_similarities_are_the_models_own_cosines(xclip: Path) -> None:
    judge = VideoText(str(xclip), CPU)
    one, other = video(seed=0), video(seed=1)
    found = judge.similarities(one, other, "a hand")
    assert judge.similarities(one, one, "a hand")["v2v"] == pytest.approx(1.0, abs=1e-5)
    # Both against the model itself, on the same four frames.
    texts = judge.tokenizer("a hand", return_tensors="pt")
    raw, reference = (
        judge.model(
            **texts, pixel_values=judge.processor(list(of[[0, 4, 7, 11]]), return_tensors="pt")["pixel_values"][None]
        )
        for of in (one, other)
    )
    cosine = torch.cosine_similarity(raw.video_embeds, reference.video_embeds)
    assert found["v2v"] == pytest.approx(float(cosine), abs=1e-5)
    assert found["v2v"] < 0.9999
    assert found["t2v"] == pytest.approx(float(raw.logits_per_video / judge.model.logit_scale.exp()), abs=1e-5)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights video-text: .* is not an X-CLIP model"):
        VideoText(str(tmp_path), CPU)


# --- weights by name


def test_a_file_may_lie_on_the_hub(scripted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        if repository == "someone/nothing":
            raise huggingface_hub.errors.LocalEntryNotFoundError("no connection")
        return str(scripted)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    digest = sha256_file(scripted)
    weights = parse_weights([f"fvd=someone/metrics/i3d/i3d.pt@sha256:{digest}"])["fvd"]
    assert I3D(weights, CPU).features_of([np.zeros((16, 8, 8, 3), dtype=np.uint8)]).shape[0] == 1
    assert asked[0] == ("someone/metrics", "i3d/i3d.pt")
    assert weights.identity()["sha256"] == digest
    with pytest.raises(InputError, match="is a TorchScript program and runs only with a stated digest"):
        I3D(parse_weights(["fvd=someone/metrics/i3d.pt"])["fvd"], CPU)
    with pytest.raises(InputError, match="is not a file here and cannot be fetched from the hub: no connection"):
        lpips_net(parse_weights(["lpips=someone/nothing/alexnet.pth"])["lpips"])


def test_what_lacks_its_weights_comes_with_the_command() -> None:
    wanted = choose_metrics("psnr,fvd,v2v,t2v")
    assert unavailable(wanted, parse_weights(["video-text=somewhere"])) == {
        "fvd": f"its weights are not given; get them by: {HOW_TO_GET['fvd']}"
    }
    assert "fid" not in choose_metrics(None)
    assert not unavailable(choose_metrics("psnr,ssim,lpips,fvd-sim,interaction"), {}), "what ships, or needs nothing"


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (["fvd"], "expected NAME=PLACE"),
        (["fvd=a.pt@sha256:12"], "64 hexadecimal"),
        (["i3d=a.pt"], "'i3d' is not one of"),
        (["fvd=a", "fvd=b"], "given twice"),
    ],
)
def test_bad_weights_say_so(entries: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_weights(entries)


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(InputError, match="metrics: 'vmaf' is not a metric; choose from psnr"):
        choose_metrics("psnr,vmaf")
