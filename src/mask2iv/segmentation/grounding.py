"""Boxes of what is named in words, by Grounding DINO (from transformers)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import GroundingDinoForObjectDetection, GroundingDinoProcessor

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import reason
from mask2iv.segmentation.interfaces import Box, Detection, Detector

_SAME = 0.8
"""IoU from which two boxes are of one thing."""


class GroundingDino(Detector):
    """Grounding DINO (Liu et al., 2023). The paper takes the base model with these thresholds for BridgeData V2.

    Args:
        place: folder or hub name of a model in safetensors, with its processor.
        device: where to run.
        box_threshold: a box is found if some word fits it at least so well.
        text_threshold: it gets the phrase that fits it best, at least so well; otherwise none, "".
        batch_size: pictures that go through the network together.

    Raises:
        InputError: the model cannot be loaded, or a threshold or batch size is out of range.
    """

    quality = "grounding-dino"

    def __init__(
        self,
        place: str,
        device: torch.device,
        box_threshold: float = 0.25,
        text_threshold: float = 0.3,
        batch_size: int = 4,
    ) -> None:
        for name, threshold in (("box_threshold", box_threshold), ("text_threshold", text_threshold)):
            if not 0 <= threshold <= 1:
                raise InputError(name, f"must be 0 to 1, found {threshold}")
        if batch_size < 1:
            raise InputError("batch_size", f"must be at least 1, found {batch_size}")
        try:
            self.model: Any = GroundingDinoForObjectDetection.from_pretrained(place, use_safetensors=True).eval()
            self.processor: Any = GroundingDinoProcessor.from_pretrained(place)
        except (OSError, ValueError) as error:
            raise InputError(
                "weights grounding-dino", f"{place} is not a Grounding DINO model: {reason(error)}"
            ) from error
        self.model.to(device)
        self.device, self.batch_size = device, batch_size
        self.box_threshold, self.text_threshold = box_threshold, text_threshold

    def __call__(self, videos: Sequence[UInt8Array], phrases: Sequence[Sequence[str]]) -> list[list[Detection]]:
        if len(videos) != len(phrases):
            raise InputError("phrases", f"must be one list per video, {len(videos)}, found {len(phrases)}")
        asked = [[text for one in own if (text := _plain(one))] for own in phrases]
        found: list[list[Detection]] = [[] for _ in videos]
        # Where nothing is asked for, nothing is found.
        numbers = [i for i, texts in enumerate(asked) if texts]
        for start in range(0, len(numbers), self.batch_size):
            batch = numbers[start : start + self.batch_size]
            boxes = self._detect([videos[i][0] for i in batch], [asked[i] for i in batch])
            for i, own in zip(batch, boxes, strict=True):
                found[i] = own
        return found

    @torch.inference_mode()
    def _detect(self, images: Sequence[UInt8Array], phrases: Sequence[Sequence[str]]) -> list[list[Detection]]:
        texts = [" ".join(f"{text}." for text in own) for own in phrases]
        pictures = [np.ascontiguousarray(image) for image in images]
        inputs = self.processor(images=pictures, text=texts, padding=True, truncation=True, return_tensors="pt")
        inputs = inputs.to(self.device)
        output = self.model(**inputs)
        fits = output.logits.float().sigmoid().cpu().numpy()
        boxes = output.pred_boxes.float().cpu().numpy()
        tokens = inputs["input_ids"].cpu().tolist()
        stop = self.processor.tokenizer.convert_tokens_to_ids(".")
        return [
            self._detections(fits[k], boxes[k], _spans(tokens[k], stop, own), images[k].shape[:2])
            for k, own in enumerate(phrases)
        ]

    def _detections(
        self, fits: Any, boxes: Any, spans: Sequence[tuple[str, list[int]]], size: tuple[int, ...]
    ) -> list[Detection]:
        """What of the network's boxes is kept.

        Args:
            fits: [Q, tokens], 0 to 1.
            boxes: [Q, 4]: centre x, y, width, height as shares of the picture.
            spans: each phrase and its tokens.
            size: (H, W) of the picture.
        """
        found: list[Detection] = []
        words = [token for _, span in spans for token in span]
        best = fits[:, words].max(axis=1) if words else np.zeros(len(fits))
        for query in np.argsort(-best, kind="stable"):
            if best[query] < self.box_threshold or not words:
                break
            box = _in_pixels(boxes[query], size)
            if box is None or any(_overlap(box, other.box) >= _SAME for other in found):
                continue
            fitting = {text: float(fits[query, span].max()) for text, span in spans if span}
            phrase = max(fitting, key=lambda text: fitting[text])
            found.append(Detection(box, float(best[query]), phrase if fitting[phrase] >= self.text_threshold else ""))
        return found


def _plain(phrase: str) -> str:
    """A phrase as the network reads it: lower case, and without stops, which separate phrases."""
    return " ".join(phrase.lower().replace(".", " ").split())


def _spans(tokens: Sequence[int], stop: int, phrases: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The positions of each phrase's tokens: phrases end in stops, and the first token begins the text."""
    spans: list[tuple[str, list[int]]] = []
    own: list[int] = []
    for position, token in enumerate(tokens[1:], 1):
        if token == stop and len(spans) < len(phrases):
            spans.append((phrases[len(spans)], own))
            own = []
        else:
            own.append(position)
    return spans


def _in_pixels(box: Sequence[float], size: tuple[int, ...]) -> Box | None:
    """A box in pixels, within the picture; None where it is less than one pixel."""
    height, width = size
    x, y, w, h = (float(number) for number in box)
    left, right = (min(max(edge * width, 0.0), float(width)) for edge in (x - w / 2, x + w / 2))
    top, bottom = (min(max(edge * height, 0.0), float(height)) for edge in (y - h / 2, y + h / 2))
    return (left, top, right - left, bottom - top) if right - left >= 1 and bottom - top >= 1 else None


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    both = max(across, 0.0) * max(down, 0.0)
    return both / (a[2] * a[3] + b[2] * b[3] - both)
