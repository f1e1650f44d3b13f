import json
from pathlib import Path

import numpy as np
import pytest

from mask2iv.errors import InputError
from mask2iv.media.fitting import place
from mask2iv.trajectories.editing.motion import Place
from mask2iv.trajectories.editing.path import ObjectPath, read_path


def test_a_line_is_followed_within_its_frames() -> None:
    line = ObjectPath(1, points=((20, 10), (20, 30)), frames=(2, 6), easing="linear")
    numbers = line.numbers((10, 10), 9)
    # 10 pixels to the right, then 20 down, 7.5 a frame.
    assert numbers[:, 0] == pytest.approx([0, 0, 0, 7.5, 10, 10, 10, 10, 10])
    assert numbers[:, 1] == pytest.approx([0, 0, 0, 0, 5, 12.5, 20, 20, 20])
    assert not numbers[:, 2:].any()


def test_places_say_size_and_turn_too() -> None:
    numbers = ObjectPath(1, (Place(4, 30, 10, scale=2, rotate=90),), "linear").numbers((10, 10), 5)
    assert numbers[2] == pytest.approx([10, 0, np.log(2) / 2, np.pi / 4])
    assert numbers[4] == pytest.approx([20, 0, np.log(2), np.pi / 2])


def test_a_path_in_a_picture_is_one_in_the_result() -> None:
    shown = place((120, 200), (60, 100), "crop")
    moved = ObjectPath(1, (Place(3, 99.5, 59.5, 1.5, 20),)).placed(shown)
    assert moved.places == (Place(3, 49.5, 29.5, 1.5, 20),)
    padded = ObjectPath(1, points=((0, 0), (199, 119))).placed(place((120, 200), (60, 120), "pad"))
    assert padded.points == (pytest.approx((9.75, -0.25)), pytest.approx((109.25, 59.25)))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"version": 1}, "places: must be given"),
        ({"version": 1, "points": [[1, 2]], "places": [{"frame": 1, "x": 1, "y": 1}]}, "give one of them"),
        ({"version": 1, "places": [{"frame": 1, "x": 1}]}, r"places\[0\]: missing configuration key 'y'"),
        ({"version": 1, "points": [[1, 2, 3]]}, "points"),
        ({"points": [[1, 2]]}, "missing configuration key 'version'"),
    ],
)
def test_what_is_no_path_is_named(values: object, said: str, tmp_path: Path) -> None:
    (tmp_path / "path.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match=rf"path\.json.*{said}"):
        read_path(tmp_path / "path.json")
