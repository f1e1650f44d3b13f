"""Systems to compare with, and ablations: recipes of the same engine, each a few changes to a base recipe.

``RECIPE:VARIANT`` names one, for example ``embedded-cpu:coshand``. docs/benchmarks.md describes each and how it
differs from the system it is named after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mask2iv.backbones.dynamicrafter.sizes import trajectory_channels, video_channels
from mask2iv.config import override
from mask2iv.errors import InputError
from mask2iv.recipes import Recipe, get_recipe
from mask2iv.stages.conditioning import MaskLayout, VideoConditioning

FOREGROUND_WEIGHT = 5.0
"""The original's loss weight of actor and object in stage 1, on the squared error."""
_DROPOUT = 0.1
"""DynamiCrafter leaves out the text in 5 % of the samples, the image in 5 % and both in 5 %. Here each is left out
independently, in the same share of samples."""


@dataclass(frozen=True)
class Variant:
    """A change of a recipe.

    Attributes:
        component: the stage that is trained; the variant does not concern the other one.
        change: derives the variant from a base recipe.
    """

    component: Literal["trajectory", "video"]
    change: Callable[[Recipe], Recipe]


# --- stage 2


def _video(recipe: Recipe, conditioning: VideoConditioning, **settings: Any) -> Recipe:
    """The recipe with another conditioning of stage 2; input channels follow."""
    stage = recipe.of("video")
    unet = replace(stage.unet, in_channels=video_channels(conditioning, stage.unet.out_channels))
    return replace(
        recipe,
        pipeline=replace(recipe.pipeline, video_conditioning=conditioning),
        video=replace(stage, unet=unet, **settings),
    )


# What the paper adds to mask conditioning, taken away.
_PLAIN = {"perturb": 0.0, "loss_weight": 1.0}


def dynamicrafter(recipe: Recipe) -> Recipe:
    """Image and text to video: no masks, the prompt by cross-attention (DynamiCrafter, arXiv 2310.12190)."""
    # Guidance departs from a network that has seen neither text nor image.
    guided = recipe.pipeline.video_guidance_scale != 1.0
    dropout = {"drop_text": _DROPOUT, "drop_image": _DROPOUT} if guided else {}
    return _video(recipe, VideoConditioning(control="none", text=True), **_PLAIN, **dropout)


def actor_controlnet(recipe: Recipe) -> Recipe:
    """The actor's masks through a ControlNet (InterDyn, arXiv 2412.11785; first line of the paper's ablation)."""
    return _video(recipe, VideoConditioning(control="controlnet", masks="actor"), **_PLAIN)


def coshand(recipe: Recipe) -> Recipe:
    """Each frame separately, from the first frame, its actor mask and the frame's own (CosHand, ECCV 2024)."""
    changed = _video(recipe, VideoConditioning(masks="actor", frames_together=False), **_PLAIN)
    stage = changed.of("video")
    image_unet = replace(stage.unet, temporal_attention=False, temporal_conv=False, init_attention=False)
    # All frames share one frame's image tokens: an image model has no others.
    resampler = replace(stage.resampler, video_length=1)
    return replace(changed, video=replace(stage, unet=image_unet, resampler=resampler))


def actor_concat(recipe: Recipe) -> Recipe:
    """Ablation: the actor's mask latents concatenated to the noisy latents."""
    return _video(recipe, VideoConditioning(masks="actor"), **_PLAIN)


def both_concat(recipe: Recipe) -> Recipe:
    """Ablation: `actor_concat` with the object's masks."""
    return _video(recipe, VideoConditioning(), **_PLAIN)


def both_perturbed(recipe: Recipe) -> Recipe:
    """Ablation: `both_concat` with random dilation and erosion."""
    return _video(recipe, VideoConditioning(), loss_weight=1.0)


# --- stage 1


def _trajectory(recipe: Recipe, layout: MaskLayout, **settings: Any) -> Recipe:
    """The recipe with another layout of stage 1's masks; input channels follow."""
    stage = recipe.of("trajectory")
    channels = trajectory_channels(layout, stage.unet.out_channels)
    return replace(
        recipe,
        pipeline=replace(recipe.pipeline, mask_layout=layout),
        trajectory=replace(stage, unet=replace(stage.unet, in_channels=channels), **settings),
    )


def text_only(recipe: Recipe) -> Recipe:
    """Stage 1 from text alone (the paper's TT-Gen)."""
    return _trajectory(recipe, "text")


def position_only(recipe: Recipe) -> Recipe:
    """Stage 1 from the target position alone (the paper's PT-Gen): always given, the prompt always empty."""
    return _trajectory(recipe, "position", drop_target=0.0, drop_text=1.0)


