"""Reading slow time off a trace: the inverse of the decreasing map τ ↦ tr H along the slow flow."""

from __future__ import annotations

import torch
from jaxtyping import Float
from scipy.interpolate import KroghInterpolator
from scipy.optimize import brentq
from torch import Tensor

from verify.minimisers.flow import FlowResult


def time_of_trace(result: FlowResult, value: float | Float[Tensor, " replica"]) -> Float[Tensor, " replica"]:
    """Return the slow time at which tr H takes a value: the inverse of the decreasing τ ↦ tr H(θ(τ)).

    tr H is interpolated within a step by the quintic through its values and slopes at both ends and the middle (error
    O(h⁶)), and the quintic is inverted by Brent's method. With κ = 1 in the flow, the time so found for a tr H
    measured at slow time τ, divided by τ, is a measurement of κ.

    Args:
        result: an integrated flow.
        value: tr H, one for all replicas or one each.

    Returns:
        The slow times.

    Raises:
        ValueError: when a value lies outside the range that the flow went through.
    """
    values = torch.as_tensor(value, dtype=result.trace.dtype).expand(len(result.steps))
    found = []
    for replica, target in enumerate(values.tolist()):
        tau, trace, slope = result.knots[:, ~result.knots[0, :, replica].isnan(), replica].cpu().numpy()
        if not trace[-1] <= target <= trace[0]:
            raise ValueError(
                f"expected a value of tr H between {trace[-1]:.9g} and {trace[0]:.9g}, which the flow of replica "
                f"{replica} went through, got {target:.9g}; integrate to later times, or start where it was larger"
            )
        ends = trace[::2]
        left = 2 * min(max(int((ends >= target).sum()) - 1, 0), max(len(ends) - 2, 0))
        if len(tau) == 1:
            found.append(float(tau[0]))
            continue
        span = tau[left + 2] - tau[left]
        nodes = [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
        data = [part for k in range(left, left + 3) for part in (trace[k] - target, slope[k] * span)]
        quintic = KroghInterpolator(nodes, data)
        ahead, behind = trace[left] - target, trace[left + 2] - target
        inside = 0.0 if ahead <= 0 else 1.0 if behind >= 0 else brentq(quintic, 0.0, 1.0, xtol=1e-14)
        found.append(float(tau[left] + inside * span))
    return result.trace.new_tensor(found)
