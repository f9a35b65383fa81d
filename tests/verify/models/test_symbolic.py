"""Cross-library, closed form and error tests of symbolic models in torch: one definition, derived and measured."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sympy as sp
import torch
from torch import Tensor

from theory.kernel import logistic, logistic_slope
from theory.symbolic import SymbolicModel
from theory.symbolic.examples import alpha, bracket_model, pair_model, product_model
from verify.ensembles import Sgd, run_ensemble
from verify.minimisers import SlowFlow, random_minimiser
from verify.models import (
    BracketModel,
    PairModel,
    ProductModel,
    exact_gradient,
    exact_loss,
    fisher_trace,
    hessian,
    label_noise_covariance,
)
from verify.models import symbolic as translator
from verify.models import trace_hessian as exact_trace
from verify.models.symbolic import SymbolicTorchModel, TranslationError, evaluate

ALPHA = 1.25
Written = ProductModel | PairModel | BracketModel
MODELS: list[tuple[SymbolicModel, Written]] = [
    (product_model(), ProductModel(ALPHA)),
    (pair_model(2, 2), PairModel(2, 2, ALPHA)),
    (pair_model(3, 2), PairModel(3, 2, ALPHA)),
    (bracket_model(4, 2), BracketModel(4, 2, ALPHA)),
]
IDS = ["product", "pairs-2", "pairs-3", "brackets"]
EPS = torch.finfo(torch.float64).eps
x, y = sp.symbols("x y", real=True)
u, v, w, z, beta = sp.symbols("u v w z beta", real=True)
QUARTER = sp.Rational(1, 4)


def softmax(*scores: sp.Expr) -> tuple[sp.Expr, ...]:
    return tuple(sp.exp(s) / sp.Add(*map(sp.exp, scores)) for s in scores)


def three_tokens() -> SymbolicModel:
    """A softmax over three tokens; Γ = {uv = α, w² = β}."""
    return SymbolicModel("three", (u, v, w), THREE_SCORES, **THREE)


THREE_SCORES = (sp.S.Zero, u * v * z, w**2)
THREE: Any = {
    "contexts": ({z: -1}, {z: 2}),
    "conditional": softmax(sp.S.Zero, alpha * z, beta),
    "context_prob": (sp.Rational(2, 3), sp.Rational(1, 3)),
    "constants": (alpha, beta),
}


def points(count: int, size: int, seed: int = 0) -> Tensor:
    return torch.randn(count, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(found: Tensor, expected: Tensor, terms: int) -> bool:
    """Whether two sums of that many terms agree to rounding, relative to the largest entry."""
    return bool(((found - expected).abs() <= 16 * terms * EPS * expected.abs().max().clamp_min(1)).all())


@pytest.mark.parametrize(("symbolic", "written"), MODELS, ids=IDS)
def test_cross_library_equal_to_the_model_written_by_hand(symbolic: SymbolicModel, written: Written) -> None:
    model = SymbolicTorchModel(symbolic, alpha=ALPHA)
    assert torch.equal(model.contexts, written.contexts)
    assert dict(model.layout) == dict(written.layout)
    assert close(model.context_prob, written.context_prob, 1)
    assert close(model.conditional, written.conditional, 1)
    theta = points(5, model.n_parameters)
    terms = model.n_parameters * len(model.contexts)
    assert close(model.scores(theta, model.contexts), written.scores(theta, written.contexts), terms)
    own = torch.stack([model.contexts] * 5)
    assert torch.equal(model.scores(theta, own), model.scores(theta, model.contexts))
    for quantity in (exact_loss, exact_gradient, hessian, exact_trace, fisher_trace, label_noise_covariance):
        assert close(quantity(model, theta), quantity(written, theta), terms), quantity.__name__


@pytest.mark.parametrize("symbolic", [symbolic for symbolic, _ in MODELS[:2]], ids=IDS[:2])
def test_cross_library_symbolic_derivatives_are_those_of_autograd(symbolic: SymbolicModel) -> None:
    model = SymbolicTorchModel(symbolic, alpha=ALPHA)
    size = model.n_parameters
    theta = points(4, size, seed=1)
    table: dict[sp.Symbol, Tensor | float] = {
        alpha: ALPHA,
        **{symbol: theta[:, i] for i, symbol in enumerate(symbolic.parameters)},
    }

    def matrix(entries: sp.Matrix) -> Tensor:
        flat = [torch.as_tensor(evaluate(entry, table), dtype=torch.float64).expand(len(theta)) for entry in entries]
        return torch.stack(flat, dim=-1)

    terms = 8 * size * len(model.contexts)
    assert close(matrix(symbolic.gradient), exact_gradient(model, theta), terms)
    assert close(matrix(symbolic.hessian), hessian(model, theta).flatten(1), terms)
    assert close(matrix(sp.Matrix([symbolic.trace_hessian]))[:, 0], exact_trace(model, theta), terms)
    assert close(matrix(symbolic.gradient_noise), label_noise_covariance(model, theta).flatten(1), terms)


@pytest.mark.parametrize(("symbolic", "written"), MODELS, ids=IDS)
def test_closed_form_on_the_manifold(symbolic: SymbolicModel, written: Written) -> None:
    model = SymbolicTorchModel(symbolic, alpha=ALPHA)
    flattest = written.flattest()
    table: dict[sp.Symbol, Tensor | float] = {
        alpha: ALPHA,
        **{symbol: flattest[i] for i, symbol in enumerate(symbolic.parameters)},
    }
    terms = 8 * model.n_parameters * len(model.contexts)
    H = hessian(model, flattest)
    assert close(label_noise_covariance(model, flattest), H, terms)
    trace = torch.as_tensor(evaluate(symbolic.trace_on_manifold, table), dtype=torch.float64)
    assert close(trace, H.trace(), terms)
    for condition in symbolic.manifold:
        off = torch.as_tensor(evaluate(condition.lhs - condition.rhs, table), dtype=torch.float64)
        assert close(off, torch.zeros((), dtype=torch.float64), terms)


def test_closed_form_third_order_on_the_product_model() -> None:
    """∇ tr H through the model: tr H = σ'(α)(u² + v²) + … is differentiated a third time by autograd."""
    model = SymbolicTorchModel(product_model(), alpha=ALPHA)
    theta = torch.tensor([0.7, -0.4], dtype=torch.float64)
    found = torch.func.grad(lambda point: exact_trace(model, point))(theta)
    symbolic = product_model()
    table = dict(zip(symbolic.parameters, theta, strict=True)) | {alpha: ALPHA}
    slopes = (evaluate(sp.diff(symbolic.trace_hessian, symbol), table) for symbol in symbolic.parameters)
    expected = torch.stack([torch.as_tensor(slope) for slope in slopes])
    assert close(found, expected, 64)


