"""The page in a real browser."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mask2iv.media.videos import read_video

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
PATIENCE = 60_000
"""Milliseconds: other tests run beside these."""

NewPage = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def new_page(browser: Any, address: str) -> Iterator[NewPage]:
    """Opens the studio as another user; at the end no script has failed."""
    contexts, faults = [], []

    def make(**options: Any) -> Any:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert not faults


def predict(page: Any, sample: str = "cup", candidates: int = 2, steps: int = 2, seed: int = 0) -> None:
    page.get_by_role("button", name=f"Sample: {sample}").click()
    page.locator("#scene canvas").wait_for()
    page.get_by_role("button", name="Seed and steps").click()
    page.get_by_label("Sampling steps").fill(str(steps))
    page.get_by_label("Seed", exact=True).fill(str(seed))
    page.get_by_label("number input for Candidates").fill(str(candidates))
    page.get_by_label("number input for Candidates").press("Enter")
    page.get_by_role("button", name="Predict trajectories").click()


def choose(page: Any, seed: int) -> None:
    page.locator("#candidates .card", has_text=f"seed {seed}").click()
    page.locator('#candidates .card[aria-pressed="true"]', has_text=f"seed {seed}").wait_for()
    page.locator("#trajectory canvas").wait_for()


def test_from_a_sample_to_a_downloaded_video(new_page: NewPage, tmp_path: Path) -> None:
    page = new_page(accept_downloads=True)
    predict(page)
    choose(page, 1)
    page.get_by_role("button", name="Render the video").click()
    page.locator("#viewer video").first.wait_for()
    command = page.locator("#command textarea").input_value()
    assert command.startswith("mask2iv generate")
    assert "--seed 1" in command
    with page.expect_download() as download:
        page.get_by_role("button", name="Video (mp4)").click()
    download.value.save_as(tmp_path / "video.mp4")
    assert len(read_video(tmp_path / "video.mp4").frames) == 4
    page.get_by_role("button", name="Continue from the last frame").click()
    page.locator("#candidates").get_by_text("appear here").wait_for()
    assert page.get_by_label("Instruction").input_value() == ""


def test_a_trajectory_is_changed_by_dragging_and_by_keys(new_page: NewPage, tmp_path: Path) -> None:
    page = new_page(accept_downloads=True)
    predict(page)
    choose(page, 0)
    board = page.locator("#trajectory")
    undo, redo = (board.get_by_role("button", name=name) for name in ("Undo", "Redo"))
    assert undo.is_disabled()
    board.locator("[data-frame]").fill("2")
    board.locator("[data-part]").select_option("object")
    canvas = board.locator("canvas")
    canvas.scroll_into_view_if_needed()
    frame = canvas.bounding_box()
    # The handles are about the object's extent; it is where the sample's is, or near.
    page.mouse.move(frame["x"] + 0.51 * frame["width"], frame["y"] + 0.47 * frame["height"])
    page.mouse.down()
    page.mouse.move(frame["x"] + 0.6 * frame["width"], frame["y"] + 0.4 * frame["height"], steps=4)
    page.mouse.up()
    sync_api.expect(undo).to_be_enabled(timeout=PATIENCE)
    undo.click()
    sync_api.expect(redo).to_be_enabled(timeout=PATIENCE)
    sync_api.expect(undo).to_be_disabled(timeout=PATIENCE)
    canvas.focus()
    page.keyboard.press("Shift+ArrowRight")
    sync_api.expect(undo).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the edits").click()
    [edit] = json.loads(Path(download.value.path()).read_text())["edits"]
    assert (edit["op"], edit["part"], edit["frames"]) == ("transform", "object", [0, 2])
    assert edit["move"][0] > 0


def test_a_page_that_is_loaded_again_shows_its_work_and_saved_edits_load(new_page: NewPage, tmp_path: Path) -> None:
    page = new_page(accept_downloads=True)
    predict(page)
    choose(page, 0)
    page.get_by_label("Instruction").fill("not asked yet")
    page.locator("#trajectory").get_by_role("button", name="Hold this frame").click()
    undo = page.locator("#trajectory").get_by_role("button", name="Undo")
    sync_api.expect(undo).to_be_enabled(timeout=PATIENCE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the edits").click()
    download.value.save_as(tmp_path / "edits.json")
    page.reload()
    sync_api.expect(page.locator("#candidates .card")).to_have_count(2, timeout=PATIENCE)
    sync_api.expect(undo).to_be_enabled(timeout=PATIENCE)
    assert page.get_by_label("Instruction").input_value() == "a hand picking up a cup"
    choose(page, 1)
    sync_api.expect(undo).to_be_disabled(timeout=PATIENCE)
    page.locator('#edits-files input[type="file"]').set_input_files(tmp_path / "edits.json")
    sync_api.expect(undo).to_be_enabled(timeout=PATIENCE)


def test_two_videos_are_compared_under_a_slider(new_page: NewPage) -> None:
    page = new_page()
    predict(page, candidates=1, steps=1)
    choose(page, 0)
    for number in (1, 2):
        page.get_by_role("button", name="Render the video").click()
        sync_api.expect(page.locator("#viewer [data-first] option")).to_have_count(number, timeout=PATIENCE)
    page.get_by_label("Beside it").select_option(index=1)
    second = page.locator('#viewer video[data-video="second"]')
    sync_api.expect(second).to_be_visible()
    page.get_by_label("Left the first video").fill("25")
    assert second.evaluate("one => one.style.clipPath").replace("px", "").startswith("inset(0")
    assert second.evaluate("one => getComputedStyle(one).clipPath").endswith("25%)")
    page.get_by_label("Beside it").select_option(label="nothing")
    sync_api.expect(second).to_be_hidden()


def test_cancel_stops_and_the_next_run_works(new_page: NewPage) -> None:
    page = new_page()
    predict(page, candidates=12, steps=100)
    page.get_by_role("button", name="Cancel").first.click()
    page.locator("#predict-notice").get_by_text("Cancelled").wait_for()
    assert page.locator("#candidates .card").count() < 12
    page.get_by_label("Sampling steps").fill("1")
    page.get_by_label("number input for Candidates").fill("1")
    page.get_by_label("number input for Candidates").press("Enter")
    page.get_by_role("button", name="Predict trajectories").click()
    sync_api.expect(page.locator("#candidates .card")).to_have_count(1, timeout=PATIENCE)


def test_wrong_input_is_said_where_it_arises(new_page: NewPage, tmp_path: Path) -> None:
    page = new_page()
    (tmp_path / "bad.png").write_bytes(b"this is no picture")
    page.locator('input[type="file"]').first.set_input_files(tmp_path / "bad.png")
    alert = page.locator("#scene-notice").get_by_role("alert")
    alert.wait_for()
    assert alert.inner_text().startswith("Picture bad.png")
    picture = np.full((64, 96, 3), 200, dtype=np.uint8)
    picture[20:44, 30:60] = (180, 30, 30)
    Image.fromarray(picture).save(tmp_path / "good.png")
    page.locator('input[type="file"]').first.set_input_files(tmp_path / "good.png")
    canvas = page.locator("#scene canvas")
    canvas.wait_for()
    alert.wait_for(state="detached")
    page.get_by_role("button", name="Predict trajectories").click()
    wrong = page.locator("#predict-notice").get_by_role("alert")
    wrong.wait_for()
    assert wrong.inner_text().startswith("Object Nothing is selected")
    # After a refusal the board goes on.
    page.get_by_role("button", name="Place the end").click()
    page.locator("#scene [data-right]").fill("5")
    page.locator("#scene [data-right]").press("Tab")
    page.locator("#scene-notice").get_by_text("No object is selected").wait_for()
    page.wait_for_function("!document.querySelector('#scene [aria-busy]')", timeout=10_000)
    page.get_by_role("button", name="Click", exact=True).click()
    # The object by the keyboard alone: the cross stands in the middle.
    canvas.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("!document.querySelector('#scene [aria-busy]')")
    page.get_by_role("button", name="Predict trajectories").click()
    page.locator("#predict-notice").get_by_text("Nothing says what shall happen").wait_for()


def test_two_users_at_once(new_page: NewPage) -> None:
    one, two = new_page(), new_page()
    predict(one, "cup", seed=10)
    predict(two, "box", seed=20)
    for page, seed in ((one, 10), (two, 20)):
        sync_api.expect(page.locator("#candidates .card")).to_have_count(2, timeout=PATIENCE)
        names = " ".join(page.locator("#candidates .card").all_inner_texts())
        assert f"seed {seed}" in names
        assert f"seed {seed + 1}" in names
    assert "cup" in one.get_by_label("Instruction").input_value()
    assert "box" in two.get_by_label("Instruction").input_value()
