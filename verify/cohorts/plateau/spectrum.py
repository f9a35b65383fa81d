r"""All eigenvalues of F of one network, on a stratified sample of its contexts.

F = Σ_x w Σ_y p_θ ∇log p_θ ∇log p_θᵀ = RᵀR with (c − 1) rows for every context, so that its eigenvalues that are not 0
are those of the Gram matrix RRᵀ, which is the smaller of the two when contexts are few.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from verify.networks import Network
from verify.training import ContextTable, FlatParameters, Reference, network_at


def systematic_sample(table: ContextTable, points: int, offset: float) -> Reference:
    """Return the contexts at n equally spaced points (k + offset)/n of the cumulative law, each with weight count/n.

    Unbiased for a uniform offset in [0, 1): a context is hit nπ times in the mean, and at least ⌊nπ⌋ times. A table has
    similar contexts side by side, so that the sample is stratified and varies less than n independent draws.
    Source: textbook (systematic sampling, Madow 1944).

    Args:
        table: the contexts and their law.
        points: n.
        offset: of the first point, as a share of the distance between two.

    Raises:
        ValueError: there is no point, or the offset is outside [0, 1).
    """
    if points < 1 or not 0 <= offset < 1:
        raise ValueError(f"expected points >= 1 and an offset in [0, 1), got {points} and {offset}; draw it uniformly")
    at = (torch.arange(points, dtype=torch.float64) + offset) / points
    chosen, count = torch.unique(torch.searchsorted(table.cumulative, at, right=True), return_counts=True)
    return Reference(table.contexts[chosen], count / points, table.conditional[chosen], "monte-carlo")


def root_rows(
    network: Network, reference: Reference, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "row parameter"]:
    r"""Return R with RᵀR = F, c − 1 rows for every context.

    F_x = 4 Σ_y ∇√p_y ∇√p_yᵀ, and Σ_y √p_y ∇√p_y = 0: in an orthonormal basis whose last vector is √p nothing is left
    of the last direction. Householder's reflection that takes the last unit vector to −√p is such a basis. Exact.

    Args:
        network: a single one, of stack ().
        reference: contexts and their weights.
        dtype: in which rows are computed.

    Raises:
        ValueError: the network is a stack.
    """
    if network.stack:
        raise ValueError(f"expected a single network, got a stack {network.stack}; take one with network.member")
    theta = torch.cat([parameter.detach().reshape(-1) for parameter in network.parameters()])
    # One network for each context, so that an ordinary backward pass gives the gradient of every context by itself.
    each = type(network).empty(network.config, (len(reference.contexts),))
    copies = FlatParameters(network_at(each, theta.expand(len(reference.contexts), -1), dtype=dtype), dtype, "cpu")
    copies.network.fast = True
    root = (copies.network(reference.contexts.unsqueeze(-2)).squeeze(-2) / 2).exp()  # √p, context × token
    weight = 2 * reference.weight.to(dtype).sqrt().unsqueeze(-1)
    unit = root.detach()
    normal = unit + torch.nn.functional.one_hot(torch.tensor(network.n_tokens - 1), network.n_tokens)
    basis = torch.eye(network.n_tokens, dtype=dtype) - (
        normal.unsqueeze(-1) * normal.unsqueeze(-2) / (1 + unit[:, -1:, None])
    )
    rotated = weight * torch.einsum("xy,xyk->xk", root, basis)
    return torch.cat([copies.gradient(rotated[:, k].sum(), keep_graph=True) for k in range(network.n_tokens - 1)])


def fisher_spectrum(
    network: Network, reference: Reference, dtype: torch.dtype = torch.float32
) -> Float[Tensor, " eigenvalue"]:
    """Return the eigenvalues of F that are not 0 for want of contexts, float64, in rising order.

    Exact on the contexts given, to rounding: an eigenvalue is off by at most the norm of what RRᵀ is off, which in
    float32 is some 1e-6 of the largest. Errors as in `root_rows`.
    """
    rows = root_rows(network, reference, dtype)
    gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    eigenvalues: Tensor = torch.linalg.eigvalsh(gram).double().clamp(min=0)
    return eigenvalues
