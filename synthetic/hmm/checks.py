"""What the parameters of a hidden Markov model must satisfy."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from synthetic.hmm.rows import check_rows, check_shape


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