@pytest.mark.parametrize(("symbolic", "written"), MODELS, ids=IDS)
def test_property_noise_is_the_hessian_all_over_the_manifold(symbolic: SymbolicModel, written: Written) -> None:
    model = SymbolicTorchModel(symbolic, alpha=ALPHA)
    theta = random_minimiser(written, torch.Generator().manual_seed(7), 4, max_rejections=400).theta

    def prob(point: Tensor) -> Tensor:
        return torch.softmax(model.scores(point, model.contexts), -1)

    def gap(where: Tensor) -> float:
        return float((label_noise_covariance(model, where) - hessian(model, where)).abs().max())

    # Cov − H = E Σ_y (p*_y/p_y − 1) ∇²p_y − ∇L∇Lᵀ, and |∇L| is at most as far off as |p*/p − 1| times |∇p|.
    here = torch.func.vmap(prob)(theta)
    distance = float((model.conditional / here - 1).abs().max())
    bending = float(torch.func.vmap(torch.func.jacrev(torch.func.jacrev(prob)))(theta).abs().max())
    slope = float(torch.func.vmap(torch.func.jacrev(prob))(theta).abs().max())
    rounding = 16 * EPS * model.n_parameters * len(model.contexts) * max(1.0, float(hessian(model, theta).abs().max()))
    bound = 2 * distance * bending + (2 * distance * slope) ** 2 + rounding
    assert distance < 1e-9
    assert gap(theta) <= bound
    assert gap(theta + 0.5) > 1e3 * bound


@pytest.mark.parametrize(("symbolic", "written"), MODELS[:2], ids=IDS[:2])
def test_cross_library_slow_flow_is_that_of_the_engine(symbolic: SymbolicModel, written: Written) -> None:
    theta = random_minimiser(written, torch.Generator().manual_seed(5), 4).theta
    table = dict(zip(symbolic.parameters, theta.unbind(-1), strict=True)) | {alpha: ALPHA}
    flow = torch.stack([torch.as_tensor(evaluate(entry, table)) for entry in symbolic.slow_flow(QUARTER)], dim=-1)
    for model in (written, SymbolicTorchModel(symbolic, alpha=ALPHA)):
        velocity = SlowFlow(model, constant=float(QUARTER)).velocity(theta)
        # Both projections divide by the squared singular values of a 1 or 2-row Jacobian of order one.
        assert close(velocity, flow, 1000)
    assert float(flow.abs().max()) > 0.01


