"""The page in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

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


def predict(page: Any, candidates: int = 2, steps: int = 2) -> None:
    page.get_by_role("button", name="Sample: cup").click()
    page.locator("#scene canvas").wait_for()
    page.get_by_role("button", name="Seed and steps").click()
    page.get_by_label("Sampling steps").fill(str(steps))
    page.get_by_label("number input for Candidates").fill(str(candidates))
    page.get_by_label("number input for Candidates").press("Enter")
    page.get_by_role("button", name="Predict trajectories").click()


def test_from_a_sample_to_a_downloaded_video(new_page: NewPage, tmp_path: Path) -> None:
    page = new_page(accept_downloads=True)
    predict(page)
    page.locator("#candidates .card").nth(1).click()
    page.locator('#candidates .card[aria-pressed="true"]').wait_for()
    page.get_by_role("button", name="Render the video").click()
    page.locator("#viewer video").first.wait_for()
    assert "mask2iv generate" in page.get_by_label("The command that makes this video again").input_value()
    with page.expect_download() as download:
        page.get_by_role("link", name="video.mp4").or_(page.locator('a[download="video.mp4"]')).first.click()
    download.value.save_as(tmp_path / "video.mp4")
    assert read_video(tmp_path / "video.mp4").frames.shape[-1] == 3
