"""Grounding DINO with a tiny random model: words, batches, boxes and thresholds; what it finds is noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

from mask2iv.errors import InputError
from mask2iv.segmentation.grounding import GroundingDino

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "can", "pot", "robot", "gripper", "grip", "##per", "silver"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("dino")
    swin = SwinConfig(
        image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )
    bert = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    config = GroundingDinoConfig(
        backbone_config=swin, text_config=bert, num_queries=12, encoder_layers=1, decoder_layers=2, d_model=32,
        encoder_ffn_dim=32, decoder_ffn_dim=32, encoder_attention_heads=2, decoder_attention_heads=2,
    )  # fmt: skip
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(WORDS)}
    tokenizer = BertTokenizerFast(vocab=vocabulary)
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(pictures, tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture
def videos() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (2, *size, 3), dtype=np.uint8) for size in ((48, 64), (64, 80), (40, 40))]


def test_boxes_lie_in_each_picture_and_have_phrases_asked_for(dino: Path, videos: list[np.ndarray]) -> None:
    detect = GroundingDino(str(dino), CPU, box_threshold=0.0, text_threshold=0.0, batch_size=2)
    asked = [["Silver can.", "robot gripper"], [], ["pot"]]
    found = detect(videos, asked)
    assert detect.quality == "grounding-dino"
    assert len(found) == 3
    assert found[1] == [], "nothing was asked for"
    for video, boxes, phrases in (
        (videos[0], found[0], {"silver can", "robot gripper"}),
        (videos[2], found[2], {"pot"}),
    ):
        assert boxes
        height, width = video.shape[1:3]
        for one in boxes:
            x, y, w, h = one.box
            assert min(x, y) >= 0
            assert min(w, h) >= 1
            assert x + w <= width + 1e-3
            assert y + h <= height + 1e-3
            assert one.phrase in phrases
            assert 0 <= one.score <= 1
        assert [one.score for one in boxes] == sorted((one.score for one in boxes), reverse=True)


def test_only_the_first_frame_counts(dino: Path, videos: list[np.ndarray]) -> None:
    detect = GroundingDino(str(dino), CPU, box_threshold=0.0)
    assert detect(videos[:1], [["can"]]) == detect([videos[0][:1]], [["can"]])


def test_thresholds_leave_out_boxes_and_words(dino: Path, videos: list[np.ndarray]) -> None:
    assert GroundingDino(str(dino), CPU, box_threshold=1.0)(videos[:1], [["can"]]) == [[]]
    wordless = GroundingDino(str(dino), CPU, box_threshold=0.0, text_threshold=1.0)(videos[:1], [["can"]])[0]
    assert {one.phrase for one in wordless} == {""}


def test_what_cannot_be_used_is_said(dino: Path, videos: list[np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^phrases: must be one list per video, 1"):
        GroundingDino(str(dino), CPU)(videos[:1], [])
    with pytest.raises(InputError, match=r"^weights grounding-dino: .* is not a Grounding DINO model"):
        GroundingDino(str(tmp_path), CPU)
    for wrong in ({"box_threshold": 1.5}, {"text_threshold": -1}, {"batch_size": 0}):
        with pytest.raises(InputError, match=f"^{next(iter(wrong))}: "):
            GroundingDino(str(dino), CPU, **wrong)
