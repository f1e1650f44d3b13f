"""``mask2iv import`` and ``export-official`` through the command line: what they write, say and refuse."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from mask2iv.cli import main
from mask2iv.media.images import write_png
from mask2iv.pipelines.pipeline import Mask2IVPipeline

pytestmark = pytest.mark.usefixtures("no_open_clip")

EMBEDDED = "embedded"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, checkpoints: ModuleType) -> Path:
    """Checkpoints of both stages and of DynamiCrafter, their configuration, a vocabulary, and damaged ones."""
    folder = tmp_path_factory.mktemp("files")
    state, config = checkpoints.small_checkpoint()
    torch.save({"state_dict": state}, folder / "stage.ckpt")
    torch.save({"state_dict": checkpoints.small_checkpoint(channels=8)[0]}, folder / "plain.ckpt")
    (folder / "broken.ckpt").write_bytes((folder / "stage.ckpt").read_bytes()[:5000])
    (folder / "flags.json").write_text(json.dumps(config))
    (folder / "unknown.json").write_text(json.dumps({"unets": {}}))
    config["unet"]["chanels"] = 3
    (folder / "flag.json").write_text(json.dumps(config))
    (folder / "list.json").write_text("[]")
    checkpoints.write_vocabulary(folder / "bpe.txt.gz")
    return folder


@pytest.fixture
def desk(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with links to the files."""
    for path in files.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_two_checkpoints_to_a_video_and_back(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ["--config", "flags.json", "--tokenizer", "bpe.txt.gz", "--dtype", "fp32"]
    assert main(["import", "stage.ckpt", "--stage", "trajectory-text", "--out", "first", *common]) == 0
    assert "first: trajectory-text, layout config, fp32" in capsys.readouterr().out
    # Without the vocabulary stage 2 has its small tokenizer, which gives way to the whole one when the two are joined.
    assert main(["import", "stage.ckpt", "--stage", "video", "--out", "second", *common[:2], *common[4:]]) == 0
    assert "only the empty prompt" in capsys.readouterr().out
    assert main(["import", "--trajectory", "first", "--video", "second", "--out", "model"]) == 0
    report = json.loads(Path("model/import_report.json").read_text())
    assert report["joined"]["video"]["stage"] == "video"
    square = np.zeros((32, 64), dtype=np.bool_)
    square[8:24, 20:40] = True
    image = np.full((32, 64, 3), 120, dtype=np.uint8)
    image[square] = (200, 60, 40)
    write_png(desk / "image.png", image)
    write_png(desk / "object.png", square)
    flags = ["--image", "image.png", "--object-mask", "object.png", "--prompt", "a hand pushing a box", "--steps", "1"]
    assert main(["generate", *flags, "--model", "model", "--threads", "1", "--out", "result"]) == 0
    assert Path("result/video.mp4").is_file()
    capsys.readouterr()
    assert main(["export-official", "model", "--stage", "video", "--out", "back.ckpt"]) == 0
    assert capsys.readouterr().out.startswith("back.ckpt: 859 tensors, float32")
    back = torch.load("back.ckpt", weights_only=True)["state_dict"]
    source = torch.load("stage.ckpt", weights_only=True)["state_dict"]
    assert set(source) == set(back)
    assert all(torch.equal(back[key], source[key]) for key in back)


def test_dynamicrafter_is_widened(desk: Path) -> None:
    flags = ["--config", "flags.json", "--tokenizer", "bpe.txt.gz", "--widen-for", "video", "--new-channels", "copy"]
    assert main(["import", "plain.ckpt", "--stage", "dynamicrafter", "--out", "model", *flags]) == 0
    assert sorted(path.name for path in Path("model").iterdir() if path.is_dir()) == [
        "image_encoder",
        "official_extras",
        "scheduler",
        "text_encoder",
        "tokenizer",
        "vae",
        "video_resampler",
        "video_unet",
    ]
    assert json.loads(Path("model/import_report.json").read_text())["widened"] == {
        "for": ["video"],
        "new_channels": "copy",
    }


def test_dynamicrafter_as_it_is(desk: Path) -> None:
    flags = ["--config", "flags.json", "--tokenizer", "bpe.txt.gz", "--widen-for", "none", "--dtype", "fp32"]
    assert main(["import", "plain.ckpt", "--stage", "dynamicrafter", "--out", "model", *flags]) == 0
    assert json.loads(Path("model/import_report.json").read_text())["widened"] is None
    image = np.full((32, 64, 3), 120, dtype=np.uint8)
    pipeline = Mask2IVPipeline.from_pretrained("model")
    seeds = {"num_inference_steps": 1, "generator": [3], "progress": False}
    one, other = (pipeline.render(image, prompt=prompt, **seeds) for prompt in ("a hand pushing a box", "a red box"))
    assert one[0].shape == (4, 32, 64, 3)
    assert not np.array_equal(one[0], other[0]), "it reads the prompt"
    assert main(["export-official", "model", "--stage", "video", "--out", "back.ckpt"]) == 0
    back, source = (torch.load(name, weights_only=True)["state_dict"] for name in ("back.ckpt", "plain.ckpt"))
    assert all(torch.equal(back[key], source[key]) for key in back)
    assert set(source) == set(back)


VIDEO = ("--stage", "video", "--config", "flags.json")
REFUSED = [
    (("import",), "checkpoint: must be given: the checkpoint to import; to join two stages, give --trajectory"),
    (
        ("import", "stage.ckpt"),
        "--stage: must be given: the checkpoint itself does not say; choose from trajectory-text, trajectory-position, "
        "video and dynamicrafter",
    ),
    (("import", "absent.ckpt", *VIDEO), "checkpoint: absent.ckpt does not exist"),
    (("import", "broken.ckpt", *VIDEO), "checkpoint: broken.ckpt is damaged or not a checkpoint"),
    (("import", "flags.json", *VIDEO), "checkpoint: flags.json is damaged or of the old format: not a zip file"),
    (
        ("import", "plain.ckpt", *VIDEO),
        "must take 12 channels in the stage video, found 8; this is a plain DynamiCrafter",
    ),
    (
        ("import", "stage.ckpt", "--stage", "dynamicrafter", "--config", "flags.json"),
        "must take 8 channels in the stage dynamicrafter, found 12; this is a Mask2IV checkpoint",
    ),
    (("import", "stage.ckpt", "--stage", "video"), "misses the key model.diffusion_model.input_blocks.2.0"),
    (("import", "stage.ckpt", "--stage", "video", "--layout", "256"), "misses the key model.diffusion_model."),
    (
        ("import", "stage.ckpt", *VIDEO, "--layout", "512"),
        "--layout: cannot be given with a configuration; both describe the model",
    ),
    (("import", "stage.ckpt", *VIDEO, "--new-channels", "copy"), "--new-channels copy: is for --stage dynamicrafter"),
    (("import", "stage.ckpt", *VIDEO, "--widen-for", "video"), "--widen-for video: is for --stage dynamicrafter"),
    (
        ("import", "plain.ckpt", "--stage", "dynamicrafter", "--widen-for", "none", "--new-channels", "copy"),
        "--new-channels: --widen-for none adds no channels; leave it out",
    ),
    (("import", "stage.ckpt", *VIDEO, "--tokenizer", "flags.json"), "--tokenizer: flags.json cannot be read"),
    (("import", "stage.ckpt", *VIDEO[:3], "unknown.json"), "unets: unknown configuration key"),
    (("import", "stage.ckpt", *VIDEO[:3], "flag.json"), "unet.chanels: is not a known flag"),
    (("import", "stage.ckpt", *VIDEO[:3], "list.json"), "--config: list.json: expected an object"),
    (("import", "stage.ckpt", *VIDEO[:3], "absent.json"), "--config: absent.json does not exist"),
    (("import", "stage.ckpt", *VIDEO, "--out", "filled"), "is not empty"),
    (("import", "--trajectory", "filled"), "--video: must be given with --trajectory: the folder with stage 2"),
    (("import", "--trajectory", "filled", "--video", "filled"), "--trajectory: filled is not a model folder"),
    (
        ("import", "stage.ckpt", "--trajectory", "a", "--video", "b"),
        "checkpoint: --trajectory and --video join imported folders; import it in a separate call",
    ),
    (("import", "--trajectory", EMBEDDED, "--video", "absent"), "--video 'absent': no such folder"),
    (("export-official", "absent", "--stage", "video", "--out", "x.ckpt"), "no such folder"),
    (("export-official", EMBEDDED, "--stage", "video", "--out", "x.bin"), "must end in .ckpt or .safetensors"),
    (("export-official", EMBEDDED, "--stage", "video", "--out", "stage.ckpt"), "stage.ckpt exists already"),
    (
        ("export-official", EMBEDDED, "--stage", "video", "--out", "x.ckpt"),
        "is not of the original architecture: its vae is of class AutoencoderDC, not AutoencoderKL",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refusals(desk: Path, capsys: pytest.CaptureFixture[str], arguments: Sequence[str], message: str) -> None:
    Path("filled").mkdir()
    Path("filled/mine.txt").touch()
    before = sorted(desk.rglob("*"))
    assert main([*arguments, *(() if "--out" in arguments else ("--out", "out"))]) == 2
    captured = capsys.readouterr()
    messages = [line for line in captured.err.splitlines() if line.startswith("mask2iv:")]
    assert len(messages) == 1
    assert message in messages[0]
    assert captured.out == ""
    assert sorted(desk.rglob("*")) == before


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("video", {"latent_patch": 2}, "its latents are grouped (latent_patch 2, not 1)"),
        ("trajectory", {"mask_layout": "joint"}, "the mask layout 'joint'"),
        ("video", {"video_change_std": 0.5}, "video_change_std"),
        ("trajectory", {}, "has no trajectory_unet"),
    ],
)
def test_other_architectures_are_not_exported(
    desk: Path, capsys: pytest.CaptureFixture[str], stage: str, changes: dict[str, object], message: str
) -> None:
    assert main(["import", "stage.ckpt", *VIDEO, "--out", "model"]) == 0
    index = json.loads(Path("model/model_index.json").read_text())
    index["config"] |= changes
    if changes and stage == "trajectory":
        index |= {"trajectory_unet": "VideoUNet", "trajectory_resampler": "Resampler"}
    Path("model/model_index.json").write_text(json.dumps(index))
    capsys.readouterr()
    assert main(["export-official", "model", "--stage", stage, "--out", "x.ckpt"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("x.ckpt").exists()
