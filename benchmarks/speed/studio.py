"""Times the studio as a user sees it, in Chromium: from a click to the first preview, and to the video.

    python benchmarks/speed/studio.py --repeats 3

Prints one line of JSON per repeat, with the load of the machine: it shares the processor with the browser.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time

from playwright.sync_api import sync_playwright

from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.options import Sampling
from mask2iv.studio.page.serve import served


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--sample", default="cup")
    chosen = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with served(0, Sampling(model=chosen.model), Acceleration()) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(chosen.repeats):
            print(json.dumps(timed(browser, address, chosen.sample)), flush=True)
        browser.close()


def timed(browser: object, address: str, sample: str) -> dict[str, float]:
    """Seconds of one visit: each time counts from a click."""
    page = browser.new_page()  # type: ignore[attr-defined]
    page.set_default_timeout(600_000)
    page.goto(address)
    page.get_by_role("button", name=f"Sample: {sample}").click()
    page.locator("#scene canvas").wait_for()
    load = os.getloadavg()[0]
    began = time.perf_counter()
    page.get_by_role("button", name="Predict trajectories").click()
    page.locator("#candidates .card").first.wait_for()
    first = time.perf_counter() - began
    page.locator("#candidates .card").nth(3).wait_for()
    four = time.perf_counter() - began
    page.locator("#predict-progress progress").wait_for(state="detached")
    page.locator("#candidates .card").first.click()
    page.locator("#trajectory canvas").wait_for()
    began = time.perf_counter()
    page.get_by_role("button", name="Render the video").click()
    page.locator("#viewer video").first.wait_for()
    video = time.perf_counter() - began
    page.close()
    seconds = {"first_preview": first, "four_previews": four, "video": video, "load": load}
    return {name: round(value, 2) for name, value in seconds.items()}


if __name__ == "__main__":
    main()
