"""What a recording shows: the manipulated object, how much it moves, and whether its masks are good."""

from mask2iv.curation.selection.choice import (
    MOVING,
    OFFICIAL,
    ROBUST,
    Choice,
    SelectionRules,
    mean_mutual_iou,
    select_object,
    to_labels,
)
from mask2iv.curation.selection.gates import Gates, check_gates
from mask2iv.curation.selection.motion import motion_score, slowest

__all__ = [
    "MOVING",
    "OFFICIAL",
    "ROBUST",
    "Choice",
    "Gates",
    "SelectionRules",
    "check_gates",
    "mean_mutual_iou",
    "motion_score",
    "select_object",
    "slowest",
    "to_labels",
]