def test_closed_form_flow_of_the_product_model_decays() -> None:
    symbolic = product_model()
    flow = symbolic.slow_flow(QUARTER)
    theta = ProductModel(ALPHA).on_manifold(0.6)
    table = dict(zip(symbolic.parameters, theta, strict=True)) | {alpha: ALPHA}
    du, dv = (evaluate(component, table) for component in flow)
    decay = torch.sigmoid(torch.tensor(ALPHA, dtype=torch.float64))
    imbalance = theta[0] ** 2 - theta[1] ** 2
    assert close(2 * theta[0] * du - 2 * theta[1] * dv, -decay * (1 - decay) * imbalance, 64)


@pytest.mark.parametrize("engine", ["torch", "compiled"])
@pytest.mark.parametrize(("symbolic", "written"), MODELS[:2], ids=IDS[:2])
def test_cross_library_ensembles_follow_the_same_path(symbolic: SymbolicModel, written: Written, engine: str) -> None:
    model = SymbolicTorchModel(symbolic, alpha=ALPHA)
    start = 0.4 * points(6, model.n_parameters, seed=2)
    sgd = Sgd(learning_rate=0.05, batch_size=2, momentum=0.5)
    found = run_ensemble(model, start, sgd, 25, seed=3)
    expected = run_ensemble(written, start, sgd, 25, seed=3, engine=engine, threads=1)  # type: ignore[arg-type]
    assert (found.engine, expected.engine) == ("torch", engine)
    # 25 steps of about 64 operations each; growth along unstable directions is below e^{25 · 0.05 · 2/(1 − β)}.
    assert close(found.theta, expected.theta, 25 * 64)
    assert float((found.theta - start).abs().max()) > 0.05


def test_cross_library_float32_and_moved_models() -> None:
    model = SymbolicTorchModel(pair_model(2, 2), alpha=ALPHA)
    moved = model.to(dtype=torch.float32)
    theta = points(3, model.n_parameters)
    scores = moved.scores(theta.float(), moved.contexts)
    assert scores.dtype == torch.float32
    bound = 256 * torch.finfo(torch.float32).eps * float(scores.abs().max())
    assert bool(((scores - model.scores(theta, model.contexts)).abs() <= bound).all())


def test_closed_form_softmax_of_three_tokens() -> None:
    symbolic = three_tokens()
    model = SymbolicTorchModel(symbolic, alpha=ALPHA, beta=0.5)
    theta = points(4, 3, seed=4)
    uv, ww = theta[:, :1] * theta[:, 1:2], theta[:, 2:] ** 2
    features = model.contexts[:, 0]
    prob = torch.stack([torch.ones(4, 2).double(), (uv * features).exp(), ww.exp().expand(4, 2)], dim=-1)
    prob = prob / prob.sum(-1, keepdim=True)
    assert close(torch.softmax(model.scores(theta, model.contexts), -1), prob, 16)

    def table(where: Tensor) -> dict[sp.Symbol, Any]:
        return dict(zip(symbolic.parameters, where.unbind(-1), strict=True)) | {alpha: ALPHA, beta: 0.5}

    def entries(matrix: sp.Matrix, where: Tensor) -> Tensor:
        return torch.stack([torch.as_tensor(evaluate(entry, table(where))).expand(4) for entry in matrix], dim=-1)

    assert close(exact_gradient(model, theta), entries(symbolic.gradient, theta), 256)
    assert close(hessian(model, theta).flatten(1), entries(symbolic.hessian, theta), 256)
    assert close(label_noise_covariance(model, theta).flatten(1), entries(symbolic.gradient_noise, theta), 256)
    here = torch.stack([theta[:, 0], ALPHA / theta[:, 0], torch.full((4,), 0.5).double().sqrt()], dim=-1)
    assert {condition.subs({v: alpha / u, w: sp.sqrt(beta)}) for condition in symbolic.manifold} == {sp.true}
    H = hessian(model, here)
    assert close(label_noise_covariance(model, here), H, 256)
    assert close(H.flatten(1), entries(symbolic.hessian_on_manifold, here), 256)
    assert close(exact_trace(model, here), entries(sp.Matrix([symbolic.trace_on_manifold]), here)[:, 0], 256)
    velocity = SlowFlow(model, constant=float(QUARTER)).velocity(here)
    assert close(velocity, entries(symbolic.slow_flow(QUARTER), here), 1000)


