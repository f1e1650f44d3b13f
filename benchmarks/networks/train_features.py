"""Trains the feature network of FVD-sim on clip sets, and states its accuracy on held-out ones.

    python benchmarks/networks/train_features.py --data data/train --held-out data/validation --out fvd-sim

Classes are those that occur in the training sets, sorted. ``--out`` is a folder that
``mask2iv evaluate --weights fvd-sim=FOLDER`` takes; the one that ships is ``src/mask2iv/weights/fvd-sim``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from mask2iv.data.store import ClipSet
from mask2iv.evaluation.networks.features import QUESTIONS, FeatureConfig, FeatureNet, save_feature_net
from mask2iv.files import sha256_file
from mask2iv.manifest import versions


def load(sets: list[ClipSet], net: FeatureNet, cache: Path | None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Pictures uint8 [N, T, H, W, 3] and class indices [N] per question; a class unknown to the network is -100."""
    rows = [row for clips in sets for row in clips.rows]
    answers = {
        name: torch.tensor([index.get(row[name], -100) for row in rows])
        for name in QUESTIONS
        for index in [{value: i for i, value in enumerate(net.config.classes(name))}]
    }
    if cache is not None and cache.is_file():
        return torch.from_numpy(np.load(cache)), answers
    count = sum(len(clips) for clips in sets)
    pictures = [net.prepare(clip.video) for clips in sets for clip in tqdm(clips, desc="read", total=count)]
    if cache is not None:
        np.save(cache, np.stack(pictures))
    return torch.from_numpy(np.stack(pictures)), answers


def batch_of(pictures: torch.Tensor, picks: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """[B, 3, T, H, W] in [-1, 1]; with a generator, mirrored, shifted and tinted at random."""
    x = pictures[picks].permute(0, 4, 1, 2, 3).float() / 127.5 - 1.0
    if generator is None:
        return x.contiguous(memory_format=torch.channels_last_3d)
    draws = torch.rand(len(x), 5, generator=generator)
    for i, draw in enumerate(draws):
        if draw[0] < 0.5:
            x[i] = x[i].flip(-1)
        down, right = (int(d * 9) - 4 for d in draw[1:3])
        x[i] = x[i].roll((down, right), dims=(-2, -1))
        x[i] = x[i] * (0.8 + 0.4 * draw[3]) + 0.2 * (draw[4] - 0.5)
    return x.contiguous(memory_format=torch.channels_last_3d)


@torch.no_grad()
def accuracy(net: FeatureNet, pictures: torch.Tensor, answers: dict[str, torch.Tensor]) -> dict[str, float]:
    net.eval()
    parts = [net(batch_of(pictures, picks, None)) for picks in torch.arange(len(pictures)).split(32)]
    logits = net.logits(torch.cat(parts))
    return {name: round(float((logits[name].argmax(1) == answers[name]).float().mean()), 4) for name in QUESTIONS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="clip sets to train on")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="clip sets to state the accuracy on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=FeatureConfig.frames, help="that the network sees of a clip")
    parser.add_argument("--bf16", action="store_true", help="bfloat16 convolutions: faster on some CPUs")
    parser.add_argument("--cache", type=Path, help="folder to keep the resized pictures in, to train again sooner")
    args = parser.parse_args()

    train, held_out = [ClipSet(path) for path in args.data], [ClipSet(path) for path in args.held_out]
    rows = [row for clips in train for row in clips.rows]
    classes = {name: tuple(sorted({row[name] for row in rows})) for name in QUESTIONS}
    torch.manual_seed(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    net = FeatureNet(FeatureConfig(**classes, frames=args.frames)).to(memory_format=torch.channels_last_3d)
    caches = [None, None] if args.cache is None else [args.cache / "train.npy", args.cache / "held_out.npy"]
    pictures, answers = load(train, net, caches[0])
    tests = load(held_out, net, caches[1])

    steps = args.epochs * (len(pictures) // args.batch_size)
    optimizer = torch.optim.AdamW(net.parameters(), lr=args.learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.learning_rate, total_steps=steps, pct_start=0.15)
    started = time.process_time()
    bar = tqdm(total=steps, desc="train", unit="step")
    for epoch in range(args.epochs):
        net.train()
        order = torch.randperm(len(pictures), generator=generator)
        for picks in order.split(args.batch_size):
            if len(picks) < args.batch_size:
                continue
            with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
                features = F.dropout(net(batch_of(pictures, picks, generator)), 0.2, training=True)
                logits = net.logits(features)
            losses = [F.cross_entropy(logits[q].float(), answers[q][picks], label_smoothing=0.05) for q in QUESTIONS]
            loss = torch.stack(losses).sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
        tqdm.write(f"epoch {epoch + 1}: loss {float(loss):.3f}, held out {accuracy(net, *tests)}")
    card = {
        "data": [str(path.name) for path in args.data],
        "data_index_sha256": [sha256_file(path / "index.jsonl") for path in args.data],
        "clips": len(pictures),
        "epochs": args.epochs,
        "batch_size": args.batch_size,
        "learning_rate": args.learning_rate,
        "seed": args.seed,
        "cpu_seconds": round(time.process_time() - started),
        "held_out_clips": len(tests[0]),
        "held_out_index_sha256": [sha256_file(path / "index.jsonl") for path in args.held_out],
        "held_out_accuracy": accuracy(net, *tests),
        "chance": {name: round(1 / len(classes[name]), 4) for name in QUESTIONS},
        "versions": versions(),
    }
    save_feature_net(net, args.out, card)
    print(f"{args.out}: {sum(p.numel() for p in net.parameters())} parameters, held out {card['held_out_accuracy']}")


if __name__ == "__main__":
    main()
