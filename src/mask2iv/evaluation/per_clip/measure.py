"""Everything that is measured of one clip's outputs; the networks are loaded once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mask2iv.contract import Clip, Trajectory, UInt8Array
from mask2iv.evaluation.measures import baselines, fidelity, metrics, scorecard
from mask2iv.evaluation.measures.paper import Convention, psnr_by_frame
from mask2iv.evaluation.networks.features import QUESTIONS, SHIPPED, FeatureNet, feature_net_digest, load_feature_net
from mask2iv.evaluation.networks.learned import I3D, I3D_FRAMES, Inception, VideoText, lpips_net, lpips_of_video
from mask2iv.evaluation.networks.weights import HOW_TO_GET, METRICS, NEEDS, Weights, unavailable
from mask2iv.evaluation.per_clip.catalogue import DISTRIBUTIONS
from mask2iv.models.lpips import LPIPS, shipped_identity
from mask2iv.segmentation.motion import resegment
from mask2iv.segmentation.sam2 import Sam2Tracker

STILL, PASTED, TRUE_VIDEO = "still", "pasted", "true"
"""Reference systems: the first frame repeated, its object cut out and moved along the true trajectory, and the true
video (the ceiling)."""

Features = dict[str, NDArray[np.float32]]
Measures = dict[str, float | None]
References = tuple[dict[str, Measures], dict[str, Features]]

PROTOCOLS = {
    "psnr": "dB, from the mean squared error of a video over the frames after the first; at most 100; also where "
    "pixels change, in the true video's moved object and in its actor; with it, detail and the actor's flicker",
    "ssim": "Wang et al. 2004: Gaussian window 11x11, sigma 1.5, per channel, frames after the first",
    "lpips": "version 0.1, AlexNet, frames after the first, at the scored size",
    "fvd": "I3D (TorchScript, 400 logits), all frames, resized to 224x224 by the module, one video per clip and seed",
    "fvd-sim": "features of the shipped network trained on simulated clips, and what it recognises; not comparable "
    "with FVD",
    "fid": "Inception v3 (TorchScript, 2048 pooled features), frames after the first",
    "v2v": "cosine of X-CLIP video embeddings; evenly spread frames, shortest side resized, centre crop",
    "t2v": "cosine of the X-CLIP embeddings of video and caption",
    "interaction": "scorecard; masks of videos found again in them from the first frame's masks",
}
PAPERS_PROTOCOLS = {
    "psnr": "dB, mean over all frames, the first among them, of each frame's (at most 100); what stands with it is as "
    "in the own protocol",
    "fvd": "I3D (TorchScript, 400 logits), all frames, shorter side to 224 (bilinear, not antialiased) and the middle "
    "224x224 cut out, as in StyleGAN-V; one video per clip and seed",
}
"""What the paper's convention changes."""


