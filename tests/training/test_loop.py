"""The loop resumes exactly, refuses foreign checkpoints and samples every clip."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mask2iv.checkpoint import list_checkpoints
from mask2iv.errors import InputError
from mask2iv.training.config import TrainingConfig
from mask2iv.training.loop import Trainer, batch_indices

CONFIG = TrainingConfig(
    max_steps=10, batch_size=4, learning_rate=0.05, warmup_steps=3, ema_decay=0.9, checkpoint_every=2, log_every=1
)


class Interrupted(Exception):
    pass


def make(run_dir: Path, config: TrainingConfig = CONFIG, stop_at: int | None = None, identity: str = "a") -> Trainer:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))

    def loss(step: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if step == stop_at:
            raise Interrupted
        x = torch.randn(config.batch_size, 3, generator=generator)
        return {"loss": (model(x).squeeze(1) - x.sum(dim=1)).square().mean()}

    return Trainer(model, config, run_dir, loss, lambda step: {"step": float(step)}, {"run": identity})


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.parameters]


def test_a_resumed_run_ends_bit_identical_to_an_undisturbed_one(tmp_path: Path) -> None:
    straight = make(tmp_path / "straight")
    straight.run()
    with pytest.raises(Interrupted):
        make(tmp_path / "broken", stop_at=7).run()
    resumed = make(tmp_path / "broken")
    resumed.run("latest")
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))
    first, second = ((tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("straight", "broken"))
    losses = [[json.loads(line).get("loss") for line in lines] for lines in (first, second)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 11, "ten steps and the final validation, each once"


def test_the_result_is_the_moving_average(tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.run()
    assert all(torch.equal(a, b) for a, b in zip(weights(trainer), trainer.ema.shadow_params, strict=True))


def test_old_checkpoints_are_removed_and_latest_without_any_starts_anew(tmp_path: Path) -> None:
    trainer = make(tmp_path, replace(CONFIG, checkpoints_total_limit=2))
    trainer.run("latest")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-00000008", "checkpoint-00000010"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    make(tmp_path).run()
    with pytest.raises(InputError, match="belongs to another run"):
        make(tmp_path, identity="b").run("latest")


def test_a_missing_checkpoint_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a complete checkpoint"):
        make(tmp_path).run(str(tmp_path / "checkpoint-00000099"))


def test_a_damaged_checkpoint_is_an_error_that_names_it(tmp_path: Path) -> None:
    make(tmp_path).run()
    (tmp_path / "checkpoint-00000010" / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(InputError, match="checkpoint-00000010 cannot be read"):
        make(tmp_path, replace(CONFIG, max_steps=12)).run("latest")


def test_a_diverging_run_stops_with_the_step(tmp_path: Path) -> None:
    trainer = make(tmp_path)
    trainer.loss = lambda step, generator: {"loss": trainer.parameters[0].sum() * float("nan")}
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.run()


def test_every_clip_is_seen_once_an_epoch_in_changing_order() -> None:
    seen = [index for step in range(6) for index in batch_indices(9, 3, 5, step)]
    assert sorted(seen[:9]) == sorted(seen[9:]) == list(range(9))
    assert seen[:9] != seen[9:]
    assert batch_indices(9, 3, 5, 2) == batch_indices(9, 3, 5, 2)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    config = TrainingConfig(max_steps=100, learning_rate=1.0, warmup_steps=10, decay_steps=20)
    rates = [config.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[50] == rates[80] == 1.0
    assert rates[99] == pytest.approx(0.05)
