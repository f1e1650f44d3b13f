"""The page shows foreign text as text; a measure is named in one place."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mask2iv.data.store import ClipSet
from mask2iv.evaluation.measures.fidelity import GRADIENTS
from mask2iv.evaluation.networks.features import QUESTIONS
from mask2iv.evaluation.per_clip.catalogue import DISTRIBUTIONS, MEASURES, QUESTION_TITLES, TRAJECTORY_FIGURES
from mask2iv.evaluation.reports.summary import BROKEN_DOWN, FIDELITY, PICTURES, SCORECARD
from mask2iv.evaluation.runs.runner import EvaluationConfig, evaluate
from mask2iv.pipelines.pipeline import Mask2IVPipeline

CAPTION = """a "hand" & a <script>alert('caption')</script> box"""
CLIP_ID = """clip"><script>alert('id')"""
MODEL = """tiny"'<script>alert('model')"""
VERB = """<script>alert("verb")</script>"""

# Captions of foreign text hold words that the tiny model does not know.
pytestmark = pytest.mark.filterwarnings("ignore:prompt:UserWarning")


class Page(HTMLParser):
    """What a browser would make of a page: its elements, their attributes, its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page(tiny_clips: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """The report on one clip whose texts would break out of the page."""
    out = tmp_path_factory.mktemp("report") / "out"
    clip = replace(ClipSet(tiny_clips)[0], clip_id=CLIP_ID, caption=CAPTION, verb=VERB)
    sources = {"model": MODEL, "model_sha256": "0" * 64, "data": "<script>", "data_index_sha256": "1" * 64}
    evaluate(Mask2IVPipeline.from_pretrained(tiny_model), [clip], EvaluationConfig("both", 1), out, sources)
    return Page(out / "report.html")


def test_foreign_text_is_shown_and_never_run(page: Page) -> None:
    assert "script" not in page.tags
    assert page.text.count(CAPTION) == 2, "best and worst"
    assert page.text.count(f"{CLIP_ID}, ") == 2
    assert f"Evaluation of {MODEL}" in page.text
    assert f"model {MODEL} (000000000000)" in page.text
    assert f"{VERB} (1)" in page.text, "a label of a plot"
    assert ("alt", f"Frames of {CLIP_ID}") in page.attributes
    assert not {name for name, _ in page.attributes} - {
        "lang", "charset", "name", "content", "class", "alt", "src", "viewbox", "role", "aria-label",
        "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "text-anchor",
    }  # fmt: skip


def test_the_plots_are_drawn(page: Page) -> None:
    assert {"svg", "line", "circle", "text"} <= page.tags
    assert "<svg" not in page.text
    assert ("aria-label", MEASURES["psnr"].title) in page.attributes


def test_every_key_that_figures_are_kept_under_has_a_record() -> None:
    assert tuple(QUESTION_TITLES) == QUESTIONS
    used = {*PICTURES, *FIDELITY, *SCORECARD, *BROKEN_DOWN, *GRADIENTS, *DISTRIBUTIONS}
    assert used <= set(MEASURES)
    assert {f"recognised_{question}" for question in QUESTIONS} <= set(MEASURES)


def test_a_stage_1_run_shows_what_it_keeps(tiny_clips: Path, tiny_model: Path, tmp_path: Path) -> None:
    pipeline = Mask2IVPipeline.from_pretrained(tiny_model)
    sources = {"model": "tiny", "model_sha256": "0" * 64, "data": "clips", "data_index_sha256": "1" * 64}
    evaluate(pipeline, ClipSet(tiny_clips)[:1], EvaluationConfig("trajectory", 1), tmp_path / "out", sources)
    figures = json.loads((tmp_path / "out" / "metrics.json").read_text())["trajectory"]["text"]
    assert set(figures) == set(TRAJECTORY_FIGURES) - {"channel_miou"}, "that one is the paper's"


def test_values_are_written_with_their_unit_and_decimals() -> None:
    assert MEASURES["success"].form(0.1234) == "12.3"
    assert MEASURES["jerk"].form(0.1234) == "12.34"
    assert MEASURES["lpips"].form(0.1234) == "0.123"
    assert {name for name, measure in MEASURES.items() if measure.better < 0} == {
        *DISTRIBUTIONS, "lpips", "target_error", "final_distance", "vanished",
    }  # fmt: skip
