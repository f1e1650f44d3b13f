"""Every key of the full-size checkpoints, against networks on the meta device."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.official.layout import Layout, detect_layout, original_parts, preset

GOLDEN = Path(__file__).parents[1] / "golden" / "keys_512.json.gz"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    """Keys and shapes of the original code's state dicts."""
    found: dict[str, Any] = json.loads(gzip.decompress(GOLDEN.read_bytes()))
    return found


def our_keys(layout: Layout, channels: int) -> dict[str, list[int]]:
    """Keys and shapes that an import consumes, each once; and each of our tensors is filled once."""
    config = preset(layout)
    found = [(key, tuple(table.shape)) for key, table in NoiseSchedule(config.schedule).checkpoint_buffers().items()]
    for part in original_parts(config, channels):
        found += [(part.prefix + match.original, match.shape) for match in part.matches]
        found += [(part.prefix + key, shape) for key, shape in part.leftovers.items()]
        own = [name for match in part.matches for name in match.own]
        assert sorted(own) == sorted(part.module.state_dict())
    assert len(dict(found)) == len(found)
    return {key: list(shape) for key, shape in found}


@pytest.mark.parametrize("layout", ["512", "1024"])
def test_dynamicrafter(golden: dict[str, Any], layout: Layout) -> None:
    expected = golden["dynamicrafter_512"]
    assert len(expected) == 2520
    assert our_keys(layout, 8) == expected


def test_mask2iv(golden: dict[str, Any]) -> None:
    assert our_keys("512", 12) == golden["dynamicrafter_512"] | golden["mask2iv_12ch_differences"]


def test_dynamicrafter_256(golden: dict[str, Any]) -> None:
    expected = {
        key: shape
        for key, shape in golden["dynamicrafter_512"].items()
        if key not in golden["dynamicrafter_256_missing_keys"]
    } | {key: [] for key in golden["dynamicrafter_256_extra_keys"]}
    assert our_keys("256", 8) == expected
    assert detect_layout(expected, None) == "256"
    assert detect_layout(golden["dynamicrafter_512"], 0.7) == "512"
    assert detect_layout(golden["dynamicrafter_512"], 0.3) == "1024"
