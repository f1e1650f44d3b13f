import numpy as np
import pytest
import torch

from mask2iv.contract import Label
from mask2iv.models.palette import PARTS
from mask2iv.models.reference import FirstFrame, ReferenceDecoder, moved_object

SIZE = (48, 80)
NO_COLOURS = np.zeros((PARTS, 3), np.float32)


@pytest.fixture
def clip() -> tuple[np.ndarray, np.ndarray]:
    """A patterned square that goes 12 to the right and 6 down, and labels of three frames."""
    rng = np.random.default_rng(0)
    image = np.full((*SIZE, 3), 90, np.uint8)
    image[10:22, 14:30] = rng.integers(0, 255, (12, 16, 3))
    labels = np.zeros((3, *SIZE), np.uint8)
    for t, (down, right) in enumerate([(0, 0), (3, 6), (6, 12)]):
        labels[t, 10 + down : 22 + down, 14 + right : 30 + right] = Label.OBJECT
    return image, labels


def decoder(gate: int | None = None) -> ReferenceDecoder:
    """A network that outputs one of its candidates: first frame, plate, actor, object, synthesis."""
    torch.manual_seed(0)
    net = ReferenceDecoder(widths=(16, 24, 32)).eval()
    if gate is not None:
        with torch.no_grad():
            net.conv_out.bias.unflatten(0, (11, 16))[5 + gate] = 10.0  # type: ignore[union-attr]
    return net


def finished(net: ReferenceDecoder, clip: tuple[np.ndarray, np.ndarray], decoded: torch.Tensor) -> np.ndarray:
    image, labels = clip
    with torch.no_grad():
        output = net(decoded[None], torch.from_numpy(labels)[None], FirstFrame.of(image, labels, NO_COLOURS, decoded))[
            0
        ]
    return ((output + 1) * 127.5).permute(0, 2, 3, 1).numpy()


def test_the_moved_object_keeps_its_pixels(clip: tuple[np.ndarray, np.ndarray]) -> None:
    """A resting camera and a pure shift: what the network is offered is exact, where a decoder would blur it."""
    image, _ = clip
    found = finished(decoder(3), clip, torch.zeros(3, 3, *SIZE))
    for t, (down, right) in enumerate([(0, 0), (3, 6), (6, 12)]):
        shown = found[t, 11 + down : 21 + down, 15 + right : 29 + right]
        assert np.abs(shown - image[11:21, 15:29]).mean() < 12, f"frame {t}"
    assert np.abs(found[2, 11:21, 15:29] - image[11:21, 15:29]).mean() > 40, "it moved away"


def test_training_in_half_precision_sees_the_same_pixels() -> None:
    """Autocast would round coordinates above 128 to whole pixels, half a pixel beside where the object is."""
    stripes = np.broadcast_to(np.uint8(127 + 120 * np.sin(np.arange(256)))[:, None], (32, 256, 3))
    image, labels = np.ascontiguousarray(stripes), np.full((2, 32, 256), int(Label.OBJECT), np.uint8)
    first = FirstFrame.of(image, labels, NO_COLOURS, torch.zeros(1))
    first.motions[..., 0, 2] += 0.4
    net, seen = decoder(3), torch.from_numpy(labels)[None]
    with torch.no_grad():
        exact = net(torch.zeros(1, 2, 3, 32, 256), seen, first)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(torch.zeros(1, 2, 3, 32, 256), seen, first)
    assert (exact - half.float()).abs().max() < 0.03


def test_the_plate_has_no_object(clip: tuple[np.ndarray, np.ndarray]) -> None:
    found = finished(decoder(1), clip, torch.zeros(3, 3, *SIZE))
    assert np.abs(found - 90).max() < 6


def test_it_begins_as_an_even_blend_of_what_it_is_offered(clip: tuple[np.ndarray, np.ndarray]) -> None:
    parts = [finished(decoder(gate), clip, torch.zeros(3, 3, *SIZE)) for gate in range(5)]
    assert np.abs(finished(decoder(), clip, torch.zeros(3, 3, *SIZE)) - np.mean(parts, axis=0)).max() < 0.5


def test_a_window_has_the_numbers_of_the_whole_frame(clip: tuple[np.ndarray, np.ndarray]) -> None:
    """Training sees windows, generation whole frames; away from a window's edge both must agree."""
    image, labels = (np.kron(part, np.ones((4, 4, 1)[: part.ndim], np.uint8)) for part in (clip[0], clip[1][0]))
    labels = np.stack([labels, labels])
    torch.manual_seed(1)
    net = ReferenceDecoder(widths=(16, 24, 32)).eval()
    torch.nn.init.normal_(net.conv_out.weight, std=0.02)
    decoded = torch.rand(2, 3, 192, 320) * 2 - 1
    first = FirstFrame.of(image, labels, NO_COLOURS, decoded)
    seen = torch.from_numpy(labels)[None]
    with torch.no_grad():
        whole = net(decoded[None], seen, first)
        corners = torch.tensor([[[32, 64], [32, 64]]])
        part = net(decoded[None, :, :, 32:160, 64:256], seen[:, :, 32:160, 64:256], first, corners)
    inner = (slice(None), slice(None), slice(None), slice(56, 72), slice(88, 104))
    assert torch.allclose(part[inner], whole[:, :, :, 32:160, 64:256][inner], atol=5e-3)


def test_the_object_laid_over_a_frame(clip: tuple[np.ndarray, np.ndarray]) -> None:
    image, labels = clip
    first = FirstFrame.of(image, labels, NO_COLOURS, torch.zeros(1))
    found = moved_object(first.labels, first.motions, torch.from_numpy(labels)[None])[0].numpy()
    true = labels == Label.OBJECT
    assert (found & true).sum() / (found | true).sum() > 0.85


def test_two_actors_move_each_by_itself() -> None:
    image = np.zeros((*SIZE, 3), np.uint8)
    labels = np.zeros((2, *SIZE), np.uint8)
    image[4:16, 4:20], image[30:42, 50:66] = (200, 40, 40), (40, 200, 40)
    labels[0, 4:16, 4:20], labels[0, 30:42, 50:66] = Label.ACTOR, Label.SECOND_ACTOR
    labels[1, 8:20, 10:26], labels[1, 26:38, 40:56] = Label.ACTOR, Label.SECOND_ACTOR
    found = finished(decoder(2), (image, labels), torch.zeros(2, 3, *SIZE))
    assert np.abs(found[1, 10:18, 12:24] - (200, 40, 40)).max() < 30
    assert np.abs(found[1, 28:36, 42:54] - (40, 200, 40)).max() < 30
