"""Pictures of another shape than the model's, masks that need a second look, and trajectories of another picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mask2iv.cli import main
from mask2iv.contract import Label
from mask2iv.media.images import write_png
from mask2iv.media.videos import read_video
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.trajectories.storage import load_trajectory, save_trajectory_file

PROMPT = "a hand pushing a box to the right"
SCENE = ("--image", "image.png", "--object-mask", "object.png", "--prompt", PROMPT)


@pytest.fixture
def desk(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a portrait of 128x64 pixels, its object below the middle, and a link to the model."""
    box = np.zeros((128, 64), dtype=bool)
    box[100:116, 20:40] = True
    image = np.full((128, 64, 3), (120, 130, 125), dtype=np.uint8)
    image[box] = (200, 60, 40)
    write_png(tmp_path / "image.png", image)
    write_png(tmp_path / "object.png", box)
    write_png(tmp_path / "inverted.png", ~box)
    write_png(tmp_path / "top.png", np.roll(box, -90, axis=0))
    numbered = Image.fromarray(box.astype(np.uint8) + np.roll(box, (-14, 24), axis=(0, 1)) * np.uint8(2))
    numbered.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
    numbered.save(tmp_path / "davis.png")
    (tmp_path / "model").symlink_to(tiny_model)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command: str, *flags: str, out: str = "out") -> int:
    return main([command, *flags, "--model", "model", "--steps", "1", "--threads", "1", "--out", out])


def manifest(out: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(out, "manifest.json").read_text())
    return found


def test_a_portrait_is_cropped_around_its_object(desk: Path) -> None:
    assert run("generate", *SCENE) == 0
    assert manifest()["settings"]["fit"] == "crop"
    whole = {"fit": "crop", "picture": [64, 128], "box": [0, 92, 64, 32], "placed": [0, 0, 64, 32]}
    assert manifest()["placement"] == whole
    strip = np.asarray(Image.open("out/filmstrip.png"))
    # The picture as it was taken, unsqueezed: the object is 20 pixels wide and 16 high.
    first = strip[18 : 18 + 32, 4 : 4 + 64]
    red = (first[..., 0] > 180) & (first[..., 1] < 90)
    rows, columns = np.nonzero(red)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1, red.sum()) == (16, 20, 320)


