"""Masked sentences as tensors: round trips and every refusal."""

import pytest
import torch

from synthetic import MASK, PAD, mask
from synthetic.enumeration import all_strings, n_strings
from synthetic.tokens import check_tokens, fill, masked_position, signs


def refuse(rows: list[list[int]], *, padded: bool = False, masks: bool = False) -> None:
    check_tokens(torch.tensor(rows), n_tokens=2, length=3, padded=padded, masks=masks)


def test_mask_and_fill_are_inverse() -> None:
    sentences = all_strings(3, 3, padded=False)
    for t in range(3):
        positions = torch.full((len(sentences),), t)
        contexts = mask(sentences, positions)
        assert torch.equal(masked_position(contexts), positions)
        filled = fill(contexts, positions, 3)
        assert torch.equal(filled[torch.arange(27), sentences[:, t]], sentences)
        assert torch.equal(filled[:, :, t], torch.arange(3).expand(27, 3))


def test_strings_are_all_there_once() -> None:
    strings = all_strings(3, 3, padded=True)
    assert len(strings) == n_strings(3, 3, padded=True) == 3 + 9 + 27 == len(set(map(tuple, strings.tolist())))
    check_tokens(strings, n_tokens=3, length=3, padded=True, masks=False)


def test_signs_mark_the_masked_position_by_zero() -> None:
    assert signs(torch.tensor([[0, 1, MASK]])).tolist() == [[-1.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("rows", "flags", "message"),
    [
        ([[0, 1]], {}, r"expected shape \(sentence, 3\), got \(1, 2\)"),
        ([[0, 1, 0], [0, 2, 0]], {}, r"expected tokens 0\.\.1, got 2 at row 1, position 1"),
        ([[0, MASK, 0]], {}, r"expected tokens 0\.\.1, got -1"),
        ([[0, 1, PAD]], {}, r"expected tokens 0\.\.1, got -2"),
        ([[0, 1, -3]], {"padded": True, "masks": True}, r"0\.\.1 or MASK = -1 or PAD = -2, got -3"),
        ([[0, PAD, 1]], {"padded": True}, r"PAD only after the last token.*\[0, -2, 1\] at row 0"),
        ([[PAD, PAD, PAD]], {"padded": True}, r"PAD only after the last token of a non-empty sentence"),
    ],
)
def test_foreign_rows_are_refused(rows: list[list[int]], flags: dict[str, bool], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        refuse(rows, **flags)


def test_a_single_sentence_needs_its_row() -> None:
    with pytest.raises(ValueError, match=r"got \(3,\); give one row"):
        check_tokens(torch.tensor([0, 1, 0]), n_tokens=2, length=3, padded=False, masks=False)


def test_floating_tokens_are_refused() -> None:
    with pytest.raises(TypeError, match=r"expected int64 token indices, got torch\.float32; convert"):
        check_tokens(torch.zeros(1, 3), n_tokens=2, length=3, padded=False, masks=False)


@pytest.mark.parametrize(("row", "count"), [([0, 1, 0], 0), ([MASK, 1, MASK], 2)])
def test_exactly_one_mask_is_asked_for(row: list[int], count: int) -> None:
    with pytest.raises(ValueError, match=rf"exactly one position equal to MASK = -1.*got {count} at row 0"):
        masked_position(torch.tensor([row]))
