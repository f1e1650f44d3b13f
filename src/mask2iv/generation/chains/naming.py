"""Objects of a plan that are named in words alone, found in its picture by a detector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mask2iv.contract import UInt8Array
from mask2iv.errors import InputError
from mask2iv.generation.options import SceneOptions
from mask2iv.media.images import read_image
from mask2iv.segmentation.interfaces import Box, Detector


@dataclass(frozen=True)
class FoundObject:
    """What a detector found for the words of a step.

    Attributes:
        words: for the object.
        box: around it, in pixels of the picture.
        score: how sure the detector is, 0 to 1.
    """

    words: str
    box: Box
    score: float

    @property
    def record(self) -> dict[str, Any]:
        """For a manifest."""
        return {"object": self.words, "box": [round(side, 1) for side in self.box], "score": round(self.score, 3)}


def with_boxes(
    scenes: list[SceneOptions], sought: Mapping[int, str], detector: Detector | None
) -> tuple[list[SceneOptions], dict[int, FoundObject]]:
    """The scenes with boxes around the objects that are named in words alone, and what was found, by step (from 0).

    Args:
        scenes: of all steps, on one picture.
        sought: step (from 0) -> words for its object.
        detector: of things in words, if there is one.

    Raises:
        InputError: an object is not marked and there is no detector, or it is not found; names the step.
    """
    if not sought:
        return scenes, {}
    index, words = next(iter(sought.items()))
    if detector is None:
        raise InputError(
            f"steps[{index}].object",
            f"no step marks {words!r}",
            "give it a mask, a box or a point in the step that names it first, or give `detector_weights`",
        )
    image = scenes[index].image
    assert image is not None
    found = find_named(read_image(image, "image"), sought, detector)
    made = list(scenes)
    for step, one in found.items():
        made[step] = replace(scenes[step], object_box=_text(one.box))
    return made, found


def find_named(image: UInt8Array, sought: Mapping[int, str], detector: Detector) -> dict[int, FoundObject]:
    """The surest detection for each object, by step (from 0).

    Args:
        image: uint8 [H, W, 3].
        sought: step (from 0) -> words.
        detector: of things in words.

    Raises:
        InputError: one is not found; names the step.
    """
    answers = detector([image[None]] * len(sought), [[words] for words in sought.values()])
    found: dict[int, FoundObject] = {}
    for (step, words), detections in zip(sought.items(), answers, strict=True):
        best = max((one for one in detections if one.phrase), key=lambda one: one.score, default=None)
        if best is None:
            raise InputError(
                f"steps[{step}].object", f"{words!r} is not found in the picture", "give it a mask, a box or a point"
            )
        found[step] = FoundObject(words, best.box, best.score)
    return found


def _text(box: Box) -> str:
    """A box as `object_box` has it: whole pixels that hold all of it."""
    x, y, w, h = box
    left, top = int(x), int(y)
    return f"{left},{top},{-int(-(x + w) // 1) - left},{-int(-(y + h) // 1) - top}"