@pytest.mark.parametrize(
    ("flags", "placed", "box"),
    [
        (("--fit", "pad"), [24, 0, 16, 32], [0, 0, 64, 128]),
        (("--fit", "stretch"), [0, 0, 64, 32], [0, 0, 64, 128]),
        (("--fit", "centre", "--fit-scale", "0.5"), [24, 0, 16, 32], [0, 0, 64, 128]),
    ],
)
def test_the_fit_may_be_chosen(desk: Path, flags: tuple[str, ...], placed: list[int], box: list[int]) -> None:
    assert run("trajectory", *SCENE, *flags) == 0
    assert manifest()["settings"]["fit"] == flags[1]
    assert manifest()["settings"].get("fit_scale") == (0.5 if "centre" in flags else None)
    assert (manifest()["placement"]["placed"], manifest()["placement"]["box"]) == (placed, box)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("--fit", "centre"),
            "--object-mask: it lies outside the part of the picture that is used (x=0 y=32 w=64 h=64)",
        ),
        (("--target-mask", "top.png"), "--target-mask: it lies outside the part of the picture that is used"),
        (("--fit", "crop", "--fit-scale", "2"), "--fit-scale: the fit crop has none; choose the fit centre"),
        (("--fit-scale", "2"), "--fit-scale: the fit crop has none; choose the fit centre"),
        (("--fit", "centre", "--fit-scale", "0"), "--fit-scale: must be a positive number, found 0.0"),
        (("--object-mask", "davis.png"), "--object-mask: the mask holds several objects, with the indices 1, 2"),
        (("--object-mask", "davis.png#3"), "--object-mask: nothing in the mask has the index 3; found 1, 2"),
    ],
)
def test_what_cannot_be_shown_is_an_error(
    desk: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert run("trajectory", *SCENE, *flags) == 2
    assert f"mask2iv: error: {message}" in capsys.readouterr().err
    assert not Path("out").exists()


def test_stages_one_by_one_take_the_same_part_of_the_picture(desk: Path) -> None:
    assert run("generate", *SCENE, out="whole") == 0
    assert run("trajectory", *SCENE, out="plan") == 0
    save_trajectory_file(load_trajectory("plan/trajectory"), "plan.npz")
    expected = read_video("whole/video.mp4").frames
    for index, path in enumerate(("plan", "plan/trajectory", "plan.npz")):
        assert run("render", "--image", "image.png", "--trajectory", path, out=f"video-{index}") == 0
        assert (read_video(f"video-{index}/video.mp4").frames == expected).all(), path
        assert manifest(f"video-{index}")["placement"] == manifest("whole")["placement"]
    assert run("render", "--image", "image.png", "--trajectory", "plan", "--fit", "pad", out="padded") == 0
    assert (read_video("padded/video.mp4").frames != expected).any()
    pipe = Mask2IVPipeline.from_pretrained("model")
    both = pipe("image.png", "object.png", PROMPT, generator=[3], progress=False)
    [trajectory] = pipe.trajectory("image.png", Image.open("object.png"), PROMPT, generator=[3], progress=False)
    [video] = pipe.render(Path("image.png"), trajectory, generator=[3], progress=False)
    np.testing.assert_array_equal(video, both.frames[0])
    [padded] = pipe.render("image.png", trajectory, generator=[3], fit="pad", progress=False)
    assert not np.array_equal(padded, video)


def test_a_trajectory_that_does_not_say_what_it_shows_is_warned_of(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("trajectory", *SCENE, out="plan") == 0
    header = Path("plan/trajectory/trajectory.json")
    header.write_text(json.dumps({"fps": 8.0}))
    capsys.readouterr()
    assert run("render", "--image", "image.png", "--trajectory", "plan") == 0
    assert "mask2iv: warning: --image: the picture has another shape than the trajectory" in capsys.readouterr().err
    assert manifest()["placement"]["box"] == [0, 48, 64, 32]
    assert run("render", "--image", "image.png", "--trajectory", "plan", "--fit", "crop", out="said") == 0
    assert "warning" not in capsys.readouterr().err


def test_a_trajectory_of_another_picture_is_refused_unless_meant(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("trajectory", *SCENE, out="plan") == 0
    Image.open("image.png").rotate(180).save("other.png")
    for path in ("plan", "plan/trajectory"):
        assert run("render", "--image", "other.png", "--trajectory", path) == 2
        said = capsys.readouterr().err
        assert f"mask2iv: error: --image: {path} was made for another picture, image.png; " in said
        assert said.endswith("give that one, or --any-picture if this one is meant\n")
    assert run("render", "--image", "other.png", "--trajectory", "plan", "--any-picture", out="meant") == 0
    assert manifest("meant")["settings"]["any_picture"] is True
    # An edited trajectory of the same picture is nothing special.
    edited = load_trajectory("plan/trajectory").labels[-1].copy()
    edited[:8, :8] = Label.ACTOR
    Image.fromarray(np.array([[0, 0, 0], [0, 255, 0], [255, 0, 0]], np.uint8)[edited]).save("plan/trajectory/0003.png")
    assert run("render", "--image", "image.png", "--trajectory", "plan", out="edited") == 0
    Path("plan/manifest.json").write_text("{")
    assert run("render", "--image", "image.png", "--trajectory", "plan", out="broken") == 2
    assert "plan/manifest.json: is not valid JSON" in capsys.readouterr().err


def test_odd_masks_are_warned_of_on_one_line(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("trajectory", *SCENE, "--object-mask", "inverted.png", "--fit", "pad") == 0
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    expected = "--object-mask: the mask covers 96% of the picture and may be inverted"
    assert warnings == [f"mask2iv: warning: {expected}; what it marks must be white, all else black"]
    tall = np.zeros((128, 64), dtype=bool)
    tall[40:100, 10:30] = True
    write_png(Path("tall.png"), tall)
    assert run("trajectory", *SCENE, "--object-mask", "tall.png", out="cut") == 0
    said = "47% of it lies outside the part of the picture that is used; the fit pad keeps the whole picture"
    assert f"mask2iv: warning: --object-mask: {said}\n" in capsys.readouterr().err


def test_an_object_is_chosen_by_its_index(desk: Path) -> None:
    assert run("trajectory", *SCENE, out="plain") == 0
    flags = ("--image", "image.png", "--prompt", PROMPT)
    assert run("trajectory", *flags, "--object-mask", "davis.png#1", out="first") == 0
    assert (read_video("first/trajectory.mp4").frames == read_video("plain/trajectory.mp4").frames).all()
    assert manifest("first")["inputs"]["object_mask"]["index"] == 1
    both = ("--object-mask", "davis.png#1", "--target-mask", "davis.png#2")
    assert run("trajectory", *flags, *both, out="both") == 0
    assert manifest("both")["placement"]["box"] == [0, 85, 64, 32]


def test_jobs_have_fits_and_indices_of_their_own(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = {"image": "image.png", "prompt": PROMPT}
    jobs = [
        {"id": "crop", "object_mask": "object.png", **common},
        {"id": "pad", "object_mask": "inverted.png", "fit": "pad", **common},
        {"id": "centre", "object_mask": "davis.png#2", "fit": "centre", "fit_scale": 0.5, **common},
        {"id": "outside", "object_mask": "object.png", "fit": "centre", **common},
    ]
    Path("jobs.jsonl").write_text("\n".join(json.dumps(job) for job in jobs))
    assert run("generate", "--jobs", "jobs.jsonl") == 3
    said = capsys.readouterr().err
    assert "mask2iv: warning: pad (line 2): object_mask: the mask covers 96% of the picture" in said
    assert "outside (line 4): object_mask: it lies outside the part of the picture that is used" in said
    fits = {job["id"]: manifest(f"out/{job['id']}")["settings"]["fit"] for job in jobs[:3]}
    assert fits == {"crop": "crop", "pad": "pad", "centre": "centre"}
    run("generate", *SCENE, out="alone")
    assert (read_video("out/crop/video.mp4").frames == read_video("alone/video.mp4").frames).all()
    jobs[2]["object_mask"] = "davis.png#1"
    Path("jobs.jsonl").write_text("\n".join(json.dumps(job) for job in jobs[:3]))
    assert run("generate", "--jobs", "jobs.jsonl") == 3
    failures = json.loads(Path("out/failures.json").read_text())
    assert [failure["id"] for failure in failures] == ["centre"]
    assert json.loads(Path("out/jobs-manifest.json").read_text())["counts"]["skipped"] == 2
    for change in ({"fit": "zoom"}, {"fit_scale": "2"}, {"fit": "pad", "fit_scale": 2}):
        Path("jobs.jsonl").write_text(json.dumps({**jobs[0], **change}))
        assert run("generate", "--jobs", "jobs.jsonl", out="none") == 2
        assert "jobs.jsonl: line 1: fit" in capsys.readouterr().err