@dataclass
class Measurer:
    """The chosen metrics with their networks.

    Attributes:
        chosen: names of :data:`~mask2iv.evaluation.networks.weights.METRICS` that can be measured.
        missing: wanted metrics that cannot, with the reason.
        weights: identities of the weights in use.
        convention: by whose rules PSNR, FVD and the mIoU of trajectories are taken.
    """

    chosen: tuple[str, ...]
    missing: dict[str, str]
    weights: dict[str, dict[str, str]]
    lpips: LPIPS | None = None
    i3d: I3D | None = None
    inception: Inception | None = None
    video_text: VideoText | None = None
    sim: FeatureNet | None = None
    tracker: Sam2Tracker | None = None
    finds_masks: bool = True
    convention: Convention = "own"
    _references: dict[str, References] = field(default_factory=dict, repr=False)

    @classmethod
    def load(
        cls,
        wanted: Sequence[str],
        given: Mapping[str, Weights] | None = None,
        device: str | torch.device = "cpu",
        convention: Convention = "own",
    ) -> Measurer:
        """Load what the wanted metrics need.

        Args:
            wanted: names of metrics.
            given: weights by name.
            device: where networks compute.
            convention: by whose rules to measure.

        Raises:
            InputError: unusable weights, or TorchScript without a stated digest.
        """
        given, device = dict(given or {}), torch.device(device)
        missing = unavailable(wanted, given)
        chosen = tuple(name for name in METRICS if name in wanted and name not in missing)
        used = {NEEDS.get(name, name) for name in chosen}
        identities = {name: w.identity() for name, w in given.items() if name in used}
        built = cls(chosen, missing, identities, convention=convention)
        if "lpips" in chosen:
            built.lpips = lpips_net(given.get("lpips")).to(device)
            built.weights.setdefault("lpips", shipped_identity())
        if "fvd" in chosen:
            built.i3d = I3D(given["fvd"], device, convention)
        if "fid" in chosen:
            built.inception = Inception(given["fid"], device)
        if "video-text" in used:
            built.video_text = VideoText(given["video-text"].place, device)
        if "fvd-sim" in chosen:
            folder = Path(given["fvd-sim"].place) if "fvd-sim" in given else SHIPPED
            built.sim = load_feature_net(folder).to(device)
            built.weights["fvd-sim"] = {"name": folder.name, "sha256": feature_net_digest(folder)}
        if "interaction" in chosen and "sam2" in given:
            built.tracker = Sam2Tracker(given["sam2"].place, device)
            built.weights["sam2"] = given["sam2"].identity()
        return built

    def fit(self, num_frames: int, simulated: bool) -> None:
        """Move metrics that cannot be measured on these clips to the missing ones.

        Args:
            num_frames: of the clips; some networks need more.
            simulated: whether the clips are simulated. Only SAM 2 segments real videos, and the shipped FVD-sim network
                knows simulated ones only.
        """
        self.finds_masks = simulated or self.tracker is not None
        if "interaction" in self.chosen and not self.finds_masks:
            self.missing["interaction (of videos)"] = (
                "these are not simulated clips, in whose videos masks are found by colour and motion; get SAM 2 by: "
                f"{HOW_TO_GET['sam2']}"
            )
        shipped = "fvd-sim" in self.chosen and self.weights["fvd-sim"]["sha256"] == feature_net_digest()
        if shipped and not simulated:
            self.chosen = tuple(name for name in self.chosen if name != "fvd-sim")
            self.missing["fvd-sim"] = "its network knows simulated clips only, and these are others; use fvd"
        needed = {
            "fvd": 0 if self.i3d is None else I3D_FRAMES,
            "fvd-sim": 0 if self.sim is None else self.sim.config.frames,
            "v2v": 0 if self.video_text is None else self.video_text.frames,
            "t2v": 0 if self.video_text is None else self.video_text.frames,
        }
        short = {name: least for name, least in needed.items() if name in self.chosen and num_frames < least}
        if short:
            self._references.clear()
        self.chosen = tuple(name for name in self.chosen if name not in short)
        for name, least in short.items():
            self.missing[name] = f"it takes clips of {least} frames or more, and these have {num_frames}"
        self.i3d = self.i3d if "fvd" in self.chosen else None
        self.sim = self.sim if "fvd-sim" in self.chosen else None
        self.video_text = self.video_text if {"v2v", "t2v"} & set(self.chosen) else None

    def protocol(self) -> dict[str, Any]:
        """How each metric is computed, with which weights, and what cannot be measured."""
        rules = PROTOCOLS if self.convention == "own" else {**PROTOCOLS, **PAPERS_PROTOCOLS}
        return {
            "convention": self.convention,
            "metrics": {name: rules[name] for name in self.chosen},
            "unavailable": self.missing,
            "weights": self.weights,
            "masks_found_by": self._masks_found_by(),
        }

    def _masks_found_by(self) -> str:
        if self.tracker is not None:
            return "SAM 2"
        return "colour and motion (simulation)" if self.finds_masks else "nothing"

    @property
    def of_pictures(self) -> tuple[str, ...]:
        """The chosen metrics that have a value per video."""
        return tuple(name for name in self.chosen if name != "interaction" or self.finds_masks)

    @property
    def distributions(self) -> tuple[str, ...]:
        """The chosen metrics that compare sets of clips."""
        return tuple(name for name in DISTRIBUTIONS if name in self.chosen)

    def of_video(self, clip: Clip, video: UInt8Array, requested: Trajectory) -> tuple[Measures, Features]:
        """All measures and features of a video uint8 [T, H, W, 3] that was asked to follow a trajectory."""
        features = self.features(video)
        measured = {
            **self.pictures(clip, video),
            **self.fidelity(clip, video, requested),
            **self.recognised(clip, features),
            **self.interaction(clip, video, requested),
        }
        return measured, features

    def pictures(self, clip: Clip, video: UInt8Array) -> Measures:
        """Measures of a video uint8 [T, H, W, 3] against the clip's; None where no pixel counts."""
        found: Measures = {}
        if "psnr" in self.chosen:
            own = self.convention == "own"
            found["psnr"] = metrics.psnr(video, clip.video) if own else psnr_by_frame(video, clip.video)
            found["psnr_changed"] = metrics.psnr(video, clip.video, metrics.changed_pixels(clip.video))
        if "ssim" in self.chosen:
            found["ssim"] = metrics.ssim(video, clip.video)
        if self.lpips is not None:
            found["lpips"] = lpips_of_video(self.lpips, video, clip.video)
        if self.video_text is not None:
            both = self.video_text.similarities(video, clip.video, clip.caption)
            found |= {name: both[name] for name in ("v2v", "t2v") if name in self.chosen}
        return found

    def fidelity(self, clip: Clip, video: UInt8Array, requested: Trajectory) -> Measures:
        """Whether the pictures of object and actor convince; empty if PSNR, which these belong to, was not chosen.

        See :mod:`mask2iv.evaluation.measures.fidelity`; None where no pixel counts.
        """
        if "psnr" not in self.chosen:
            return {}
        return {
            **fidelity.region_psnr(video, clip),
            **fidelity.gradient_ratios(video, requested, clip),
            "actor_flicker": fidelity.actor_flicker(video, requested),
        }

    def recognised(self, clip: Clip, features: Features) -> Measures:
        """Whether FVD-sim's network is right, 1 or 0 per question; empty if it is not in use.

        None where the truth is not among its classes.
        """
        if self.sim is None:
            return {}
        found, true = self.sim.recognised(features["fvd-sim"]), {name: getattr(clip, name) for name in QUESTIONS}
        known = {name for name in QUESTIONS if true[name] in self.sim.config.classes(name)}
        return {
            f"recognised_{name}": float(found[name][0] == true[name]) if name in known else None for name in QUESTIONS
        }

    def interaction(self, clip: Clip, video: UInt8Array, requested: Trajectory) -> Measures:
        """The scorecard of a video; empty if it was not chosen.

        Masks are propagated from the clip's first frame, whatever was requested: a predicted trajectory may lack the
        object there.
        """
        if "interaction" not in self.chosen or not self.finds_masks:
            return {}
        found = (self.tracker or resegment)(video, clip.trajectory.labels[0], requested.fps)
        return {
            **scorecard.of_video(video, found, requested, clip.target_mask, clip.object_mask),
            **fidelity.actor_components(found, clip.trajectory),
        }

    def features(self, video: UInt8Array) -> Features:
        """Features [n, D] of a video for each metric that compares sets of videos."""
        found: Features = {}
        if self.i3d is not None:
            found["fvd"] = self.i3d.features_of([video])
        if self.sim is not None:
            found["fvd-sim"] = self.sim.features_of([video])
        if self.inception is not None:
            found["fid"] = self.inception.features_of(video)
        return found

    def references(self, clip: Clip) -> References:
        """Measures and features of the true video, the repeated first frame and the pasted object.

        They do not depend on what is evaluated, so they are cached by clip: a table has a dozen rows of the same clips.
        """
        true = clip.trajectory
        text = f"{true.fps} {clip.caption} {clip.verb} {clip.object_name} {clip.actor}".encode()
        digest = hashlib.sha256(clip.video.tobytes() + true.labels.tobytes() + text).hexdigest()
        if digest not in self._references:
            self._references[digest] = self._measured_references(clip)
        return self._references[digest]

    def _measured_references(self, clip: Clip) -> References:
        true, features = clip.trajectory, {TRUE_VIDEO: self.features(clip.video)}
        measured: dict[str, Measures] = {
            TRUE_VIDEO: {
                **self.recognised(clip, features[TRUE_VIDEO]),
                **self.interaction(clip, clip.video, true),
            }
        }
        if "psnr" in self.chosen:
            measured[TRUE_VIDEO]["actor_flicker"] = fidelity.actor_flicker(clip.video, true)
        trivial = {STILL: baselines.repeat_first_frame(clip), PASTED: baselines.pasted_object(clip.image, true)}
        for name, video in trivial.items():
            measured[name], features[name] = self.of_video(clip, video, true)
        return measured, features
