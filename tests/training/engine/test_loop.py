"""The loop resumes exactly, refuses foreign checkpoints, skips bad steps and keeps the chosen weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from mask2iv.errors import InputError
from mask2iv.models.dropout import SampleDropout
from mask2iv.recipes.training import TrainingConfig
from mask2iv.training.engine.checkpoint import list_checkpoints, load_checkpoint
from mask2iv.training.engine.loop import Trainer, Validation
from mask2iv.training.engine.processes import start_processes
from mask2iv.training.engine.run import Run
from mask2iv.training.engine.samples import Samples, rows_at, step_samples

CONFIG = TrainingConfig(
    max_steps=10, batch_size=4, learning_rate=0.05, warmup_steps=3, ema_decay=0.9, checkpoint_every=2, log_every=1
)
NAMES = [f"clip-{index}" for index in range(9)]
MakeRun = Callable[..., Run]


class Interrupted(Exception):
    pass


def make(run: Run, config: TrainingConfig = CONFIG, stop_at: int | None = None) -> Trainer:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), SampleDropout(0.2), nn.Linear(8, 1))

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        if samples.step == stop_at:
            raise Interrupted
        x = torch.stack([torch.randn(3, generator=generator) for generator in samples.generators()])
        x = x.to(next(model.parameters()).device)
        return {"loss": (model(x).squeeze(1).float() - x.sum(dim=1)).square().mean()}

    return Trainer(model, config, run, loss, NAMES, Validation(lambda step: {"step": float(step)}, "step"))


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for p in trainer.parameters.values()]


def averages(trainer: Trainer) -> list[torch.Tensor]:
    return [trainer.ema.value(index).clone() for index in range(len(trainer.parameters))]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "adamw-fused", "adamw-8bit"])
def test_a_resumed_run_ends_bit_identical_to_an_undisturbed_one(
    optimizer: str, tmp_path: Path, make_run: MakeRun
) -> None:
    if optimizer == "adamw-8bit":
        pytest.importorskip("bitsandbytes")
    config = replace(CONFIG, optimizer=optimizer)
    straight = make(make_run(tmp_path / "straight", config), config)
    straight.run()
    with pytest.raises(Interrupted):
        make(make_run(tmp_path / "broken", config), config, stop_at=7).run()
    resumed = make(make_run(tmp_path / "broken", config, "latest"), config)
    resumed.run()
    assert equal(weights(straight), weights(resumed))
    first, second = ((tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("straight", "broken"))
    losses = [[json.loads(line).get("loss") for line in lines] for lines in (first, second)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 11, "ten steps and the final validation, each once"


def test_accumulated_steps_and_an_average_kept_on_the_cpu_change_nothing_but_rounding(
    tmp_path: Path, make_run: MakeRun
) -> None:
    parts = replace(CONFIG, gradient_accumulation_steps=2, ema_device="cpu", checkpoint_every=5)
    whole, divided = (
        make(make_run(tmp_path / str(index), config), config) for index, config in enumerate((CONFIG, parts))
    )
    whole.run()
    divided.run()
    for a, b in zip(weights(whole), weights(divided), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_result_is_the_moving_average(tmp_path: Path, make_run: MakeRun) -> None:
    trainer = make(make_run(tmp_path, CONFIG))
    trainer.run()
    assert equal(weights(trainer), averages(trainer))


def test_without_an_average_the_result_is_the_last_steps_weights(tmp_path: Path, make_run: MakeRun) -> None:
    config = replace(CONFIG, ema_decay=0.0, validate_every=3)
    straight = make(make_run(tmp_path / "straight", config), config)
    validated: list[list[torch.Tensor]] = []

    def figures(step: int) -> dict[str, float]:
        validated.append(weights(straight))
        return {"step": float(step)}

    straight.validation = Validation(figures, "step")
    straight.run()
    assert equal(weights(straight), validated[-1])
    assert not equal(validated[-1], validated[-2])
    with pytest.raises(Interrupted):
        make(make_run(tmp_path / "broken", config), config, stop_at=7).run()
    resumed = make(make_run(tmp_path / "broken", config, "latest"), config)
    resumed.run()
    assert equal(weights(resumed), weights(straight))
    assert resumed.ema.steps == straight.ema.steps == 10
    assert not list((tmp_path / "straight").glob("checkpoint-*/ema*")), "no second copy of the weights"


def test_the_best_weights_are_kept_by_choice(tmp_path: Path, make_run: MakeRun) -> None:
    """The measure falls after step 6; its weights are those of a run that ends there."""
    config = replace(CONFIG, validate_every=3, keep="best")
    trainer = make(make_run(tmp_path / "long", config), config)
    trainer.validation = Validation(lambda step: {"quality": -abs(step - 6.0)}, "quality")
    trainer.run()
    short = make(make_run(tmp_path / "short", CONFIG), replace(CONFIG, max_steps=6))
    short.run()
    assert equal(weights(trainer), weights(short))
    assert [path.name for path in list_checkpoints(tmp_path / "long", "best")] == ["best-00000006"]
    assert trainer.progress.best == {"quality": 0.0, "step": 6}


def test_old_checkpoints_are_removed_and_latest_without_any_starts_anew(tmp_path: Path, make_run: MakeRun) -> None:
    make(make_run(tmp_path, CONFIG, "latest")).run()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-00000008", "checkpoint-00000010"]


def test_a_new_run_does_not_mix_with_an_old_one(tmp_path: Path, make_run: MakeRun) -> None:
    make(make_run(tmp_path, CONFIG)).run()
    with pytest.raises(InputError, match="holds a run up to checkpoint-00000010; resume from the latest checkpoint"):
        make(make_run(tmp_path, CONFIG)).run()


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, make_run: MakeRun) -> None:
    make(make_run(tmp_path, CONFIG)).run()
    with pytest.raises(InputError, match="belongs to another run: run was 'a', now 'b'"):
        make(make_run(tmp_path, CONFIG, "latest", "b")).run()


def test_a_missing_checkpoint_is_an_error(tmp_path: Path, make_run: MakeRun) -> None:
    with pytest.raises(InputError, match="not a complete checkpoint"):
        make(make_run(tmp_path, CONFIG, str(tmp_path / "checkpoint-00000099"))).run()


def test_a_damaged_checkpoint_is_named_with_the_one_before(tmp_path: Path, make_run: MakeRun) -> None:
    make(make_run(tmp_path, CONFIG)).run()
    longer = replace(CONFIG, max_steps=12)
    path = tmp_path / "checkpoint-00000010" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    match = "checkpoint-00000010: this checkpoint cannot be read .*; remove it to resume from .*checkpoint-00000008"
    with pytest.raises(InputError, match=match):
        make(make_run(tmp_path, longer, "latest"), longer).run()
    with pytest.raises(InputError, match="later checkpoints than checkpoint-00000008 "):
        make(make_run(tmp_path, longer, str(tmp_path / "checkpoint-00000008")), longer).run()
    shutil.rmtree(path.parent)
    earlier = make(make_run(tmp_path, longer, str(tmp_path / "checkpoint-00000008")), longer)
    earlier.run()
    assert earlier.step == 12


def test_leftovers_of_killed_writers_are_removed_at_the_start(tmp_path: Path, make_run: MakeRun) -> None:
    leftover = tmp_path / ".checkpoint-00000002.0123456789ab"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    make(make_run(tmp_path, CONFIG)).run()
    assert not leftover.exists()
    assert (tmp_path / "notes.txt").exists()


def spoil(trainer: Trainer, steps: set[int]) -> None:
    healthy = trainer.loss

    def loss(samples: Samples) -> dict[str, torch.Tensor]:
        terms = healthy(samples)
        return {"loss": terms["loss"] * float("nan")} if samples.step in steps else terms

    trainer.loss = loss


def test_a_bad_step_is_skipped_counted_and_logged_with_its_clips(tmp_path: Path, make_run: MakeRun) -> None:
    trainer = make(make_run(tmp_path, CONFIG))
    spoil(trainer, {0, 4})
    trainer.run()
    assert all(torch.isfinite(p).all() for p in weights(trainer))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    skipped = [line for line in lines if "skipped" in line]
    assert [line["step"] for line in skipped] == [0, 4]
    clips = [NAMES[row] for row in rows_at(9, 0, range(16, 20))]
    assert skipped[1]["clips"].split(", ") == clips
    assert lines[-2]["bad_steps"] == 2
    state = load_checkpoint(list_checkpoints(tmp_path)[-1], ())[1]
    assert state["progress"]["bad_steps"] == 2
    assert state["ema_steps"] == 8


def test_too_many_bad_steps_stop_the_run_with_step_and_clips(tmp_path: Path, make_run: MakeRun) -> None:
    config = replace(CONFIG, max_bad_steps=2)
    trainer = make(make_run(tmp_path, config), config)
    spoil(trainer, set(range(3, 10)))
    with pytest.raises(InputError, match=r"max_bad_steps: at most 2 .* found 3; .* loss nan at step 5, clips clip-\d"):
        trainer.run()


def test_a_gradient_scaler_is_stored_and_an_overflow_is_no_bad_step(tmp_path: Path, make_run: MakeRun) -> None:
    """fp16 needs a GPU, but PyTorch's scaler runs on the CPU too."""

    def scaled(folder: Path, resume: str | None = None) -> Trainer:
        trainer = make(make_run(folder, CONFIG, resume))
        scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, growth_interval=100)
        trainer.accelerator.scaler, trainer.accelerator.native_amp = scaler, True
        trainer.accelerator.state._mixed_precision = "fp16"
        trainer.optimizer = type(trainer.optimizer)(trainer.optimizer.optimizer, scaler=scaler)
        trainer.accelerator._optimizers[:] = [trainer.optimizer]
        trainer.accelerator.autocast = lambda: torch.autocast("cpu", enabled=False)  # type: ignore[method-assign]
        return trainer

    first = scaled(tmp_path)
    first.run()
    assert first.progress.bad_steps == 0
    assert first.ema.steps < 10, "the first steps overflow"
    state = load_checkpoint(tmp_path / "checkpoint-00000010", ())[1]
    assert state["scaler"] == first.accelerator.scaler.state_dict()
    assert state["scaler"]["scale"] < 2.0**127
    shutil.rmtree(tmp_path / "checkpoint-00000010")
    middle = scaled(tmp_path, str(tmp_path / "checkpoint-00000008"))
    middle.run()
    assert middle.accelerator.scaler.state_dict() == state["scaler"]
    assert equal(weights(first), weights(middle))


