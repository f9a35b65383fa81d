"""Checks that build a statement from an earlier one: the sum of its terms, and induction along a recurrence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import sympy as sp

from theory.kernel.analysis import check_identity
from theory.kernel.domain import check_sums, conditions, evident_conditions
from theory.kernel.failure import CheckFailedError
from theory.kernel.inequality import Terms, Termwise, check_terms, sample_inequality
from theory.kernel.normal_form import remainder
from theory.kernel.premises import Premise, check_runs, check_values, meaning_of, names_in, undischarged
from theory.kernel.signs import Signs, gap, is_strict
from theory.kernel.substitution import Runs, bound_symbols, instantiated, rewritten

Found = tuple[str, tuple[sp.Expr, ...], frozenset[Premise]]


def check_termwise(
    statement: sp.Rel,
    certificate: Termwise,
    source: sp.Rel,
    equality: Iterable[sp.Expr],
    premises: Iterable[Premise],
    given: Iterable[Premise],
    facts: Iterable[sp.Basic],
    runs: Runs,
) -> Found:
    """Establish an inequality between sums from one between their terms.

    Raises:
        CheckFailedError: the terms are others, the index leaves its domain, or a premise holds for one index only.
    """
    index, low, high = certificate.index, sp.sympify(certificate.low), sp.sympify(certificate.high)
    if not (index.is_Symbol and index.is_integer) or index in low.free_symbols | high.free_symbols:
        raise CheckFailedError(f"the index {index} must be an integer symbol of which the limits are independent")
    running = [fact for fact in facts if runs(index, fact)]
    usable = Signs(running, runs)
    check_values(certificate.instance, usable)
    kept = undischarged(premises, certificate.instance, running, usable)
    kept |= conditions(sp.Tuple(*certificate.instance.values()), usable)
    in_range = Signs([sp.Ge(index, low), sp.Le(index, high)])
    rest_on = check_runs(index, {*kept, *given}, in_range)
    one = instantiated(gap(source), certificate.instance)
    if is_strict(statement):
        raise CheckFailedError("a sum over possibly no term is never strictly greater")
    total = sp.Sum(one, (index, low, high))
    check_sums(total)
    left_over = remainder(gap(statement) - total)
    if left_over != 0:
        raise CheckFailedError(f"summing the terms does not give {statement}; the remainder is {left_over}")
    factors = tuple(instantiated(factor, certificate.instance) for factor in equality)
    return f"sum of the terms of the earlier step, for every {index} from {low} to {high}", factors, rest_on


class Recurrence:
    """x_{k+1} = update(x_k), x_0 = initial, where a counter is a symbol that grows by 1.

    Raises:
        CheckFailedError: initial values and updates name different symbols, or an assumption on a symbol is not
            kept by the recurrence.
    """

    def __init__(self, initial: Mapping[sp.Symbol, sp.Expr], update: Mapping[sp.Symbol, sp.Expr]) -> None:
        indexed = [state for state in update if isinstance(state, sp.Indexed)]
        # x_j, for one j that is not touched, is a symbol like any other.
        self.alias = {state: sp.Dummy(str(state), **meaning_of(state)._assumptions_orig) for state in indexed}
        self.written = {dummy: state for state, dummy in self.alias.items()}
        self.initial = {self.plain(symbol): self.plain(sp.sympify(value)) for symbol, value in initial.items()}
        self.update = {self.plain(symbol): self.plain(sp.sympify(value)) for symbol, value in update.items()}
        if self.initial.keys() != self.update.keys():
            raise CheckFailedError(f"initial values for {list(initial)}, updates for {list(update)}: name the same")
        # Whatever else grows by 1 is a state: its symbol does not say that it is a whole number from its start on.
        self.counters = [
            s
            for s, value in self.update.items()
            if value == s + 1 and s.is_integer and self.initial[s].is_Integer and (s - self.initial[s]).is_nonnegative
        ]
        self.states = [s for s in self.update if s not in self.counters]
        started = set().union(*(value.free_symbols for value in self.initial.values()))
        if started & self.update.keys():
            raise CheckFailedError(f"initial values depend on {started & self.update.keys()}, which change")
        # A counter that starts below its symbol's domain must still be followed from its start.
        self.running = {s: self.initial[s] + sp.Dummy(s.name, integer=True, nonnegative=True) for s in self.counters}
        for state in self.states:
            for value in (self.initial[state], self.update[state].subs(self.running)):
                check_values({state: value}, Signs())

    def plain(self, expr: sp.Basic) -> sp.Basic:
        """Write symbols for the indexed states.

        Raises:
            CheckFailedError: a Σ runs over the index of a state.
        """
        indices = set().union(*(index.free_symbols for state in self.alias for index in state.indices))
        if indices & bound_symbols(expr) or indices & set(getattr(self, "update", {})):
            raise CheckFailedError(f"an indexed state needs an index of its own, not {indices}, in {expr}")
        return expr.xreplace(self.alias)

    def premises(self) -> frozenset[Premise]:
        """What gives the states their meaning: each its own rule, with what else changes in it."""
        found = set()
        for state in self.states:
            written = self.written.get(state, state)
            involved = sorted(
                self.update[state].free_symbols & self.update.keys() | {state, *self.counters}, key=sp.default_sort_key
            )
            rule = sp.Tuple(*(sp.Tuple(s, self.initial[s], self.update[s]) for s in involved)).xreplace(self.written)
            name, meaning = f"recurrence of {written}", meaning_of(written)
            bound = frozenset(meaning_of(self.written.get(s, s)) for s in involved)
            statement = sp.Tuple(rule, sp.Tuple(*self.counters))
            found.add(Premise("dynamics", name, statement, (meaning,), bound, isinstance(written, sp.Indexed)))
        return frozenset(found)


def check_induction(
    invariant: sp.Rel,
    recurrence: Recurrence,
    certificate: Terms | None,
    facts: list[sp.Basic],
    given: Iterable[Premise],
    rewrite: Mapping[sp.Expr, sp.Expr],
    grounds: Mapping[sp.Basic, frozenset[Premise]],
) -> Found:
    """Establish an invariant: true at the start, kept by the update.

    Raises:
        CheckFailedError: it fails at the start, an update does not keep it, or what it rests on speaks of one step.
    """
    initial, update = recurrence.initial, recurrence.update
    states = {meaning_of(recurrence.written.get(state, state)) for state in recurrence.states}
    rest_on = set(given)
    for premise in given:
        if premise.kind == "dynamics":
            stale = set(premise.defines) & names_in(invariant) - states
            if stale and premise.mentions & set(recurrence.counters):
                raise CheckFailedError(f"{stale} change from step to step as well and must be updated too")
        elif premise.mentions & states:
            raise CheckFailedError(f"{premise.kind} {premise.name!r} speaks of one step, the invariant of all")
    for counter in recurrence.counters:
        follows = {premise for premise in rest_on if premise.kind != "dynamics"}
        in_range = Signs([sp.Ge(counter, initial[counter])])
        rest_on = (rest_on - follows) | check_runs(counter, follows, in_range)

    def at(place: Mapping[sp.Symbol, sp.Expr], expr: sp.Basic) -> sp.Basic:
        return instantiated(expr, place)

    invariant, facts = recurrence.plain(invariant), [recurrence.plain(fact) for fact in facts]
    rewrite = {recurrence.plain(left): recurrence.plain(right) for left, right in rewrite.items()}
    grounds = {recurrence.plain(fact): premises for fact, premises in grounds.items()}
    start, running = initial, recurrence.running
    runs = runs_with({**grounds, **{at(running, fact): premises for fact, premises in grounds.items()}})
    after, previous = at(running, at(update, invariant)), at(running, invariant)
    varying = {*initial, *recurrence.states}.union(*(value.free_symbols for value in running.values()))
    terms_of = () if certificate is None else (*certificate.terms, *certificate.using.values())
    for parts, known in (
        (start.values(), [at(start, fact) for fact in facts]),
        ([at(running, part) for part in (*update.values(), *terms_of)], [*(at(running, f) for f in facts), previous]),
    ):
        rest_on |= {
            replace(condition, statement=condition.statement.xreplace(recurrence.written))
            for condition in evident_conditions(parts, Signs(known, runs), varying)
        }
    if isinstance(invariant, sp.Equality):
        base = check_identity(*(at(start, side) for side in invariant.args))
        old = {at(running, invariant.lhs): at(running, invariant.rhs)}
        moved = {at(running, left): at(running, right) for left, right in rewrite.items()}
        sides = (at(running, at(update, side)) for side in invariant.args)
        check_identity(*(rewritten(side, {**old, **moved}, runs) for side in sides))
        return f"base: {base}; the update keeps it", (), frozenset(rest_on)
    first = at(start, invariant)
    if first == sp.false:
        raise CheckFailedError(f"the invariant {invariant} fails at the start {dict(initial)}")
    if first != sp.true:
        _check_base(first, rewrite, runs)
    if certificate is None:
        raise CheckFailedError(f"the inductive step of {invariant} needs a certificate")
    moved_facts = [at(running, fact) for fact in facts]
    moved = {at(running, left): at(running, right) for left, right in rewrite.items()}
    terms = Terms(
        tuple(at(running, recurrence.plain(sp.sympify(term))) for term in certificate.terms),
        {step: at(running, recurrence.plain(sp.sympify(multiplier))) for step, multiplier in certificate.using.items()},
    )
    if terms.using.keys() - {"previous"}:
        raise CheckFailedError(f"an inductive step may only use 'previous', got {list(terms.using)}")
    check_terms(
        after,
        terms,
        {"previous": gap(previous)},
        {"previous": is_strict(invariant)},
        Signs(moved_facts, runs),
        moved,
        runs,
    )
    evidence = sample_inequality(after, [*moved_facts, previous], moved, runs)
    return f"base and update hold; {evidence}", (), frozenset(rest_on)


def _check_base(first: sp.Rel, rewrite: Mapping[sp.Expr, sp.Expr], runs: Runs) -> None:
    difference = rewritten(gap(first), rewrite, runs)
    if not is_strict(first) and remainder(difference) == 0:
        return
    check_terms(first, Terms((gap(first),)), {}, {}, Signs(), rewrite, runs)


def runs_with(equations: Mapping[sp.Basic, frozenset[Premise]]) -> Callable[[sp.Basic, sp.Basic], bool]:
    """Return the test whether a stated fact holds for every value of an index, given what each fact rests on."""

    def runs(index: sp.Basic, statement: sp.Basic) -> bool:
        if index not in statement.free_symbols:
            return True
        premises = equations.get(statement)
        if premises is None:
            return False
        try:
            check_runs(index, premises, Signs())
        except CheckFailedError:
            return False
        return True

    return runs
