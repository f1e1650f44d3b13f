"""The feature network of FVD-sim: the shipped one matches its card, and it can be trained again."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.evaluation.measures.frechet import frechet_figure
from mask2iv.evaluation.networks.features import QUESTIONS, SHIPPED, FeatureConfig, FeatureNet, load_feature_net
from mask2iv.parsing import read_json


def test_the_shipped_network_is_small_and_says_how_good_it_is() -> None:
    card = read_json(SHIPPED / "config.json")["training"]
    assert set(card["held_out_accuracy"]) == set(card["chance"]) == set(QUESTIONS)
    for name in QUESTIONS:
        assert card["held_out_accuracy"][name] > 1.5 * card["chance"][name]
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 4_000_000


def test_features_do_not_depend_on_their_neighbours_and_see_motion(tiny_clips: Path) -> None:
    net = load_feature_net()
    videos = [np.repeat(clip.video, 4, axis=0) for clip in ClipSet(tiny_clips)]
    together = net.features_of(videos)
    assert together.shape == (6, net.config.features)
    assert np.allclose(net.features_of(videos[2:3]), together[2:3], atol=1e-4)
    stills = net.features_of([np.repeat(video[:1], 16, axis=0) for video in videos])
    distance = frechet_figure([x[None] for x in stills], [x[None] for x in together]).value
    assert distance is not None
    assert distance > 1.0


def test_it_is_trained_by_one_command(
    tiny_clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Path(__file__).parents[2] / "benchmarks" / "networks" / "train_features.py"
    flags = ["--data", str(tiny_clips), "--held-out", str(tiny_clips), "--out", str(tmp_path / "net"), "--frames", "4"]
    monkeypatch.setattr(sys, "argv", [str(script), *flags, "--epochs", "1", "--batch-size", "3"])
    runpy.run_path(str(script), run_name="__main__")
    net = load_feature_net(tmp_path / "net")
    assert net.config.object_name == ("book", "box", "can")
    assert "held out" in capsys.readouterr().out
    assert net.features_of([ClipSet(tiny_clips)[0].video]).shape == (1, 64)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    net = FeatureNet(FeatureConfig(("push",), ("box",), ("hand",)))
    (tmp_path / "config.json").write_bytes((SHIPPED / "config.json").read_bytes())
    torch.save(net.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="the feature network cannot be read"):
        load_feature_net(tmp_path)