def reweighted(recipe: Recipe) -> Recipe:
    """Stage 1 without the foreground's loss weight where the base has one, with the original's where it has none."""
    stage = recipe.of("trajectory")
    if stage.loss_weight != 1.0:
        return replace(recipe, trajectory=replace(stage, loss_weight=1.0))
    weighted = replace(stage, loss_weight=FOREGROUND_WEIGHT, foreground_loss="squared-error")
    return replace(recipe, trajectory=weighted)


def _same(recipe: Recipe) -> Recipe:
    return recipe


VARIANTS: dict[str, Variant] = {
    "dynamicrafter": Variant("video", dynamicrafter),
    "coshand": Variant("video", coshand),
    "interdyn": Variant("video", actor_controlnet),
    "actor-concat": Variant("video", actor_concat),
    "both-concat": Variant("video", both_concat),
    "both-perturbed": Variant("video", both_perturbed),
    "mask2iv": Variant("video", _same),
    "text-only": Variant("trajectory", text_only),
    "position-only": Variant("trajectory", position_only),
    "joint": Variant("trajectory", _same),
    "joint-reweighted": Variant("trajectory", reweighted),
}


def get_variant(name: str, changes: Sequence[str] = ()) -> Recipe:
    """The recipe called ``RECIPE`` or ``RECIPE:VARIANT``.

    Args:
        name: of the recipe.
        changes: ``key=value`` overrides of RECIPE, applied before VARIANT.

    Raises:
        InputError: an unknown recipe or variant, or an override that does not fit.
    """
    base, separator, variant = name.partition(":")
    recipe = override(get_recipe(base), changes)
    if not separator:
        return recipe
    if variant not in VARIANTS:
        raise InputError(f"recipe {name!r}", f"{variant!r} is no variant", f"choose one of {', '.join(VARIANTS)}")
    return replace(VARIANTS[variant].change(recipe), name=name)


# --- tables


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        name: short, for options and folders.
        title: in the table.
        given: what the system is given besides the first frame; models of stage 1 also get that frame's masks.
        video: variant of stage 2; None: stage 1 is measured.
        trajectory: variant of stage 1; None: stage 2 follows the true masks, or none.
        asked: the condition of stage 1, one of :data:`mask2iv.evaluation.per_clip.outputs.CONDITIONS`.
        foreign: whether it is trained on the other benchmark's clips.
    """

    name: str
    title: str
    given: str
    video: str | None = None
    trajectory: str | None = None
    asked: str | None = None
    foreign: bool = False

    @property
    def variants(self) -> list[str]:
        """What must be trained for the row."""
        return [name for name in (self.trajectory, self.video) if name is not None]


SYSTEMS = (
    Row("dynamicrafter-zero-shot", "DynamiCrafter, zero-shot", "text", "dynamicrafter", foreign=True),
    Row("dynamicrafter", "DynamiCrafter, fine-tuned", "text", "dynamicrafter"),
    Row("coshand", "CosHand", "true actor masks", "coshand"),
    Row("interdyn", "InterDyn", "true actor masks", "interdyn"),
    Row("mask2iv-text", "Mask2IV", "first frame's masks, text", "mask2iv", "joint", "text"),
    Row("mask2iv", "Mask2IV", "first frame's masks, text, target", "mask2iv", "joint", "position and text"),
    Row("mask2iv-true", "Mask2IV, upper bound", "true actor and object masks", "mask2iv"),
)

_REWEIGHTED = "both in one model, {weight}"

ABLATION = (
    Row("interdyn", "ControlNet injection", "true actor masks", "interdyn"),
    Row("actor-concat", "mask-latent concatenation", "true actor masks", "actor-concat"),
    Row("both-concat", "+ object mask", "true actor and object masks", "both-concat"),
    Row("both-perturbed", "+ random dilation and erosion", "true actor and object masks", "both-perturbed"),
    Row("mask2iv-true", "+ contact loss", "true actor and object masks", "mask2iv"),
    Row("text-only", "text only", "text", None, "text-only", "text"),
    Row("joint-text", "both in one model", "text", None, "joint", "text"),
    Row("joint-reweighted-text", _REWEIGHTED, "text", None, "joint-reweighted", "text"),
    Row("position-only", "position only", "target", None, "position-only", "position"),
    Row("joint-position", "both in one model", "target", None, "joint", "position"),
    Row("joint-reweighted-position", _REWEIGHTED, "target", None, "joint-reweighted", "position"),
    Row("joint-both", "both in one model", "text, target", None, "joint", "position and text"),
    Row("joint-reweighted-both", _REWEIGHTED, "text, target", None, "joint-reweighted", "position and text"),
)

TABLES: dict[str, tuple[Row, ...]] = {"table-systems": SYSTEMS, "table-ablation": ABLATION}