@pytest.mark.parametrize(("gradient", "moves"), [("soft", False), ("sampled", True)])
def test_closed_form_three_tokens_move_along_the_manifold_on_sampled_labels_only(gradient: Any, moves: bool) -> None:
    model = SymbolicTorchModel(three_tokens(), alpha=ALPHA, beta=0.5)
    start = torch.tensor([[2.0, ALPHA / 2, math.sqrt(0.5)]] * 3, dtype=torch.float64)
    result = run_ensemble(model, start, Sgd(learning_rate=0.05, gradient=gradient), 40, seed=1)
    assert result.engine == "torch"
    assert not result.diverged
    assert close(result.theta, start, 40) is not moves


def test_closed_form_three_tokens_and_constants_in_scores() -> None:
    symbolic = SymbolicModel(
        "three",
        (x,),
        (sp.S.Zero, x * alpha, sp.Integer(1)),
        ({},),
        (sp.Rational(1, 2), sp.Rational(1, 4), sp.Rational(1, 4)),
        constants=(alpha,),
    )
    model = SymbolicTorchModel(symbolic, alpha=2.0)
    theta = torch.tensor([[0.5], [1.5]], dtype=torch.float64)
    assert torch.equal(
        model.scores(theta, model.contexts)[:, 0], torch.tensor([[0.0, 1.0, 1.0], [0.0, 3.0, 1.0]]).double()
    )


@pytest.mark.parametrize(
    ("expr", "function"),
    [
        (sp.exp(x) * sp.log(y), lambda p, q: p.exp() * q.log()),
        (sp.tanh(x) + sp.sin(x) * sp.cos(y), lambda p, q: p.tanh() + p.sin() * q.cos()),
        (sp.Abs(x - y) * sp.sign(x), lambda p, q: (p - q).abs() * p.sign()),
        (sp.Max(x, y, 1) - sp.Min(x, 2), lambda p, q: torch.maximum(p, q).clamp_min(1) - p.clamp_max(2)),
        (sp.sqrt(y) / x**2 + y ** sp.Rational(-3, 2), lambda p, q: q.sqrt() / p**2 + q**-1.5),
        (y**x + x**7, lambda p, q: q**p + p**7),
        (logistic(x) + logistic_slope(y), lambda p, q: torch.sigmoid(p) + torch.sigmoid(q) * torch.sigmoid(-q)),
        (sp.sinh(x) - sp.cosh(y) * sp.erf(x), lambda p, q: p.sinh() - q.cosh() * p.erf()),
        (sp.Heaviside(x - y, 0) * sp.pi, lambda p, q: (p > q).double() * math.pi),
    ],
)
def test_cross_library_functions(expr: sp.Expr, function: object) -> None:
    p = torch.tensor([0.3, 1.7, -0.9], dtype=torch.float64)
    q = torch.tensor([0.8, 0.2, 2.5], dtype=torch.float64)
    assert callable(function)
    assert close(torch.as_tensor(evaluate(expr, {x: p, y: q})), function(p, q), 8)


def test_closed_form_subexpressions_shared_by_scores_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(arguments: list[translator.Value]) -> translator.Value:
        calls.append(arguments)
        return torch.as_tensor(arguments[0]).exp()

    shared = sp.exp(u * v)
    third = sp.Rational(1, 3)
    symbolic = SymbolicModel("shared", (u, v), (shared, u + shared, sp.tanh(shared)), ({},), (third, third, third))
    model = SymbolicTorchModel(symbolic)
    monkeypatch.setitem(translator._RULES, sp.exp, counted)
    model.scores(points(2, 2), model.contexts)
    assert [len(arguments) for arguments in calls] == [1]


def test_closed_form_log_of_a_logistic_neither_overflows_nor_loses_derivatives() -> None:
    far = torch.tensor([-800.0, 0.3, 800.0]).double()
    # log σ(x) = x − softplus(x): slope σ(−x), then −σ', then −σ'(1 − 2σ).
    probability = torch.sigmoid(far)
    slope = probability * torch.sigmoid(-far)
    for expr, sign in ((sp.log(logistic(x)), 1), (sp.log(1 - logistic(x)), -1)):

        def function(point: Tensor, expr: sp.Expr = expr) -> Tensor:
            return torch.as_tensor(evaluate(expr, {x: point}))

        first = torch.func.grad(function)
        second, third = torch.func.grad(first), torch.func.grad(torch.func.grad(first))
        value = torch.as_tensor(function(far))
        assert torch.allclose(value, -torch.logaddexp(-sign * far, torch.zeros(3).double()), rtol=8 * EPS, atol=0)
        assert close(torch.func.vmap(first)(far), sign * torch.sigmoid(-sign * far), 8)
        assert close(torch.func.vmap(second)(far), -slope, 8)
        assert close(torch.func.vmap(third)(far), -slope * (1 - 2 * probability), 8)


