r"""The squared score norm of every example, by forming the scores: at once with `torch.func.vmap`, or one by one.

An example's score is s_b = Σ_rows Jᵀv over its own rows, J = ∂log p_θ/∂θ. One by one is right for every model whose
rows come example by example, and is checked to be so. At once is for models that vmap can map: not those that index
by a mask or look at a value. Only first derivatives are taken; torch.func's nested ones are wrong through layer_norm.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from verify.curvature.data import Inputs, n_examples, select
from verify.curvature.likelihood import Likelihood

ENTRIES = 2**24
"""Numbers of the scores that are held at once."""


def looped_norms(
    likelihood: Likelihood, names: Sequence[str], inputs: Inputs, log_p: Tensor, v: Float[Tensor, "probe row token"]
) -> Float[Tensor, "probe example tensor"]:
    """Return ‖∂(v·log p of the example's rows)/∂θ‖² of each named parameter tensor, example by example. Exact.

    Args:
        likelihood: the model.
        names: of the parameters.
        inputs: examples.
        log_p: their rows, to compare with.
        v: a direction for each probe and row.

    Raises:
        ValueError: an example by itself has other rows than in the batch.
    """
    parameters = [likelihood.parameters[name] for name in names]
    norms = torch.zeros(len(v), n_examples(inputs), len(names), dtype=torch.float64)
    start = 0
    for example in range(n_examples(inputs)):
        rows = likelihood.rows(select(inputs, torch.tensor([example])))
        own = slice(start, start + len(rows))
        start += len(rows)
        if not _same(rows.detach(), log_p[own].detach()):
            break
        for probe in range(len(v)):
            score: tuple[Tensor | None, ...] = torch.autograd.grad(
                rows, parameters, v[probe, own], retain_graph=True, allow_unused=True
            )
            for index, part in enumerate(score):
                if part is not None:
                    norms[probe, example, index] = float(part.double().square().sum())
    else:
        if start == len(log_p):
            return norms
    raise ValueError(
        f"expected log_prob of example {example} alone to be its rows in the batch, example by example, got others; "
        "keep the order of examples, without mixing them, or use method='fisher'"
    )


def mapped_norms(
    likelihood: Likelihood, names: Sequence[str], inputs: Inputs, v: Float[Tensor, "probe row token"]
) -> Float[Tensor, "probe example tensor"] | None:
    """Return what `looped_norms` does, as many examples at once as keep `ENTRIES` numbers in memory. Exact.

    None where it cannot be: examples with different numbers of rows, or a model that vmap refuses.
    """
    n = n_examples(inputs)
    if v.shape[1] % n:
        return None
    theta = {f"model.{name}": likelihood.parameters[name].detach() for name in names}
    norms = partial(_norms, _AsModule(likelihood), theta)
    chunk = max(1, ENTRIES // sum(value.numel() for value in theta.values()))
    try:
        # vmap cannot map the fused attention; it warns where it loops over an operation
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings(action="error"):
            mapped: Tensor = torch.func.vmap(norms, in_dims=(0, 1), out_dims=1, chunk_size=chunk)(
                inputs, v.reshape(len(v), n, -1, v.shape[-1])
            )
    except Exception:  # whatever vmap says, or the model of what vmap hands it: the loop takes any model
        return None
    return mapped.detach().cpu()


def _norms(likelihood: nn.Module, theta: dict[str, Tensor], example: Inputs, v: Tensor) -> Tensor:
    """Return the norms of one example, (probe, tensor)."""
    one = example[None] if isinstance(example, Tensor) else {name: value[None] for name, value in example.items()}
    pull = torch.func.vjp(lambda point: torch.func.functional_call(likelihood, point, (one,)), theta)[1]
    scores = [pull(direction)[0].values() for direction in v]
    return torch.stack([torch.stack([part.square().sum(dtype=torch.float64) for part in score]) for score in scores])


class _AsModule(nn.Module):
    """A model with its likelihood as one module, to be called with other parameters."""

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__()
        self.model, self.log_prob = likelihood.model, likelihood.log_prob

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the rows."""
        return self.log_prob(self.model, inputs)


def _same(alone: Tensor, together: Tensor) -> bool:
    """Whether two tables agree to the square root of the precision: far above rounding, far below another row."""
    if alone.shape != together.shape:
        return False
    alone, together = alone.nan_to_num(neginf=0.0), together.nan_to_num(neginf=0.0)
    allowed = torch.finfo(alone.dtype).eps ** 0.5 * (1 + float(alone.abs().max()))
    return bool((alone - together).abs().max() <= allowed)