def test_every_clip_is_seen_once_an_epoch_in_changing_order() -> None:
    seen = rows_at(9, 5, range(18))
    assert sorted(seen[:9]) == sorted(seen[9:]) == list(range(9))
    assert seen[:9] != seen[9:]


def test_samples_do_not_depend_on_processes_or_accumulation() -> None:
    config = replace(CONFIG, batch_size=8)
    [whole] = step_samples(config, 9, 3)
    parts = [
        part
        for process in range(2)
        for part in step_samples(replace(config, gradient_accumulation_steps=2), 9, 3, process, 2)
    ]
    assert [row for part in parts for row in part.rows] == whole.rows
    assert [seed for part in parts for seed in part.seeds] == whole.seeds
    assert len(set(whole.seeds)) == 8
    with pytest.raises(InputError, match="use a multiple of 3"):
        step_samples(config, 9, 0, 0, 3)


def test_dropout_of_a_sample_follows_its_seed_wherever_it_stands() -> None:
    layer = SampleDropout(0.5)
    x = torch.ones(4, 6, 100)
    layer.seeds = [11, 12]
    both = layer(x)
    layer.seeds = [12]
    assert torch.equal(layer(x[2:]), both[2:])
    assert not torch.equal(both[:2], both[2:])
    assert both.unique().tolist() == [0.0, 2.0]
    assert abs(float(both.mean()) - 1) < 0.1
    assert torch.equal(layer.eval()(x), x)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_on_a_gpu_resumes_with_its_scaler(precision: str, tmp_path: Path) -> None:
    config = replace(CONFIG, mixed_precision=precision, ema_device="cpu", optimizer="adamw-fused")

    def trained(folder: Path, stop_at: int | None = None, resume: str | None = None) -> list[torch.Tensor]:
        with start_processes(config, "cuda", folder) as accelerator:
            trainer = make(Run(folder, accelerator, resume, {"run": "a"}), config, stop_at)
            trainer.run()
            return weights(trainer)

    straight = trained(tmp_path / "straight")
    with pytest.raises(Interrupted):
        trained(tmp_path / "broken", stop_at=7)
    for a, b in zip(straight, trained(tmp_path / "broken", resume="latest"), strict=True):
        torch.testing.assert_close(a, b)
