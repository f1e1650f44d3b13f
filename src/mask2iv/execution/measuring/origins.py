"""The trajectories that a benchmark executes, by where they come from."""

PLANS = {
    "text": "stage 1 from the caption",
    "text-video": "the same, and the object's pixels in stage 2's video",
    "target": "stage 1 from the target mask",
    "text-target": "stage 1 from both",
    "best": "the best by score of several candidates from the caption",
    "oracle": "true masks",
    "oracle-video": "true masks, and the object's pixels in the true video",
    "oracle-table": "true masks, depth from an assumed table instead of the simulator's",
    "oracle-motion": "true motion in 3-D in place of masks",
    "oracle-tool": "true gripper poses: no grasp is planned",
    "slide": "a straight slide of the first mask to the target, without an actor",
    "rest": "nothing is done",
}
"""Name -> meaning."""
NETWORK = ("text", "text-video", "target", "text-target", "best")
"""Those that need a model."""
