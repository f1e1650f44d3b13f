"""Settings of the engine: schedules, sizes, and contradictions that are refused."""

import pytest

from mask2iv.errors import InputError
from mask2iv.recipes.training import TrainingConfig


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = TrainingConfig(max_steps=100, learning_rate=1.0, warmup_steps=10, decay_steps=20)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[50] == rates[80] == 1.0
    assert rates[99] == pytest.approx(0.05)


def test_a_cosine_falls_slowly_first_and_last_and_a_constant_rate_stays() -> None:
    cosine = TrainingConfig(max_steps=100, learning_rate=1.0, decay_steps=100, lr_schedule="cosine")
    assert cosine.rate(0) == 1.0
    assert cosine.rate(50) == pytest.approx(0.5)
    assert cosine.rate(10) > 0.9 > 0.1 > cosine.rate(90)
    constant = TrainingConfig(max_steps=100, learning_rate=1.0, lr_schedule="constant", warmup_steps=2)
    assert [constant.rate(step) for step in (0, 1, 99)] == [0.5, 1.0, 1.0]


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (
            {"batch_size": 6, "gradient_accumulation_steps": 4},
            "batch_size: must be a multiple of .*=4, found 6",
        ),
        (
            {"lr_schedule": "constant", "decay_steps": 5},
            "decay_steps: must be 0, .* constant, found 5",
        ),
        ({"lr_schedule": "cosine"}, "lr_schedule: cosine needs decay_steps"),
        ({"max_shard_size": "15 bananas"}, "max_shard_size: must be a size such as 15MiB"),
        ({"max_shard_size": "1KiB"}, "max_shard_size: must be at least 64KiB"),
        ({"lora_rank": -1}, "lora_rank: must be at least 0"),
        ({"max_bad_steps": -1}, "max_bad_steps: must be at least 0"),
    ],
)
def test_contradictions_are_refused(values: dict, match: str) -> None:
    with pytest.raises(InputError, match=match):
        TrainingConfig(**values)