def test_closed_form_what_is_not_a_number_stays_so() -> None:
    nan = torch.tensor(math.nan).double()
    for expr in (sp.Max(0, x), sp.Min(0, x), sp.Max(x, y), sp.Min(y, x, 1)):
        for table in ({x: nan, y: torch.ones(()).double()}, {x: nan, y: nan}):
            assert bool(torch.as_tensor(evaluate(expr, table)).isnan())


@pytest.mark.parametrize("at_zero", [sp.S.Zero, sp.Rational(1, 2), sp.S.One])
def test_closed_form_step_at_zero_is_the_one_asked_for(at_zero: sp.Expr) -> None:
    points_around = torch.tensor([-1.0, 0.0, 2.0]).double()
    found = torch.as_tensor(evaluate(sp.Heaviside(x, at_zero), {x: points_around}))
    assert found.tolist() == [0.0, float(at_zero), 1.0]


def test_closed_form_relu_has_slope_zero_at_zero() -> None:
    point = torch.tensor(0.0, dtype=torch.float64)
    for expr in (sp.Max(0, x), sp.Max(x, 0) ** 2, sp.Min(x, 0)):
        assert torch.func.grad(lambda t, expr=expr: evaluate(expr, {x: t}))(point) == 0


def test_closed_form_powers_have_finite_derivatives_at_zero() -> None:
    third = torch.func.grad(torch.func.grad(torch.func.grad(lambda s: evaluate(x**3 + x**2, {x: s}))))
    assert third(torch.tensor(0.0, dtype=torch.float64)) == 6


@pytest.mark.parametrize(
    ("expr", "message"),
    [
        (sp.besselj(0, x), "besselj"),
        (sp.Function("f")(x), "f in f"),
        (x + y, "the symbol y has no value"),
        (sp.I + 1, "not a finite real number"),
        (sp.oo, "not a finite real number"),
    ],
)
def test_error_untranslatable(expr: sp.Expr, message: str) -> None:
    with pytest.raises(TranslationError, match=message):
        evaluate(expr, {x: torch.ones(())})


@pytest.mark.parametrize("values", [{}, {"alpha": 1.0, "beta": 2.0}, {"alpha": math.inf}])
def test_error_constants(values: dict[str, float]) -> None:
    with pytest.raises(TranslationError, match="expected finite numbers for"):
        SymbolicTorchModel(product_model(), **values)


def test_closed_form_contexts_may_depend_on_constants() -> None:
    symbolic = SymbolicModel(
        "moved", (u,), (0, u * z), ({z: alpha}, {z: 1}), (QUARTER, 3 * QUARTER), constants=(alpha,)
    )
    assert SymbolicTorchModel(symbolic, alpha=2.5).contexts.tolist() == [[2.5], [1.0]]


@pytest.mark.parametrize("value", [-0.5, 1.5])
def test_error_constants_that_make_no_probabilities(value: float) -> None:
    tokens = SymbolicModel("tokens", (u,), (0, u), ({},), (alpha, 1 - alpha), constants=(alpha,))
    contexts = SymbolicModel(
        "contexts", (u,), (0, u * z), ({z: 1}, {z: 2}), (QUARTER, 3 * QUARTER), (alpha, 1 - alpha), constants=(alpha,)
    )
    for symbolic in (tokens, contexts):
        assert SymbolicTorchModel(symbolic, alpha=0.25).n_parameters == 1
        with pytest.raises(TranslationError, match=f"probabilities of {symbolic.name} that sum to 1"):
            SymbolicTorchModel(symbolic, alpha=value)


def test_error_scores_are_translated_when_the_model_is_made() -> None:
    symbolic = SymbolicModel("odd", (x,), (sp.S.Zero, sp.besselj(0, x)), ({},), (sp.Rational(1, 2), sp.Rational(1, 2)))
    with pytest.raises(TranslationError, match="besselj"):
        SymbolicTorchModel(symbolic)
