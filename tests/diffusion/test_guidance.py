from __future__ import annotations

import pytest
import torch

from mask2iv.diffusion.guidance import (
    active_branches,
    chained_guidance,
    rescale_guidance,
)
from mask2iv.errors import InputError


def predictions(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 4, 3, 4, 5, generator=generator) for _ in range(count)]


def test_classifier_free_extrapolates_from_unconditional_to_conditional():
    v = chained_guidance((torch.full((1, 2), 1.0), torch.full((1, 2), 3.0)), (7.5,))
    assert v.tolist() == [[16.0, 16.0]]


def test_three_way_guidance():
    u, i, c = (torch.full((1, 2), value) for value in (1.0, 2.0, 5.0))
    assert chained_guidance((u, i, c), (2.0, 7.5)).tolist() == [[25.5, 25.5]]  # 1 + 2 * 1 + 7.5 * 3


def test_rescale_restores_the_deviation_of_each_sample():
    guided, cond = predictions(2)
    guided[0] *= 5
    full = rescale_guidance(guided, cond, 1.0)
    torch.testing.assert_close(full.flatten(1).std(dim=1), cond.flatten(1).std(dim=1))
    torch.testing.assert_close(rescale_guidance(guided, cond, 0.7), 0.7 * full + 0.3 * guided)
    torch.testing.assert_close(rescale_guidance(guided[:1], cond[:1], 0.7), rescale_guidance(guided, cond, 0.7)[:1])


def test_rescale_uses_the_unbiased_deviation():
    guided, cond = torch.tensor([[0.0, 2.0]]), torch.tensor([[0.0, 2.0, 4.0]])
    expected = guided * (2.0 / 2.0**0.5)  # unbiased deviations: 2 and sqrt(2)
    torch.testing.assert_close(rescale_guidance(guided, cond, 1.0), expected)


def test_constant_predictions_of_a_fresh_network_stay_finite():
    zeros = torch.zeros(2, 4, 1, 2, 2)
    assert torch.equal(rescale_guidance(zeros, zeros, 0.7), zeros)


def test_chain_of_two_is_classifier_free_with_rescale():
    u, c = predictions(2)
    expected = rescale_guidance(u + 7.5 * (c - u), c, 0.7)
    torch.testing.assert_close(chained_guidance((u, c), (7.5,), 0.7), expected)


@pytest.mark.parametrize(
    ("scales", "branches", "remaining"),
    [
        ((1.0,), (1,), ()),
        ((7.5,), (0, 1), (7.5,)),
        ((0.0,), (0, 1), (0.0,)),
        ((1.0, 1.0), (2,), ()),
        ((1.0, 7.5), (1, 2), (7.5,)),
        ((7.5, 7.5), (0, 2), (7.5,)),
        ((2.0, 7.5), (0, 1, 2), (2.0, 7.5)),
        ((2.0, 1.0), (0, 1, 2), (2.0, 1.0)),
        ((2.0, 2.0, 5.0), (0, 2, 3), (2.0, 5.0)),
    ],
)
def test_only_predictions_that_count_are_computed(scales, branches, remaining):
    assert active_branches(scales) == (branches, remaining)
    everything = predictions(len(scales) + 1)
    needed = [everything[k] for k in branches]
    for rescale in (0.0, 0.7) if remaining else (0.0,):
        torch.testing.assert_close(
            chained_guidance(needed, remaining, rescale), chained_guidance(everything, scales, rescale)
        )


def test_scale_one_returns_the_conditional_prediction_untouched():
    (cond,) = predictions(1)
    assert chained_guidance([cond], (), rescale=0.7) is cond


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="2 predictions"):
        chained_guidance(predictions(2), (1.0, 2.0))
    with pytest.raises(InputError, match="guidance_rescale"):
        chained_guidance(predictions(2), (2.0,), rescale=1.5)
