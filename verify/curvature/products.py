"""Hessian-vector products of the loss on a batch, and the canary that tells whether they are right.

The second derivative of every operation a model uses must be right. torch's fused attention has none, and is replaced
by the one from primitives (`SDPBackend.MATH`). An operation with a wrong one gives a wrong trace without a word: so the
products of the first batch are compared with differences of gradients before any of them is used.
"""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from verify.curvature.data import Inputs, Labelled, n_examples, select
from verify.curvature.likelihood import Likelihood, cross_entropy
from verify.curvature.pullback import pullbacks

ENTRIES = 2**18
"""Numbers of the vectors multiplied at once: more save little time, and each takes the memory of a backward pass."""

CANARY_ROWS = 8
"""Examples on which the canary compares."""


class SecondOrderError(RuntimeError):
    """A second derivative of the model is missing or wrong."""


class HessianProducts:
    """v ↦ Hv for the cross-entropy on one batch, by differentiating gradient · v in reverse mode. Exact to rounding.

    Raises:
        SecondOrderError: the model's gradient cannot be differentiated.
    """

    def __init__(self, likelihood: Likelihood, batch: Labelled) -> None:
        self._parameters = list(likelihood.parameters.values())
        self.likelihood = likelihood
        with sdpa_kernel(SDPBackend.MATH):
            value = cross_entropy(likelihood.rows(batch.inputs), batch)
        try:
            gradient: tuple[Tensor | None, ...] = torch.autograd.grad(
                value, self._parameters, create_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            raise _missing(error) from error
        self.gradient = likelihood.flat([None if part is None else part.detach() for part in gradient])
        self._curved = [(i, part) for i, part in enumerate(gradient) if part is not None and part.requires_grad]

    def __call__(self, vectors: Float[Tensor, "k parameter"]) -> Float[Tensor, "k parameter"]:
        """Return Hv for every row v, of short rows `at_once` together."""
        return torch.cat([self._products(some) for some in torch.split(vectors, self.at_once)])

    @property
    def at_once(self) -> int:
        return max(1, ENTRIES // self.likelihood.n_parameters)

    def _products(self, vectors: Tensor) -> Tensor:
        if not self._curved:
            return torch.zeros_like(vectors)
        parts = self.likelihood.split(vectors)
        gradient = [part for _, part in self._curved]
        try:
            products = pullbacks(gradient, self._parameters, [parts[i] for i, _ in self._curved])
        except RuntimeError as error:
            raise _missing(error) from error
        filled = [
            torch.zeros_like(part) if value is None else value for value, part in zip(products, parts, strict=True)
        ]
        return torch.cat([part.reshape(len(vectors), -1) for part in filled], dim=-1)


def _missing(error: RuntimeError) -> SecondOrderError:
    return SecondOrderError(
        f"expected a model that can be differentiated twice, got: {error}; write the operation from primitives "
        "(a Network: set fast = False), or use a first-order method such as 'fisher'"
    )


def canary(likelihood: Likelihood, batch: Labelled, generator: torch.Generator) -> float:
    r"""Compare Hv of the cross-entropy with differences of gradients, on a float64 copy, tensor by tensor.

    Along a random v, D(h) = (g(θ + hv) − g(θ − hv))/2h errs by h²/6 of a third derivative, estimated by
    |D(h) − D(2h)|/3, and by rounding: ε/h of a gradient, which where gradients cancel is that of single scores, hence
    √ε of Hv as well. Each parameter tensor is compared by itself, so that a wrong derivative of a small one is seen.
    Returned is the largest ‖Hv − D(h)‖ of a tensor as a fraction of the whole ‖Hv‖. Source: ours.

    Raises:
        SecondOrderError: a tensor disagrees by more than twelve times the error of the difference.
    """
    twin = Likelihood(copy.deepcopy(likelihood.model).double(), likelihood.log_prob)
    small = _head(batch)
    products = HessianProducts(twin, small)
    base = {name: value.detach().clone() for name, value in twin.parameters.items()}
    size = float(twin.flat(list(base.values())).square().mean().sqrt()) or 1.0
    signs = torch.randn(twin.n_parameters, generator=generator, device=generator.device, dtype=torch.float64)
    v = signs.to(products.gradient)
    step = torch.finfo(torch.float64).eps ** (1 / 3) * size
    whole = products(v[None])[0]  # before the parameters move under its graph
    product = twin.split(whole)

    def gradient(shift: float) -> list[Tensor]:
        with torch.no_grad():
            for (name, value), part in zip(twin.parameters.items(), twin.split(v), strict=True):
                value.copy_(base[name] + shift * part)
        return twin.split(HessianProducts(twin, small).gradient)

    ahead, behind, far_ahead, far_behind = (gradient(k * step) for k in (1, -1, 2, -2))
    epsilon = torch.finfo(torch.float64).eps
    rounding = 64 * epsilon * float(products.gradient.norm()) / step
    rounding += 8 * epsilon**0.5 * float(whole.square().mean().sqrt())  # per entry
    worst = 0.0
    for name, exact, a, b, c, d in zip(twin.parameters, product, ahead, behind, far_ahead, far_behind, strict=True):
        near, far = (a - b) / (2 * step), (c - d) / (4 * step)
        error = float((exact - near).norm())
        scale = float(exact.norm() + near.norm())
        if not error <= 4 * float((near - far).norm()) + rounding * a.numel() ** 0.5:
            raise SecondOrderError(
                f"expected Hessian-vector products that agree with differences of gradients, got {error / scale:.2g} "
                f"relative disagreement in {name!r}; an operation of the model has a wrong second derivative: write "
                "it from primitives, or use a first-order method such as 'fisher'"
            )
        worst = max(worst, error)
    size = float(whole.norm())
    return worst / size if size > 0 else 0.0


def _head(batch: Labelled) -> Labelled:
    """Return the first examples of a batch in float64, all of them where rows and examples do not correspond."""
    known = batch.log_conditional
    n = n_examples(batch.inputs)
    rows = len(known) if known is not None else len(batch.targets) if batch.targets is not None else 0
    index = torch.arange(min(n, CANARY_ROWS) if rows == n else n)
    inputs = _double(select(batch.inputs, index))
    if rows != n:
        return Labelled(inputs, known, batch.targets, batch.weight)
    return Labelled(
        inputs,
        None if known is None else known[: len(index)],
        None if batch.targets is None else batch.targets[: len(index)],
        None if batch.weight is None else batch.weight[: len(index)],
    )


def _double(inputs: Inputs) -> Inputs:
    if isinstance(inputs, Tensor):
        return inputs.double() if inputs.is_floating_point() else inputs
    return {name: value.double() if value.is_floating_point() else value for name, value in inputs.items()}
