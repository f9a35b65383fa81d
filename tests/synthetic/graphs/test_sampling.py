"""Samplers of graph languages: one law by three routes, diagnostics that speak up, refusals."""

import math

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import synthetic.graphs.coupling
import synthetic.graphs.gibbs
from synthetic.graphs import CouplingError, TokenGraph, TreewidthError, from_networkx, hypergraph, potts_from_networkx
from synthetic.graphs.gibbs import GibbsSample, MixingError
from synthetic.graphs.markov_field import Sampler
from synthetic.testing.oracle import Case

GRID = nx.grid_2d_graph(3, 3)
UNFRUSTRATED = {
    "ferromagnet in a field": from_networkx(GRID, 0.4, -0.3),
    "antiferromagnet on a bipartite graph": from_networkx(GRID, -0.5, 0.2),
    "tree of any signs": hypergraph({(0, 1): 1.0, (1, 2): -1.5, (1, 3): 0.7, (0,): 0.4, (4,): -0.6}),
    "zero weight on a larger edge": hypergraph({(0, 1): 0.3, (0, 1, 2): 0.0}),
    "extreme": from_networkx(nx.path_graph(3), 0.3, 30.0),
    "one token": TokenGraph(1, ((0,),), (0.5,)),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def check_law(language: TokenGraph, sampler: Sampler, n: int) -> None:
    """Hold the draws to the DKWM band that an honest sampler leaves with probability 1e-6; the seed is fixed."""
    case = Case(language, n, 1e-6, 0)
    case.check_frequencies(case.exact, language.sample(n, generator(1), sampler=sampler), "sentence")


@pytest.mark.parametrize("name", UNFRUSTRATED)
def test_perfect_sampling_follows_the_enumerated_law(name: str) -> None:
    check_law(UNFRUSTRATED[name], "coupling", 5000)


@pytest.mark.parametrize("name", ["ferromagnet in a field", "tree of any signs"])
def test_elimination_follows_the_enumerated_law(name: str) -> None:
    check_law(UNFRUSTRATED[name], "elimination", 5000)


def test_mixed_gibbs_chains_follow_the_enumerated_law() -> None:
    language = from_networkx(nx.cycle_graph(5), -0.2, 0.1)
    check_law(language, "gibbs", 2000)
    run = language.gibbs(10, generator(), 64)
    assert isinstance(run, GibbsSample)
    assert (run.sentences.shape, run.sweeps, run.chains) == ((10, 5), 64, 32)
    assert 0.9 < run.r_hat < 1.5


def test_r_hat_is_about_one_plus_the_autocorrelation_time_over_the_record() -> None:
    # A single free token is redrawn independently in every sweep: autocorrelation time one.
    fair = TokenGraph(1, (), ()).gibbs(2000, generator(), 400)
    assert fair.r_hat == pytest.approx(1.0, abs=1e-3)
    # Two coupled tokens, redrawn in turn: the correlation of sweeps decays as r = tanh² θ, τ = (1 + r)/(1 − r).
    theta, half = 1.0, 100
    r = math.tanh(theta) ** 2
    tau = (1 + r) / (1 - r)
    pair = from_networkx(nx.path_graph(2), theta).gibbs(2000, generator(), 4 * half)
    # B/(L W) is τ/L to first order; the error is of second order in τ/L, plus a percent of noise.
    assert pair.r_hat**2 - 1 == pytest.approx((tau - 1) / half, rel=3 * tau / half)


def test_chains_that_do_not_mix_are_refused() -> None:
    frozen = from_networkx(nx.complete_graph(6), 30.0)
    assert frozen.gibbs(100, generator(), 40).r_hat == math.inf
    with pytest.raises(MixingError, match=r"expected Gibbs chains with split R-hat <= 1.02 after 400 sweeps, got inf"):
        frozen.sample(10, generator(), sampler="gibbs")
    slow = from_networkx(nx.path_graph(2), 3.0)
    with pytest.raises(MixingError, match=r"call gibbs\(n, generator, sweeps\) with more sweeps"):
        slow.sample(10, generator(), sampler="gibbs")
    # Tokens that are certain are no obstacle, whatever their weight rounds to.
    for field in (100.1, 100.3, -300.7):
        assert from_networkx(nx.empty_graph(3), 0.0, field).gibbs(100, generator(), 8).r_hat == 1.0
    half = TokenGraph(2, ((0,),), (700.0,))
    assert half.gibbs(100, generator(), 80).r_hat == pytest.approx(1.0, abs=0.03)


def test_potts_chains_mix() -> None:
    language = potts_from_networkx(nx.cycle_graph(5), 3, 0.5)
    run = language.gibbs(2000, generator(), 100)
    assert run.r_hat < 1.1
    case = Case(language, 2000, 1e-6, 0)
    case.check_frequencies(case.exact, run.sentences, "sentence")


def test_a_wide_ferromagnet_is_sampled_perfectly_without_being_asked() -> None:
    wide = from_networkx(nx.grid_2d_graph(25, 25), 0.3)
    with pytest.raises(TreewidthError):
        _ = wide.log_partition
    x = wide.sample(100, generator())
    assert x.shape == (100, 625)
    correlation = (2 * x.reshape(100, 25, 25) - 1).double()
    found = float((correlation[:, 6:19, 6:18] * correlation[:, 6:19, 7:19]).mean())
    # A hundred sentences of 156 bonds: the error is about 0.01, and the boundary is three correlation lengths away.
    assert found == pytest.approx(onsager(0.3), abs=0.03)


def onsager(theta: float) -> float:
    """E x_i x_j of neighbours on the infinite square lattice."""
    k = 2 * math.sinh(2 * theta) / math.cosh(2 * theta) ** 2
    angle = (torch.arange(10_000, dtype=torch.float64) + 0.5) * math.pi / 20_000
    elliptic = float((1 / (1 - k**2 * angle.sin() ** 2).sqrt()).mean()) * math.pi / 2
    return (1 / math.tanh(2 * theta)) * (1 + 2 / math.pi * (2 * math.tanh(2 * theta) ** 2 - 1) * elliptic) / 2


def test_what_cannot_be_sampled_exactly_names_the_ways_out() -> None:
    both = nx.complete_bipartite_graph(26, 26)
    glass = from_networkx(both, lambda rng: rng.normal(0, 0.02), generator=np.random.default_rng(0))
    assert glass.gauge() is None
    with pytest.raises(TreewidthError, match=r'sampler="coupling".*or "gibbs" draws'):
        glass.sample(5, generator())
    with pytest.raises(TreewidthError, match="elimination tables"):
        glass.sample(5, generator(), sampler="elimination")
    with pytest.raises(CouplingError, match="expected pairs of two tokens without a frustrated cycle"):
        glass.sample(5, generator(), sampler="coupling")
    chosen = TokenGraph(glass.T, glass.interactions, glass.weights, (3,), "gibbs")
    assert chosen.estimate_entropy_floor(100, generator()).estimate < math.log(2)


def test_coupling_gives_up_at_its_caps(monkeypatch: pytest.MonkeyPatch) -> None:
    cold = from_networkx(nx.complete_graph(12), 2.0)
    monkeypatch.setattr(synthetic.graphs.coupling, "MAX_SWEEPS", 20)
    with pytest.raises(CouplingError, match="expected coupled chains to meet within 20 sweeps"):
        cold.sample(5, generator(), sampler="coupling")
    monkeypatch.setattr(synthetic.graphs.coupling, "MAX_BLOCKS", 1)
    with pytest.raises(CouplingError, match="expected every lane to be done within 1 blocks"):
        UNFRUSTRATED["one token"].sample(5, generator(), sampler="coupling")


@given(st.integers(2, 7), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_gauge_exists_exactly_without_frustrated_cycles(T: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = nx.gnp_random_graph(T, 0.5, seed=seed)
    language = from_networkx(graph, lambda g: float(g.choice([-1.0, 1.0])), generator=rng)
    gauge = language.gauge()
    # Without frustration, and only then, some sentence satisfies every pair.
    assert (gauge is not None) == bool((language._all_deficits(language.candidates()) == 0).any())
    if gauge is not None:
        pairs = zip(language.interactions, language.weights, strict=True)
        assert all(w * gauge[i] * gauge[j] >= 0 for (i, j), w in pairs)


def test_lanes_in_turn_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic.graphs.coupling, "TOKENS", 63)
    monkeypatch.setattr(synthetic.graphs.gibbs, "MOST_CHAINS", 32)
    language = UNFRUSTRATED["ferromagnet in a field"]
    assert language.sample(20, generator(), "cpu", "coupling").shape == (20, 9)
    assert language.sample(0, generator(), sampler="coupling").shape == (0, 9)
    assert language.sample(0, generator(), sampler="gibbs").shape == (0, 9)
    run = TokenGraph(9, (), ()).gibbs(70, generator(), 8)
    assert (run.sentences.shape, run.chains) == ((70, 9), 32)
    # Chains of different turns are different chains.
    assert len(torch.unique(run.sentences, dim=0)) > 32


def test_bad_requests_are_refused() -> None:
    language = TokenGraph(1, ((0,),), (0.5,))
    for sampler in ("elimination", "coupling", "gibbs"):
        with pytest.raises(ValueError, match="expected a sample size n >= 0, got -1"):
            language.sample(-1, generator(), sampler=sampler)
    with pytest.raises(ValueError, match="expected a sample size n >= 0, got -1"):
        language.gibbs(-1, generator())
    object.__setattr__(language, "sampler", "x")
    for request in (lambda: language.sample(1, generator()), language._check_field):
        with pytest.raises(ValueError, match=r"expected a sampler among \('exact', .*'gibbs'\), got 'x'"):
            request()
    with pytest.raises(ValueError, match="expected sweeps >= 8, got 7"):
        language.gibbs(1, generator(), 7)
