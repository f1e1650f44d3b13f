"""The pictures of the documentation's first pages, from a result of the shipped model:

mask2iv generate --sample cup --out /tmp/cup --webp
python benchmarks/pictures/figures.py /tmp/cup --out docs/images/first
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from mask2iv.contract import Label, UInt8Array
from mask2iv.media.animations import write_animation
from mask2iv.media.filmstrip import filmstrip, overlay
from mask2iv.media.images import read_image, write_png
from mask2iv.media.videos import read_video
from mask2iv.samples import sample_folder
from mask2iv.trajectories.labels import labels_to_rgb
from mask2iv.trajectories.masks import load_mask
from mask2iv.trajectories.morphology import contact_map, dilate_labels, erode_labels
from mask2iv.trajectories.plan import plan_of
from mask2iv.trajectories.storage import load_trajectory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, help="folder that generate wrote for the sample cup")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    trajectory = load_trajectory(given.result / "trajectory")
    labels, fps = trajectory.labels, trajectory.fps
    video = read_video(given.result / "video.mp4").frames
    cup = sample_folder("cup")
    image = read_image(cup / "image.png")
    mask = load_mask(cup / "object_mask.png", image.shape[:2])
    start = np.where(mask, Label.OBJECT, Label.BACKGROUND).astype(np.uint8)

    write_png(given.out / "input.png", overlay(image[None], start[None])[0])
    write_animation(given.out / "trajectory.webp", labels_to_rgb(labels), fps)
    write_animation(given.out / "video.webp", video, fps)
    write_animation(given.out / "masks-over-video.webp", overlay(video, labels), fps)
    write_png(given.out / "contact.png", filmstrip([("contact map, 7 x 7 dilation", _contacts(labels))], 6))
    write_png(given.out / "perturbed.png", filmstrip(_perturbed(labels), 6))
    write_png(given.out / "plan.png", _plan(image, labels))


def _contacts(labels: UInt8Array) -> UInt8Array:
    """Label colours, dimmed, with the contact map in white."""
    pictures = labels_to_rgb(labels) // 3
    for picture, frame in zip(pictures, labels, strict=True):
        picture[contact_map(frame == Label.ACTOR, frame == Label.OBJECT)] = 255
    return pictures


def _perturbed(labels: UInt8Array) -> list[tuple[str, UInt8Array]]:
    given = torch.from_numpy(labels)
    return [
        ("as predicted", labels_to_rgb(labels)),
        ("dilated by 7", labels_to_rgb(dilate_labels(given, 7).numpy())),
        ("eroded by 7", labels_to_rgb(erode_labels(given, 7).numpy())),
    ]


def _plan(image: UInt8Array, labels: UInt8Array) -> UInt8Array:
    """The plan's places of the object over the picture, early ones dark, late ones bright."""
    page = Image.fromarray(image).resize((2 * image.shape[1], 2 * image.shape[0]), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(page)
    plan = plan_of(labels)
    centres = [tuple(place) for place in 2 * (labels.shape[1] - 1) * (np.array(plan.start) + plan.shift)]
    draw.line(centres, fill=(255, 220, 60), width=3)
    for index, (x, y) in enumerate(centres):
        shade = 60 + 195 * index // max(1, len(centres) - 1)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(shade, 30, 30), outline=(255, 255, 255))
    return np.asarray(page)


if __name__ == "__main__":
    main()
