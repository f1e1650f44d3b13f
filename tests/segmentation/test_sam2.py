"""Tracking by SAM 2 with a tiny random model: prompts, sizes and labels; its masks are noise."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

from mask2iv.contract import Label
from mask2iv.data.store import ClipSet
from mask2iv.errors import InputError
from mask2iv.segmentation.sam2 import Sam2Segmenter, Sam2Tracker


@pytest.fixture(scope="module")
def sam2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sam2")
    side = 64
    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "image_size": [side, side],
        "blocks_per_stage": [1, 1, 1, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 4],
        "window_size_per_stage": [4, 4, 4, 4],
        "global_attention_blocks": [],
        "window_positional_embedding_background_size": [4, 4],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "fpn_hidden_size": 256,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    }
    config = Sam2VideoConfig(
        vision_config=vision, prompt_encoder_config={"image_size": side}, image_size=side,
        memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[4, 4], memory_fuser_num_layers=1,
    )  # fmt: skip
    Sam2VideoModel(config).save_pretrained(folder)
    return folder


def test_every_frame_gets_labels_from_the_first_ones(sam2: Path, tiny_clips: Path) -> None:
    clip = ClipSet(tiny_clips)[0]
    found = Sam2Tracker(str(sam2), torch.device("cpu"))(clip.video, clip.trajectory.labels[0], 8.0)
    assert found.labels.shape == clip.trajectory.labels.shape
    assert np.array_equal(found.labels[0], clip.trajectory.labels[0])
    assert set(np.unique(found.labels)) <= {0, Label.ACTOR, Label.OBJECT}


def test_it_needs_an_object_and_a_model(sam2: Path, tiny_clips: Path, tmp_path: Path) -> None:
    clip = ClipSet(tiny_clips)[0]
    with pytest.raises(InputError, match="show the object"):
        Sam2Tracker(str(sam2), torch.device("cpu"))(clip.video, np.zeros((32, 64), np.uint8))
    with pytest.raises(InputError, match=r"^weights sam2: .* is not a SAM 2 video model"):
        Sam2Tracker(str(tmp_path), torch.device("cpu"))


def test_each_box_gets_a_track(sam2: Path, tiny_clips: Path) -> None:
    video = ClipSet(tiny_clips)[0].video
    segment = Sam2Segmenter(str(sam2), torch.device("cpu"))
    assert segment.quality == "sam2"
    boxes = [(4.0, 4.0, 20.0, 10.0), (-5.0, 10.0, 30.0, 50.0)]
    tracks = segment(video, boxes)
    assert tracks.dtype == np.bool_
    assert tracks.shape == (2, *video.shape[:3])
    # Tracks do not know of each other: the paper prompts each box by itself.
    assert np.array_equal(segment(video, boxes[:1])[0], tracks[0])
    assert segment(video, []).shape == (0, *video.shape[:3])
    with pytest.raises(InputError, match=r"^boxes: .* does not meet the picture"):
        segment(video, [(100.0, 0.0, 5.0, 5.0)])
