"""The latent cache: built in pieces by any process, never stale, and training from it equals training without it."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from mask2iv.backbones.dynamicrafter.conditions import ConditionEncoder
from mask2iv.data.store import ClipSet
from mask2iv.diffusion.schedule import NoiseSchedule
from mask2iv.errors import InputError
from mask2iv.pipelines.pipeline import Mask2IVPipeline
from mask2iv.recipes import get_recipe
from mask2iv.training.inputs import cache as caching
from mask2iv.training.inputs import shards
from mask2iv.training.inputs.cache import FreshlyEncoded, LatentCache, build_cache, cache_key
from mask2iv.training.inputs.clips import ClipMemory
from mask2iv.training.networks.stages import StageBatches, StageData


@pytest.fixture(scope="module")
def encoder(tiny_model: Path) -> ConditionEncoder:
    return Mask2IVPipeline.from_pretrained(tiny_model).encoder


@pytest.fixture
def memory(tiny_clips: Path, monkeypatch: pytest.MonkeyPatch) -> ClipMemory:
    """Six clips, in shards of two."""
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", 2)
    return ClipMemory(ClipSet(tiny_clips), (32, 64), 4)


class Counting:
    """Notes which clips are encoded; raises at the clip `fail_at`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ids: list[str], fail_at: int | None = None) -> None:
        self.seen: list[int] = []
        self.fail_at = fail_at
        encode = caching.encode_clip

        def counted(encoder: Any, item: Any) -> Any:
            index = ids.index(item["clip_id"])
            if index == self.fail_at:
                raise KeyboardInterrupt
            self.seen.append(index)
            return encode(encoder, item)

        monkeypatch.setattr(caching, "encode_clip", counted)


def test_the_key_changes_with_clips_encoders_and_settings(tiny_clips: Path, encoder: ConditionEncoder) -> None:
    clips = ClipSet(tiny_clips)
    modules = (encoder.codec, encoder.image_encoder)
    key = cache_key(clips, modules, "32x64")
    assert cache_key(clips, modules, "32x64") == key
    assert cache_key(clips.subset(0, 5), modules, "32x64") != key
    assert cache_key(clips, modules, "64x64") != key
    parameter = next(encoder.codec.parameters())
    with torch.no_grad():
        parameter.add_(0.01)
        changed = cache_key(clips, modules, "32x64")
        parameter.sub_(0.01)
    assert changed != key


def test_a_stopped_build_goes_on_where_it_stopped(
    encoder: ConditionEncoder, memory: ClipMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch, memory.clips.ids, fail_at=3)
    with pytest.raises(KeyboardInterrupt):
        build_cache(encoder, memory, "a" * 64, tmp_path, None)
    folder = tmp_path / ("a" * 16)
    assert [path.name for path in folder.glob("*.safetensors")] == ["shard-00000.safetensors"]
    counting.fail_at = None
    cache = build_cache(encoder, memory, "a" * 64, tmp_path, None)
    assert counting.seen == [0, 1, 2, 2, 3, 4, 5], "the shard of clips 0 and 1 was there"
    again = build_cache(encoder, memory, "a" * 64, tmp_path, None)
    assert len(counting.seen) == 7
    for index in range(6):
        fresh = FreshlyEncoded(encoder, memory).rows([index]).tensors()
        for found in (cache.rows([index]).tensors(), again.rows([index]).tensors()):
            assert all(torch.equal(found[name], fresh[name]) for name in fresh)
    assert {path.suffix for path in folder.iterdir()} == {".safetensors", ".json"}, "no locks, nothing half-written"


def test_builders_at_the_same_time_share_the_work(
    encoder: ConditionEncoder, memory: ClipMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch, memory.clips.ids)
    caches: list[LatentCache] = []
    start = threading.Barrier(3)

    def build() -> None:
        start.wait()
        caches.append(build_cache(encoder, memory, "b" * 64, tmp_path, None))

    threads = [threading.Thread(target=build) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counting.seen) == list(range(6)), "every clip once, by one of them"
    assert len({cache.rows([5]).video.sum().item() for cache in caches}) == 1


def test_damaged_shards_and_those_of_another_key_are_made_anew(
    encoder: ConditionEncoder, memory: ClipMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = build_cache(encoder, memory, "c" * 64, tmp_path, None).rows(range(6)).tensors()
    monkeypatch.setattr("mask2iv.training.inputs.shards.KEPT_BYTES", 0)
    cache = build_cache(encoder, memory, "c" * 64, tmp_path, None)
    before = cache.rows(range(6)).tensors()
    assert all(torch.equal(kept[name], value) for name, value in before.items())
    files = sorted(cache.shards.folder.glob("*.safetensors"))
    files[0].write_bytes(b"garbage")
    with pytest.raises(InputError, match="start again to rebuild it"):
        cache.rows([0])
    counting = Counting(monkeypatch, memory.clips.ids)
    build_cache(encoder, memory, "c" * 63 + "d", tmp_path, None)
    assert sorted(counting.seen) == list(range(6)), "the same folder by its short name, another key"
    with safe_open(files[1], framework="pt") as file:
        assert file.metadata()["key"] == "c" * 63 + "d"
    after = build_cache(encoder, memory, "c" * 64, tmp_path, None).rows(range(6)).tensors()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_labels_survive_two_bits() -> None:
    labels = torch.randint(0, 4, (2, 3, 5, 16), dtype=torch.uint8)
    packed = caching._pack(labels)
    assert packed.shape == (2, 3, 5, 4)
    assert torch.equal(caching._unpack(packed), labels)


@pytest.mark.parametrize("name", ["trajectory", "video"])
def test_training_from_the_cache_has_the_losses_of_training_without(
    name: Any, encoder: ConditionEncoder, memory: ClipMemory, tiny_model: Path, tmp_path: Path
) -> None:
    """Mask perturbation included: it happens after the cache, on labels that are exact in it."""
    recipe = get_recipe("tiny")
    stage_recipe = replace(recipe.of(name), perturb=0.7)
    pipeline = Mask2IVPipeline.from_pretrained(tiny_model)
    stage = getattr(pipeline, f"{name}_stage")
    schedule = NoiseSchedule(recipe.schedule)
    losses = []
    for source in (build_cache(encoder, memory, "e" * 64, tmp_path, None), FreshlyEncoded(encoder, memory)):
        data = StageData(source, memory.captions, torch.full((6,), 8.0))
        batches = StageBatches(name, stage_recipe, "joint", encoder, data)
        for step in range(3):
            generators = [torch.Generator().manual_seed(step * 10 + position) for position in range(2)]
            latents, conditions, weight = batches.assemble([step, step + 3], generators)
            with torch.no_grad():
                losses.append(float(stage.loss(schedule, latents, conditions, weight, generators)))
    assert losses[:3] == losses[3:]
    assert len(set(losses)) == 3
