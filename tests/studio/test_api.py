"""The studio by gradio_client: what a script does with a served page."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mask2iv.media.videos import read_video

gradio_client = pytest.importorskip("gradio_client")


@pytest.fixture
def client(address: str) -> Iterator[Any]:
    made = gradio_client.Client(address, verbose=False, analytics_enabled=False)
    yield made
    made.close()


def test_from_a_sample_to_a_video(client: Any, tmp_path: Path) -> None:
    scene = client.predict("cup", api_name="/load_sample")
    assert scene["object_pixels"] > 0
    assert scene["has_target"]
    found = client.predict(prompt=scene["prompt"], seed=7, num_steps=1, candidates=2, api_name="/predict")
    assert sorted(one["seed"] for one in found) == [7, 8]
    shown = client.predict(index=found[0]["index"], api_name="/choose")
    assert len(shown["contacts"]) == shown["frames"]
    edited = client.predict({"op": "transform", "frames": [1, 2], "move": [4, 0]}, api_name="/edit")
    assert edited["edits"] == 1
    assert client.predict(api_name="/undo")["edits"] == 0
    video, archive, info = client.predict(api_name="/render")
    assert len(read_video(video).frames) == shown["frames"]
    assert f"--seed {found[0]['seed']}" in info["command"]
    with zipfile.ZipFile(archive) as file:
        assert {"image.png", "command.sh", "result/video.mp4"} <= set(file.namelist())
    assert client.predict(number=info["number"], api_name="/resume")["width"] == read_video(video).frames.shape[2]


def test_an_own_picture_with_object_and_end(client: Any, tmp_path: Path) -> None:
    picture = np.full((64, 96, 3), 200, dtype=np.uint8)
    picture[20:44, 30:60] = (180, 30, 30)
    Image.fromarray(picture).save(tmp_path / "own.png")
    scene = client.predict(gradio_client.handle_file(tmp_path / "own.png"), api_name="/load_picture")
    assert (scene["width"], scene["height"], scene["object_pixels"]) == (96, 64, 0)
    assert client.predict(24, 14, 44, 38, api_name="/select_box")["object_pixels"] == pytest.approx(24 * 30, rel=0.1)
    assert client.predict(right=10.0, api_name="/place")["has_target"]


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("/load_sample", ["../cup"], "sample"),
        ("/select_point", [3, 3], "picture"),
        ("/predict", ["a hand picking up a cup"], "picture"),
        ("/choose", [0], "candidate"),
        ("/render", [], "candidate"),
        ("/load_picture", [{"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}], "."),
    ],
)
def test_wrong_calls_are_answered(client: Any, name: str, values: list[Any], said: str) -> None:
    with pytest.raises(gradio_client.exceptions.AppError, match=said):
        client.predict(*values, api_name=name)


def test_two_clients_are_two_users(client: Any, address: str) -> None:
    client.predict("cup", api_name="/load_sample")
    other = gradio_client.Client(address, verbose=False, analytics_enabled=False)
    with pytest.raises(gradio_client.exceptions.AppError, match="picture"):
        other.predict(3, 3, api_name="/select_point")
    other.close()
