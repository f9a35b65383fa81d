"""The slow flow on the manifold of minimisers: dθ/dτ = −κ P_T ∇ tr H.

The field is extended off Γ by X(θ) = −κ P_T(θ) ∇‖J(θ)‖_F², J the Jacobian of `verify.minimisers.constraint`, which
preserves the constraint since J X = 0. Every step is taken twice, once at h and once as two halves, on two trajectories
that share the mesh: their difference is an estimate of the global error (Richardson), not a sum of local ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from verify.minimisers.constraint import MinimiserConstraint
from verify.minimisers.dormand_prince import ORDER, Front, dormand_prince_step
from verify.minimisers.retraction import gauss_newton, require_membership, require_retracted
from verify.models import FiniteModel


class RankChangeError(RuntimeError):
    """The rank of H changed along the flow: Γ is not a manifold there."""


class FlowError(RuntimeError):
    """The integration could not be carried on."""


@dataclass(frozen=True)
class FlowResult:
    """The slow flow at the requested times, with an estimate of its error.

    Attributes:
        times: slow times τ.
        theta: points of Γ.
        trace: tr H there.
        error_estimate: estimate of ‖θ − exact‖ from step doubling, plus what rounding can add.
        trace_error: the same for tr H.
        steps: accepted steps of each replica (a step and its two halves count once).
        rejected: rejected steps of each replica.
        knots: τ, tr H and d tr H/dτ at both ends and the middle of every accepted step, for dense output; NaN where
            a replica has no knot.
    """

    times: Float[Tensor, " time"]
    theta: Float[Tensor, "time replica parameter"]
    trace: Float[Tensor, "time replica"]
    error_estimate: Float[Tensor, "time replica"]
    trace_error: Float[Tensor, "time replica"]
    steps: Int[Tensor, " replica"]
    rejected: Int[Tensor, " replica"]
    knots: Float[Tensor, "3 knot replica"]


class SlowFlow:
    """The flow dθ/dτ = −κ P_T ∇ tr H on Γ = {p_θ = p*}: the limit of SGD with sampled labels as η → 0.

    κ is the subject of the claim `slow-flow` (label noise in Li, Wang and Arora, arXiv:2110.06914) and is passed in,
    so that a wrong constant can be put to the test. τ = k η²/(B(1−β)²) after k steps. Replicas are independent and
    choose their own steps. The order holds where H is smooth along the flow; for relu networks tr H jumps where a
    neuron changes sign on a context, and the flow is meaningful between such points only.

    Args:
        model: the finite model.
        constant: κ > 0.
        rank_tolerance: singular values of J up to this fraction of the largest count as zero when the rank of H is
            watched; the projections use every one above rounding. Default: rounding, as there.

    Raises:
        ValueError: when κ is not positive and finite, or `rank_tolerance` is not in [0, 1).
    """

    def __init__(self, model: FiniteModel, *, constant: float, rank_tolerance: float | None = None) -> None:
        if not (constant > 0 and math.isfinite(constant)):
            raise ValueError(f"expected a positive finite constant of the flow, got {constant}; the theory supplies it")
        self.model = model
        self.constant = constant
        self.constraint = MinimiserConstraint(model)
        self.rank_tolerance = MinimiserConstraint(model, rank_tolerance).rank_tolerance

    def velocity(self, theta: Float[Tensor, "replica parameter"]) -> Float[Tensor, "replica parameter"]:
        """Return X(θ) = −κ P_T ∇ tr H (exact)."""
        return self._front(theta).velocity

    def _front(self, theta: Tensor) -> Front:
        here, gradient = self.constraint.trace_gradient(theta)
        tangent = here.project(gradient)
        slope = -self.constant * tangent.square().sum(-1)
        sigma = here.singular_values
        rank = (sigma > self.rank_tolerance * sigma[:, :1]).sum(-1)
        return Front(theta, -self.constant * tangent, here.trace, slope, sigma, rank, here.off)

    def _retract(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return gauss_newton(self.constraint, theta, max_iterations=50)[:2]

    def _advance(self, front: Front, step: Tensor) -> tuple[Front, Tensor, Tensor]:
        return dormand_prince_step(front, step, self._front, self._retract)

    def integrate(
        self,
        theta: Float[Tensor, "replica parameter"],
        times: Sequence[float],
        *,
        tolerance: float = 1e-9,
        step: float | None = None,
        max_steps: int = 10_000,
    ) -> FlowResult:
        """Integrate the flow from points of Γ to the given slow times (Dormand–Prince 5, retracted to Γ).

        Args:
            theta: starting points, on Γ to √ε.
            times: strictly increasing, non-negative slow times.
            tolerance: local error allowed per step of the coarser trajectory, relative to 1 + ‖θ‖. The reported
                trajectory is the finer one, about 2⁵ times more accurate.
            step: a fixed step (the nearest that divides each interval) instead of an adaptive one.
            max_steps: bound on the accepted and rejected steps of each replica.

        Returns:
            The flow at `times`, with a global error estimate.

        Raises:
            ValueError: when times, tolerance or step make no sense.
            NotOnManifoldError: when a starting point is off Γ.
            RankChangeError: when rank H changes along the way.
            RetractionError: when a step that was retracted ends off Γ.
            FlowError: when the steps become too small or too many.
        """
        _check_request(times, tolerance, step)
        require_membership(self.constraint, theta)
        run = _Run(self, theta.new_tensor(list(times)), self._front(self._retract(theta)[0]), tolerance, step)
        while len(run.state.replica):
            run.advance(max_steps)
        return run.result()


def _check_request(times: Sequence[float], tolerance: float, step: float | None) -> None:
    mesh = list(times)
    ordered = all(a < b for a, b in itertools.pairwise(mesh))
    if not mesh or not ordered or not mesh[0] >= 0 or not math.isfinite(mesh[-1]):
        raise ValueError(f"expected strictly increasing finite times >= 0, got {mesh}; sort them, drop repetitions")
    if not 1e-14 <= tolerance < 1:
        raise ValueError(f"expected 1e-14 <= tolerance < 1, got {tolerance}; rounding limits it from below")
    if step is not None and not (step > 0 and math.isfinite(step)):
        raise ValueError(f"expected a positive fixed step, got {step}; use None for adaptive steps")


@dataclass(frozen=True)
class _State:
    """The replicas still under way: where they are, the next step and the index of the next requested time."""

    replica: Tensor
    tau: Tensor
    step: Tensor
    target: Tensor
    coarse: Front
    fine: Front

    def select(self, mask: Tensor) -> _State:
        return _State(*(column[mask] for column in vars(self).values()))


class _Run:
    """One integration: the moving state and what has been recorded so far."""

    def __init__(self, flow: SlowFlow, times: Tensor, start: Front, tolerance: float, step: float | None) -> None:
        self.flow, self.times, self.tolerance, self.fixed, self.start = flow, times, tolerance, step, start
        index = torch.arange(len(start.theta), device=times.device)
        self.steps, self.rejected = torch.zeros_like(index), torch.zeros_like(index)
        self.theta = times.new_full((len(times), *start.theta.shape), torch.nan)
        self.trace, self.error, self.trace_error = (self.theta[..., 0].clone() for _ in range(3))
        self.knots: list[Tensor] = []
        speed = start.velocity.norm(dim=-1)
        guess = torch.where(speed > 0, 0.01 * start.theta.norm(dim=-1) / speed, times[-1])
        zero = torch.zeros_like(speed)
        self.state = _State(index, zero, guess, torch.zeros_like(index), start, start)
        self._note(torch.ones_like(index, dtype=torch.bool), zero, start)
        self._record()

    def _note(self, mask: Tensor, tau: Tensor, front: Front) -> None:
        knot = self.theta.new_full((3, len(self.steps)), torch.nan)
        knot[:, self.state.replica[mask]] = torch.stack([tau, front.trace, front.slope])[:, mask]
        self.knots.append(knot)

    def _record(self) -> None:
        """Store the replicas that are at their next requested time and drop those that are done."""
        arrived = self.state.tau >= self.times[self.state.target]
        here = self.state.select(arrived)
        where, fine = (here.target, here.replica), here.fine
        epsilon = torch.finfo(fine.theta.dtype).eps
        # each retraction places θ to rounding in c, that is to ε‖θ‖σ₁/σ_r in θ; the flow adds these up
        least = fine.singular_values.gather(1, (fine.rank - 1).clamp(min=0)[:, None])[:, 0]
        count = 2 * self.steps[here.replica] + 1
        rounding = epsilon * fine.theta.norm(dim=-1) * fine.singular_values[:, 0] / least * count
        gradient = (-fine.slope / self.flow.constant).sqrt()
        self.theta[where], self.trace[where] = fine.theta, fine.trace
        self.error[where] = (here.coarse.theta - fine.theta).norm(dim=-1) / (2**ORDER - 1) + rounding
        doubling = (here.coarse.trace - fine.trace).abs() / (2**ORDER - 1)
        self.trace_error[where] = doubling + rounding * gradient + epsilon * count * fine.trace
        target = self.state.target + arrived
        self.state = replace(self.state, target=target).select(target < len(self.times))

    def _step_size(self) -> Tensor:
        """Return the step of each replica, cut so that requested times are hit and no sliver is left before them."""
        state, goal = self.state, self.times[self.state.target]
        left = goal - state.tau
        if self.fixed is not None:
            interval = goal - torch.where(state.target > 0, self.times[state.target - 1], torch.zeros_like(goal))
            return interval / (interval / self.fixed - 1e-9).ceil().clamp(min=1)
        return torch.where(state.step >= left, left, torch.minimum(state.step, left / 2))

    def advance(self, max_steps: int) -> None:
        """Take one step with every replica under way, accepted or rejected for each on its own."""
        state, h = self.state, self._step_size()
        both, error, held = self.flow._advance(state.coarse.join(state.fine), torch.cat([h, h / 2]))
        coarse, middle, error = both[: len(h)], both[len(h) :], error[: len(h)]
        fine, _, arrived = self.flow._advance(middle, h / 2)
        valid = held[: len(h)] & held[len(h) :] & arrived & error.isfinite()
        size = torch.where(valid, error / (self.tolerance * (1 + state.fine.theta.norm(dim=-1))), torch.inf)
        accepted = valid if self.fixed is not None else size <= 1
        require_retracted(fine.off[accepted])
        goal = self.times[state.target]
        reached = torch.where(h >= (goal - state.tau) * (1 - 1e-9), goal, state.tau + h)
        tau = torch.where(accepted, reached, state.tau)
        proposal = h * (0.9 * size.clamp(min=1e-12) ** (-1 / ORDER)).clamp(min=0.2, max=4)
        proposal = torch.where(accepted & (h < state.step), torch.maximum(proposal, state.step), proposal)
        self._note(accepted, state.tau + h / 2, middle)
        self._note(accepted, tau, fine)
        fine, coarse = fine.where(accepted, state.fine), coarse.where(accepted, state.coarse)
        self.state = _State(state.replica, tau, proposal, state.target, coarse, fine)
        self.steps[state.replica] += accepted
        self.rejected[state.replica] += ~accepted
        self._check_rank()
        self._check_progress(h, accepted, max_steps)
        self._record()

    def _check_rank(self) -> None:
        state = self.state
        before, now = self.start.rank[state.replica], state.fine.rank
        for first in (before != now).nonzero()[:1, 0].tolist():
            replica, shown = int(state.replica[first]), int(torch.maximum(before, now)[first])
            then, values = (
                ", ".join(f"{value:.3g}" for value in front.singular_values[row, :shown].square().tolist())
                for front, row in ((self.start, replica), (state.fine, first))
            )
            raise RankChangeError(
                f"expected rank H = {int(before[first])} along the flow, got {int(now[first])} at τ = "
                f"{float(state.tau[first]):.6g} in replica {replica}: eigenvalues of H [{values}], at the start "
                f"[{then}]; Γ is singular there and the slow flow undefined: stop earlier, or lower rank_tolerance "
                "if these eigenvalues count as nonzero"
            )

    def _check_progress(self, h: Tensor, accepted: Tensor, max_steps: int) -> None:
        state = self.state
        taken = self.steps[state.replica] + self.rejected[state.replica]
        too_small = ~accepted & ((h < 1e-13 * (1 + state.tau)) | (self.fixed is not None))
        too_many = (taken >= max_steps) & (state.tau < self.times[-1])
        for first in (too_small | too_many).nonzero()[:1, 0].tolist():
            raise FlowError(
                f"expected the flow to reach τ = {float(self.times[-1]):.6g}, got stuck at τ = "
                f"{float(state.tau[first]):.6g} in replica {int(state.replica[first])}, step {float(h[first]):.3g}, "
                f"after {int(taken[first])} steps; if tr H jumps there (relu kink) stop earlier, otherwise loosen the "
                "tolerance, take a smaller fixed step or raise max_steps"
            )

    def result(self) -> FlowResult:
        knots = torch.stack(self.knots, dim=1)
        counts = self.steps, self.rejected
        return FlowResult(self.times, self.theta, self.trace, self.error, self.trace_error, *counts, knots)
