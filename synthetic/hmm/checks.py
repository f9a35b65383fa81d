"""What the parameters of a hidden Markov model must satisfy, and explicit normalisation."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

EPS = torch.finfo(torch.float64).eps


class ProbabilityError(ValueError):
    """Numbers that are no probabilities: negative, not finite, or not summing to one."""


def check_shape(name: str, values: Tensor, shape: tuple[int, ...]) -> None:
    """Raise unless `values` is a float64 tensor of the given shape, which must have no side of length 0.

    Raises:
        TypeError: if the dtype is not float64.
        ValueError: if the shape differs or is empty.
    """
    if values.dtype != torch.float64:
        raise TypeError(f"expected float64 in {name}, got {values.dtype}; convert with {name}.double() and renormalise")
    if tuple(values.shape) != shape or 0 in shape:
        raise ValueError(
            f"expected {name} of shape {shape} without a side of length 0, got {tuple(values.shape)}; "
            "transition is state × state, emission state × token, start one entry per state"
        )


def check_rows(name: str, rows: Float[Tensor, "row column"]) -> None:
    """Raise unless each row is a probability vector: finite, non-negative, of sum one up to 4 · columns · ε.

    That is what rounding the entries and adding them can cost; anything larger is a mistake, not rounding.

    Raises:
        ProbabilityError: naming the entry, or the row and its sum, and the remedy.
    """
    _check_weights(name, rows)
    total = rows.sum(1)
    gap = total - 1
    bad = gap.abs() > 4 * rows.shape[1] * EPS
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ProbabilityError(
            f"expected every row of {name} to sum to one, got {float(total[row]):.6g}, off by {float(gap[row]):+.3g}, "
            f"in row {row}; correct it, or build with normalised(...), which divides every row by its sum"
        )


def normalise_rows(name: str, weights: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """Return each row of non-negative weights divided by its sum.

    Raises:
        ProbabilityError: if a weight is negative or not finite, or a row sums to zero or overflows.
    """
    weights = weights.to(torch.float64)
    _check_weights(name, weights)
    total = weights.sum(1, keepdim=True)
    bad = (total[:, 0] == 0) | total[:, 0].isinf()
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ProbabilityError(
            f"expected a positive finite sum in every row of {name}, got {float(total[row])} in row {row}; "
            "give the row a positive entry, and rescale large ones"
        )
    return weights / total


def _check_weights(name: str, rows: Float[Tensor, "row column"]) -> None:
    bad = ~((rows >= 0) & rows.isfinite())
    if bad.any():
        row, column = bad.nonzero()[0].tolist()
        raise ProbabilityError(
            f"expected finite entries >= 0 in {name}, got {float(rows[row, column])} in row {row}, column {column}; "
            "correct it"
        )


def check_parameters(
    transition: Float[Tensor, "..."],
    emission: Float[Tensor, "..."],
    start: Float[Tensor, "..."],
    lengths: int | Float[Tensor, "..."],
) -> None:
    """Raise unless these are the parameters of a model.

    Raises:
        TypeError: if a tensor is not float64.
        ProbabilityError: naming a row that is no probability vector.
        ValueError: on shapes that do not fit, or a length below 1.
    """
    n_states = start.numel()
    check_shape("start", start, (n_states,))
    check_shape("transition", transition, (n_states, n_states))
    check_shape("emission", emission, (n_states, emission.shape[-1] if emission.ndim else 0))
    check_rows("start", start[None])
    check_rows("transition", transition)
    check_rows("emission", emission)
    if isinstance(lengths, Tensor):
        check_shape("lengths", lengths, (lengths.numel(),))
        check_rows("lengths", lengths[None])
    elif not lengths >= 1 or lengths % 1 != 0:
        raise ValueError(f"expected a whole length of at least 1 token, got {lengths}; correct it")


def check_names(names: tuple[str, ...], n_tokens: int) -> None:
    """Raise unless there is a different name for every token.

    Raises:
        ValueError: if one is missing, too many or repeated.
    """
    if len(set(names)) != n_tokens or len(names) != n_tokens:
        raise ValueError(
            f"expected {n_tokens} different names, one per column of emission, got {names}; "
            "leave them out for w0, w1, …"
        )


def check_groups(groups: tuple[int, ...], transition: Float[Tensor, "state state"]) -> None:
    """Raise unless the groups are components 0 … K−1 that no transition leaves.

    Raises:
        ValueError: naming what is missing or the transition that leaves its component.
    """
    if len(groups) != len(transition) or set(groups) != set(range(1 + max(groups))):
        raise ValueError(
            f"expected a group 0..K-1 for each of {len(transition)} states, every number used, got {groups}; "
            "number the components without gaps"
        )
    group = transition.new_tensor(groups)
    leaving = (transition > 0) & (group[:, None] != group[None, :])
    if leaving.any():
        state, to = leaving.nonzero()[0].tolist()
        raise ValueError(
            f"expected transitions that stay in their group, got {float(transition[state, to])} from state {state} "
            f"to state {to}; leave out groups unless the model is a mixture"
        )


def check_positions(positions: tuple[int, ...], longest: int) -> None:
    """Raise unless the positions, counted from 1, are different and reached by some sentence.

    Raises:
        ValueError: naming one that is not.
    """
    for t in positions:
        if not 1 <= t <= longest or positions.count(t) > 1:
            raise ValueError(
                f"expected different state_positions among 1..{longest}, got {t} in {positions}; "
                "they count from 1, up to the longest sentence of positive probability"
            )
