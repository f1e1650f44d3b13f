"""One scene, or one trajectory, to a result folder."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mask2iv.contract import Trajectory, UInt8Array
from mask2iv.errors import InputError
from mask2iv.files import disk_faults, write_json
from mask2iv.generation.acceleration import Acceleration
from mask2iv.generation.candidates import check_candidates, write_candidates
from mask2iv.generation.inputs import (
    check_fitting,
    check_same_picture,
    check_sampling,
    check_size_and_scales,
    file_record,
    read_scene,
    read_trajectory,
    with_sample,
)
from mask2iv.generation.loaded import LoadedModel, Made, check_model
from mask2iv.generation.options import Fitting, GuidanceOptions, Output, Sampling, SceneOptions
from mask2iv.generation.records import MANIFEST, comment_of, digests
from mask2iv.generation.results import (
    input_pictures,
    result_folder,
    write_animations,
    write_filmstrip,
    write_trajectory,
)
from mask2iv.media.images import read_image, write_png
from mask2iv.media.videos import write_video
from mask2iv.stages.interfaces import VideoRequest
from mask2iv.stages.scene import Scene
from mask2iv.trajectories.labels import labels_to_rgb

T = TypeVar("T")


def generate(
    scene: SceneOptions,
    fitting: Fitting,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    samples: int = 1,
    batch_size: int = 1,
    candidates: int = 1,
    keep: int = 1,
) -> None:
    """Both stages, as often as there are samples, into one result folder; or of the best `keep` candidates.

    Raises:
        InputError: names the field; most are found before the model is loaded.
    """
    _from_scene(
        "generate", scene, fitting, guidance, sampling, acceleration, output, samples, batch_size, candidates, keep
    )


def predict(
    scene: SceneOptions,
    fitting: Fitting,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    candidates: int = 1,
    keep: int = 1,
) -> None:
    """Stage 1 alone. Raises InputError as :func:`generate`."""
    _from_scene("trajectory", scene, fitting, guidance, sampling, acceleration, output, 1, 1, candidates, keep)


def render(
    image: Path,
    trajectory: Path,
    fitting: Fitting,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    any_picture: bool = False,
) -> None:
    """Stage 2 alone. With `any_picture` the trajectory may have been made for another picture.

    Raises:
        InputError: as :func:`generate`.
    """
    check_sampling(sampling)
    check_fitting(fitting)
    check_model("render", sampling.model)
    picture = read_image(image, "image")
    given, record = read_trajectory(trajectory)
    if not any_picture:
        check_same_picture(image, trajectory)
    inputs, seed = {"image": file_record(image), "trajectory": record}, sampling.seed
    with result_folder(output, [image, trajectory]) as folder:
        model = LoadedModel("render", sampling, acceleration)
        model.settings |= {"height": given.size[0], "width": given.size[1], "fps": given.fps}
        try:
            frame, placement = model.pipeline.first_frame(picture, given, given.size, fitting.fit, fitting.fit_scale)
            request = VideoRequest(frame, given)
            [video] = model.render([request], [seed])
        except InputError as error:
            # The trajectory sets the size here.
            raise (error.about(f"trajectory of {error.field}") if error.field.startswith("size") else error) from error
        with disk_faults(output.out):
            own = {"seed": seed, "any_picture": any_picture, "fit": fitting.fit, "fit_scale": fitting.fit_scale}
            record = model.record(inputs, own, placement, digests(given, video))
            write_video(folder / "video.mp4", video, given.fps, comment=comment_of(record))
            write_animations(folder, output, "video", video, given.fps)
            write_filmstrip(folder, ("picture", request.image[None]), given, video)
            write_json(folder / MANIFEST, record)
    print(f"{output.out}: {', '.join(['video.mp4', *(f'video{suffix}' for suffix in output.animations)])}")


def _from_scene(
    command: str,
    scene: SceneOptions,
    fitting: Fitting,
    guidance: GuidanceOptions,
    sampling: Sampling,
    acceleration: Acceleration,
    output: Output,
    samples: int,
    batch_size: int,
    candidates: int,
    keep: int,
) -> None:
    scene = with_sample(scene)
    check_candidates(candidates, keep, samples)
    check_sampling(sampling, candidates if candidates > 1 else samples, batch_size)
    check_fitting(fitting)
    size = check_size_and_scales(guidance, scene)
    check_model(command, sampling.model)
    read = read_scene(scene)
    with result_folder(output, scene.files) as folder:
        model = LoadedModel(command, sampling, acceleration, batch_size)
        model.settle(guidance, size)
        model.tell_of_prompts([read.scene.prompt])
        common = model.prompt_record(read.scene.prompt) | model.fit_record(fitting)
        resized = model.fitted(read.scene, fitting)
        started = time.perf_counter()
        if read.found_mask:
            with disk_faults(output.out):
                write_png(folder / "object_mask.png", read.scene.object_mask)
        if candidates > 1:
            results = _best(model, resized, sampling.seed, candidates, keep)
            common |= {"candidates": candidates, "first_seed": sampling.seed}
        else:
            results = _samples(model, resized, sampling.seed, samples, batch_size)
        seeds = {}
        for part, made in results:
            seeds[part] = made.seed
            with disk_faults(output.out):
                own = {**common, "seed": made.seed, **made.record}
                record = model.record(read.record, own, resized.placement, digests(made.trajectory, made.video))
                write_result(folder / part, output, resized, made.trajectory, made.video, record)
                if made.candidates and len(seeds) == 1:
                    write_candidates(folder, made.candidates)
        if len(seeds) > 1:
            model.seconds = {"load": model.seconds["load"], "samples": round(time.perf_counter() - started, 3)}
            write_json(folder / MANIFEST, model.record(read.record, {**common, "seeds": seeds}, resized.placement))
    film = "video" if "video" in model.steps else "trajectory"
    written = ["trajectory/", "trajectory.mp4", *(["video.mp4"] if film == "video" else [])]
    written += [f"{film}{suffix}" for suffix in output.animations]
    print(f"{output.out}: {', '.join(written)}" + (f" in each of {len(seeds)} folders" if len(seeds) > 1 else ""))
    if candidates > 1:
        print(f"{output.out}: scores.json, candidates.png, candidates/")


def _samples(model: LoadedModel, scene: Scene, seed: int, samples: int, batch_size: int) -> Iterator[tuple[str, Made]]:
    """Each sample and its folder."""
    parts = [f"sample-{index:03d}" for index in range(samples)] if samples > 1 else ["."]
    for batch in batched(zip(parts, range(seed, seed + samples), strict=True), batch_size):
        if samples > 1:
            print("; ".join(f"{part}, seed {seed}" for part, seed in batch), file=sys.stderr)
        made = model.make([scene] * len(batch), [seed for _, seed in batch])
        yield from zip((part for part, _ in batch), made, strict=True)


def _best(model: LoadedModel, scene: Scene, seed: int, candidates: int, keep: int) -> Iterator[tuple[str, Made]]:
    """Each of the best candidates and its folder."""
    for rank, made in enumerate(model.best(scene, seed, candidates, keep)):
        yield f"best-{rank:03d}" if keep > 1 else ".", made


def write_result(
    folder: Path,
    output: Output,
    scene: Scene,
    trajectory: Trajectory,
    video: UInt8Array | None,
    record: Mapping[str, Any],
) -> None:
    """Writes trajectory, filmstrip, manifest and, where there is one, the video. The scene is of the result's size.

    The film that was asked for carries its record: the video, or of stage 1 alone that of the trajectory.
    """
    comment = comment_of(record)
    if video is None:
        write_trajectory(folder, trajectory, comment)
        write_animations(folder, output, "trajectory", labels_to_rgb(trajectory.labels), trajectory.fps)
    else:
        write_trajectory(folder, trajectory)
        write_video(folder / "video.mp4", video, trajectory.fps, comment=comment)
        write_animations(folder, output, "video", video, trajectory.fps)
    write_filmstrip(folder, input_pictures(scene), trajectory, video)
    write_json(folder / MANIFEST, record)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
