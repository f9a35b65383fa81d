"""The kernel: the only place that may mark a step of a derivation as checked.

A `Derivation` is a list of steps; each is checked when it is added and refused when it fails. What has been checked
is written in a ledger private to this module, so a `Step` that was built, copied or altered anywhere else is not
checked, whatever it claims. A step means: if its premises hold, its statement holds for all values of its symbols
that their assumptions allow; `theory.kernel.premises` says what becomes of premises. A sum over an empty range is 0,
a product 1, and a range that runs backwards is empty. Statements are of the language that `theory.kernel.language`
rebuilds them in, and in one derivation a name stands for one thing.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import sympy as sp

from theory.kernel.analysis import check_cases, check_identity, check_limit, check_ode, check_series
from theory.kernel.domain import check_sums, conditions, conditions_along
from theory.kernel.door import HOLDS, Examined, Model, attack, examine
from theory.kernel.dynamics import check_constant_along, flow_premises, refuse_dependence
from theory.kernel.failure import CheckFailedError
from theory.kernel.inequality import (
    RootIsolation,
    Terms,
    Termwise,
    check_root_isolation,
    check_terms,
    sample_inequality,
)
from theory.kernel.language import Meaning, check_names, check_statement, entered
from theory.kernel.notation import html_table, statement_latex
from theory.kernel.points import UndefinedAtPointError
from theory.kernel.premises import Premise, check_values, combined, undischarged
from theory.kernel.signs import Signs, gap, is_strict
from theory.kernel.structural import Recurrence, check_induction, check_termwise, runs_with
from theory.kernel.substitution import bound_symbols, instantiated, rewritten

__all__ = ["CheckFailedError", "Derivation", "RootIsolation", "Step", "Terms", "Termwise"]

ASSUMED = ("hypothesis", "bridge")
PREMISES = (*ASSUMED, "definition")
UNPROVED = ("citation", "conjecture")
MARKS = {**dict.fromkeys(PREMISES, "·"), "citation": "※", "conjecture": "?"}
_FIELDS = ("name", "kind", "statement", "because", "uses", "evidence", "equality", "premises", "values")
_LEDGER: weakref.WeakKeyDictionary[Step, tuple[object, ...]] = weakref.WeakKeyDictionary()
_KEY = object()
_UNDECIDED = (
    NotImplementedError, ArithmeticError, sp.PolynomialError, RecursionError, TypeError, ValueError,
    UndefinedAtPointError,
)  # fmt: skip
Found = tuple[str, tuple[sp.Expr, ...], "frozenset[Premise] | None"]
"""What a check returns: evidence, factors of equality, and premises, or None for those of all that is used."""


class Step:
    """One line of a derivation: what is said, why, and how it was checked.

    Steps are made by the methods of `Derivation` and never by hand.

    Attributes:
        name: unique in its derivation.
        kind: hypothesis, bridge, definition, identity, inequality, summation, induction, enumeration, ode, limit,
            series, instance, lemma, citation or conjecture.
        statement: a sympy relation or Boolean; text for a citation.
        because: the reason, in words.
        uses: names of the earlier steps it rests on.
        evidence: what the checker found.
        equality: factors that all vanish when an inequality holds with equality.
        premises: what it rests on in the end: hypotheses, definitions, recurrences, and conditions such as
            denominators that must not vanish, which the kernel adds.
        values: what an instance puts in the place of symbols.
    """

    __slots__ = ("__weakref__", *_FIELDS)

    name: str
    kind: str
    statement: Any
    because: str
    uses: tuple[str, ...]
    evidence: str
    equality: tuple[sp.Expr, ...]
    premises: frozenset[Premise]
    values: tuple[tuple[sp.Symbol, sp.Expr], ...]

    def __init__(self, *, key: object = None, **fields: object) -> None:
        if key is not _KEY:
            raise TypeError("only the kernel makes steps: use the methods of Derivation, which check what they add")
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("Step has no subclasses: one could call anything checked")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"steps are immutable; cannot set {name}")

    def __reduce__(self) -> NoReturn:
        raise TypeError("steps are not copied or pickled: a copy would carry a mark that nothing has checked")

    @property
    def checked(self) -> bool:
        """Whether the kernel has checked this very object, as it stands."""
        recorded = _LEDGER.get(self)
        return recorded is not None and all(
            getattr(self, field) is value for field, value in zip(_FIELDS, recorded, strict=True)
        )

    @property
    def parts(self) -> tuple[sp.Basic, ...]:
        """Its statement and those of its premises, as far as they are not in words."""
        stated = (self.statement, *(premise.statement for premise in self.premises))
        return tuple(part for part in stated if isinstance(part, sp.Basic))

    @property
    def mark(self) -> str:
        """✓ checked, · premise, ※ cited, ? conjectured, ✗ none of these."""
        return "✓" if self.checked else MARKS.get(self.kind, "✗")

    def __repr__(self) -> str:
        return f"{self.mark} {self.name} [{self.kind}]: {self.statement}  — {self.because}"

    def latex(self) -> str:
        """Return the statement in LaTeX."""
        return statement_latex(self.statement)

    def _repr_latex_(self) -> str:
        return self.statement if isinstance(self.statement, str) else f"$\\displaystyle {self.latex()}$"


class Derivation:
    """A chain of steps from hypotheses to a conclusion, each checked as it is added.

    Args:
        claim: id of the claim that is derived.
    """

    def __init__(self, claim: str) -> None:
        self._claim = claim
        self._steps: dict[str, Step] = {}
        self._names: Mapping[str, Meaning] = {}
        self._imported: list[Derivation] = []
        self._conclusion: str | None = None
        self._models: tuple[Examined, ...] = ()

    def __init_subclass__(cls) -> NoReturn:
        raise TypeError("Derivation has no subclasses: one could call anything derived")

    def __reduce__(self) -> NoReturn:
        raise TypeError("derivations are not copied or pickled: derive again")

    @property
    def claim(self) -> str:
        """Id of the claim that is derived."""
        return self._claim

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(self._steps.values())

    @property
    def conclusion(self) -> Step:
        """The step that states the theorem.

        Raises:
            ValueError: the derivation was not concluded.
        """
        if self._conclusion is None:
            raise ValueError(f"the derivation of {self.claim} has no conclusion yet; call conclude(name)")
        return self._steps[self._conclusion]

    def __getitem__(self, name: str) -> Step:
        if name not in self._steps:
            raise KeyError(f"{self.claim} has no step {name!r}; it has {', '.join(self._steps)}")
        return self._steps[name]

    @property
    def hypotheses(self) -> tuple[Step, ...]:
        """The steps that are assumed, setting and bridges, those of lemmas on which an imported step rests included."""
        return (*(step for step in self.steps if step.kind in ASSUMED), *self.inherited)

    @property
    def inherited(self) -> Mapping[Step, str]:
        """Hypotheses of lemmas on which an imported step rests, with the id of the claim that assumes each."""
        rest_on = self._premises(step.name for step in self.steps if step.kind == "lemma")
        open_ones = {premise for premise in rest_on if premise.kind == "hypothesis"}
        found: dict[Step, str] = {}
        for lemma in self._imported:
            for step in lemma.hypotheses:
                if step.premises & open_ones:
                    found[step] = lemma.inherited.get(step, lemma.claim)
                    open_ones -= step.premises
        return found

    @property
    def models(self) -> tuple[Examined, ...]:
        """Systems in which hypotheses and steps were evaluated, and the controls, in which a hypothesis `breaks`."""
        return self._models

    @property
    def conditions(self) -> tuple[Premise, ...]:
        """What the conclusion needs beyond the hypotheses: denominators that must not vanish and the like."""
        found = self.conclusion.premises if self._conclusion else frozenset()
        return tuple(sorted((p for p in found if p.kind == "condition"), key=lambda p: p.name))

    @property
    def lemmas(self) -> tuple[Derivation, ...]:
        """Derivations from which steps were imported."""
        return tuple(self._imported)

    @property
    def citations(self) -> tuple[Step, ...]:
        """Outside theorems this derivation rests on, those of imported lemmas included."""
        own = [step for step in self.steps if step.kind == "citation"]
        for lemma in self._imported:
            own += [step for step in lemma.citations if step not in own]
        return tuple(own)

    def models_of(self, hypothesis: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the models in which a hypothesis holds, and of the steps that fall in the controls that break it."""
        held = (e.model.name for e in self._models if not e.model.breaks and e.standing[hypothesis] == HOLDS)
        fallen = (e.model.step for e in self._models if e.model.breaks == hypothesis)
        return tuple(held), tuple(dict.fromkeys(fallen))

    @property
    def bridges(self) -> tuple[Step, ...]:
        """What is mathematics and not setting, and still assumed; that of imported lemmas included."""
        own = [step for step in self.steps if step.kind == "bridge"]
        for lemma in self._imported:
            own += [step for step in lemma.bridges if step not in own]
        return tuple(own)

    @property
    def status(self) -> str:
        """`derived`, `derived given [citations] up to [bridges]`, `without a model` or `conjecture`.

        It is computed from the steps and those of imported lemmas, never declared.
        """
        if any(s.kind == "conjecture" for s in self.steps) or any(x.status == "conjecture" for x in self._imported):
            return "conjecture"
        unchecked = [s.name for s in self.steps if s.kind not in PREMISES + UNPROVED and not s.checked]
        if unchecked or self._conclusion is None or not self.conclusion.checked:
            return "conjecture"
        if not self._models or any(x.status == "without a model" for x in self._imported):
            return "without a model"
        status = "derived"
        for words, steps in (("given", self.citations), ("up to", self.bridges)):
            if names := dict.fromkeys(step.name for step in steps):
                status += f" {words} [{', '.join(names)}]"
        return status

    @entered
    def assume(self, name: str, statement: sp.Basic, because: str, *, for_every: Iterable[sp.Symbol] = ()) -> Step:
        """Add a hypothesis of the theorem, its setting: displayed, relied on, never counted as checked.

        It is about one value of each symbol, unless the symbol is listed in `for_every` (and only then may the
        hypothesis be differentiated), or is an integer that occurs only as an index.
        """
        return self._assume("hypothesis", name, statement, because, for_every)

    @entered
    def bridge(self, name: str, statement: sp.Basic, because: str, *, for_every: Iterable[sp.Symbol] = ()) -> Step:
        """Assume mathematics that the kernel cannot express yet; the status of the derivation will say so.

        It is read as a hypothesis is. `because` says where the proof is written.
        """
        return self._assume("bridge", name, statement, because, for_every)

    def _assume(self, kind: str, name: str, statement: sp.Basic, because: str, for_every: Iterable[sp.Symbol]) -> Step:
        if not isinstance(statement, sp.Basic):
            raise CheckFailedError(f"{statement!r} is in words, and a hypothesis is evaluated in models: state it")
        own = Premise("hypothesis", name, statement, every=frozenset(for_every))
        return self._add(name, kind, statement, because, own=(own,))

    @entered
    def define(self, name: str, statement: sp.Equality, because: str) -> Step:
        """Introduce a new name for an expression, which must have every property assumed of the name.

        Raises:
            CheckFailedError: the left side is not a symbol that is still unused, or is assumed to be what it is not.
        """
        if not isinstance(statement, sp.Equality):
            raise CheckFailedError(
                f"a definition is an equation between a new symbol and its meaning; got {statement!r}"
            )
        symbol, value = statement.args
        sign = sp.true
        if symbol.is_positive and not Signs().positive(value):
            sign = sp.Gt(value, 0)
        elif symbol.is_nonnegative and not Signs().nonnegative(value):
            sign = sp.Ge(value, 0)
        own = [Premise("definition", name, statement, (symbol,))]
        if sign != sp.true:
            own.append(Premise("condition", str(sign), sign))
        used: set[sp.Basic] = set().union(
            *(s.statement.free_symbols for s in self.steps if isinstance(s.statement, sp.Basic))
        )
        if not symbol.is_Symbol or symbol in used | value.free_symbols:
            raise CheckFailedError(f"a definition names a new symbol; {symbol} is not new")
        check_values({symbol: value}, Signs([sign]))
        return self._add(name, "definition", statement, because, own=own)

    @entered
    def cite(self, name: str, statement: sp.Basic | str, reference: str) -> Step:
        """Rely on an outside theorem; the status of the derivation will say so."""
        return self._add(name, "citation", statement, reference)

    @entered
    def conjecture(self, name: str, statement: sp.Basic | str, because: str) -> Step:
        """State what is believed and not proved; the whole derivation becomes a conjecture."""
        return self._add(name, "conjecture", statement, because)

    @entered
    def identity(self, name: str, statement: sp.Equality, because: str, given: Sequence[str] = ()) -> Step:
        """Add lhs = rhs, where the equations of `given` may be substituted left to right."""

        def check(given: Sequence[str]) -> Found:
            if not isinstance(statement, sp.Equality):
                raise CheckFailedError(f"expected an equation, got {statement!r}")
            if statement.lhs == statement.rhs:
                raise CheckFailedError(f"both sides are the same expression, {statement.lhs}: this says nothing")
            lhs, rhs = (self._rewritten(side, given) for side in statement.args)
            return check_identity(lhs, rhs), (), None

        return self._checked(name, "identity", statement, because, given, check)

    @entered
    def inequality(
        self,
        name: str,
        statement: sp.Rel,
        because: str,
        certificate: Terms | RootIsolation | Termwise,
        given: Sequence[str] = (),
    ) -> Step:
        """Add an inequality with its certificate; facts and substitutions come from `given`."""
        sources: Sequence[str] = ()
        if not isinstance(certificate, RootIsolation):
            sources = [certificate.step] if isinstance(certificate, Termwise) else [*certificate.using]

        def check(given: Sequence[str]) -> Found:
            gap(statement)
            facts, rewrite, runs = self._facts(given), self._rewrite(given), self._runs(given)
            if isinstance(certificate, Termwise):
                source = self[certificate.step]
                rest_on = self._premises(given)
                return check_termwise(
                    statement, certificate, source.statement, source.equality, source.premises, rest_on, facts, runs
                )
            if isinstance(certificate, RootIsolation):
                symbol, low, high = certificate.symbol, certificate.low, certificate.high
                vanishing = check_root_isolation(statement, certificate, Signs(facts, runs))
                inside = [bound for bound in (sp.Ge(symbol, low), sp.Le(symbol, high)) if bound != sp.true]
                return f"Sturm: no change of sign; {sample_inequality(statement, inside, {})}", vanishing, None
            used = {step: self[step].statement for step in certificate.using}
            signs = Signs(facts, runs)
            gaps = {step: gap(stated) for step, stated in used.items()}
            strict = {step: is_strict(stated) for step, stated in used.items()}
            vanishing = check_terms(statement, certificate, gaps, strict, signs, rewrite, runs)
            inherited = [
                factor
                for step, multiplier in certificate.using.items()
                if signs.positive(multiplier)
                for factor in self[step].equality
            ]
            evidence = sample_inequality(statement, [*facts, *used.values()], rewrite, runs)
            domain = sp.Tuple(*certificate.terms, *certificate.using.values())
            rest_on = self._premises([*given, *sources]) | conditions(domain, signs)
            return f"every term has its sign and the remainder is 0; {evidence}", (*vanishing, *inherited), rest_on

        kind = "summation" if isinstance(certificate, Termwise) else "inequality"
        return self._checked(name, kind, statement, because, given, check, sources)

    @entered
    def induction(
        self,
        name: str,
        invariant: sp.Rel,
        because: str,
        *,
        initial: Mapping[sp.Symbol, sp.Expr],
        update: Mapping[sp.Symbol, sp.Expr],
        certificate: Terms | None = None,
        given: Sequence[str] = (),
    ) -> Step:
        """Add an invariant of a recurrence: true of the initial values, and kept by every update.

        For an equation the new difference must vanish once the old equation is substituted (left to right); for
        an inequality `certificate` shows the new gap, and may use the old one under the name "previous".
        """

        def check(given: Sequence[str]) -> Found:
            recurrence = Recurrence(initial, update)
            rest_on = self._premises(given)
            grounds = {self[g].statement: self[g].premises for g in given if isinstance(self[g].statement, sp.Basic)}
            evidence, equality, kept = check_induction(
                invariant, recurrence, certificate, self._facts(given), rest_on, self._rewrite(given), grounds
            )
            return evidence, equality, kept | recurrence.premises()

        return self._checked(name, "induction", invariant, because, given, check)

    @entered
    def enumeration(
        self, name: str, statement: sp.Basic, because: str, cases: Iterable[Mapping[sp.Symbol, sp.Expr]]
    ) -> Step:
        """Add a statement that holds in each of finitely many exact rational cases, and for these only."""
        listed = [dict(case) for case in cases]

        def check(given: Sequence[str]) -> Found:
            evidence = check_cases(statement, listed)
            symbols = sorted(statement.free_symbols, key=str)
            tuples = sp.FiniteSet(*(sp.Tuple(*(case[symbol] for symbol in symbols)) for case in listed))
            among = sp.Contains(sp.Tuple(*symbols), tuples, evaluate=False)
            where = f"{', '.join(map(str, symbols))} among the {len(listed)} cases of {name}"
            return evidence, (), frozenset([Premise("condition", where, among)] if symbols else [])

        return self._checked(name, "enumeration", statement, because, (), check)

    @entered
    def ode(
        self,
        name: str,
        time: sp.Symbol,
        because: str,
        *,
        system: Mapping[sp.Symbol, sp.Expr],
        solution: Mapping[sp.Symbol, sp.Expr],
        initial: Mapping[sp.Symbol, sp.Expr],
        given: Sequence[str] = (),
    ) -> Step:
        """Add the solution x(t) = … of dx/dt = system, x(0) = initial, by substitution, as long as it exists."""
        parts = [sp.Eq(sp.Function(component.name)(time), value) for component, value in solution.items()]
        statement = parts[0] if len(parts) == 1 else sp.And(*parts)

        def check(given: Sequence[str]) -> Found:
            right = {component: self._rewritten(rate, given) for component, rate in system.items()}
            check_constant_along({time, *system}, [self[g] for g in given])
            refuse_dependence(time, sp.Tuple(*right.values(), *solution.values()), set(system), self.steps)
            evidence = check_ode(time, right, solution, initial)
            defined = conditions_along(time, right, solution, initial, Signs(self._facts(given)))
            return evidence, (), self._premises(given) | defined | flow_premises(time, right, solution, initial)

        return self._checked(name, "ode", statement, because, given, check)

    @entered
    def limit(
        self,
        name: str,
        expr: sp.Expr,
        variable: sp.Symbol,
        point: sp.Expr,
        value: sp.Expr,
        because: str,
        given: Sequence[str] = (),
    ) -> Step:
        """Add lim expr = value as variable → point (from above)."""

        def check(given: Sequence[str]) -> Found:
            old, new = (self._rewritten(side, given) for side in (expr, value))
            check_constant_along({variable}, [self[g] for g in given])
            refuse_dependence(variable, sp.Tuple(old, new), {variable}, self.steps)
            return check_limit(old, variable, point, new), (), None

        statement = sp.Eq(sp.Limit(expr, variable, point, "+"), value)
        return self._checked(name, "limit", statement, because, given, check)

    @entered
    def series(
        self,
        name: str,
        expr: sp.Expr,
        variable: sp.Symbol,
        order: int,
        expansion: sp.Expr,
        because: str,
        given: Sequence[str] = (),
    ) -> Step:
        """Add expr = expansion + O(variable^order) at 0."""

        def check(given: Sequence[str]) -> Found:
            old = self._rewritten(expr, given)
            check_constant_along({variable}, [self[g] for g in given])
            refuse_dependence(variable, sp.Tuple(old, expansion), {variable}, self.steps)
            return check_series(old, variable, order, expansion), (), None

        statement = sp.Eq(expr, expansion + sp.Order(variable**order), evaluate=False)
        return self._checked(name, "series", statement, because, given, check)

    @entered
    def instance(
        self,
        name: str,
        step: str,
        values: Mapping[sp.Symbol, sp.Expr],
        because: str,
        given: Sequence[str] = (),
    ) -> Step:
        """Add an earlier step with symbols replaced by expressions that satisfy all that was assumed of them."""
        source = self[step]
        try:
            stated = instantiated(source.statement, values)
        except _UNDECIDED as failure:
            raise CheckFailedError(
                f"step {name!r} of {self.claim}: {values} has no place in {step!r}: {failure!r}"
            ) from failure

        def check(given: Sequence[str]) -> Found:
            if source.kind in PREMISES:
                raise CheckFailedError(f"{step!r} is a {source.kind}, which holds of its own symbols only")
            facts = self._facts(given)
            signs = Signs(facts, self._runs(given))
            check_values(values, signs)
            bound = bound_symbols(source.statement) & values.keys() - source.statement.free_symbols
            if bound:
                raise CheckFailedError(f"{bound} is bound in {source.statement}: it takes no value")
            kept = undischarged(source.premises, values, facts, signs)
            kept |= conditions(sp.Tuple(*values.values()), signs)
            moved = [p.statement.args for p in kept - source.premises if p.kind == "definition"]
            kept = kept.union(*(self[g].premises for g in given))
            shown = ", ".join(f"{symbol} → {value}" for symbol, value in values.items())
            meaning = "".join(sorted(f", where now {symbol} = {value}" for symbol, value in moved))
            equality = tuple(instantiated(factor, values) for factor in source.equality)
            return f"{step} with {shown}{meaning}", equality, kept

        return self._checked(name, "instance", stated, because, given, check, [step], values)

    def lemma(self, name: str, derivation: Derivation, step: str | None = None, because: str = "") -> Step:
        """Import a checked step of another derivation; its citations become this derivation's.

        Raises:
            CheckFailedError: the step is unchecked, or the other derivation rests on this one.
        """
        if type(derivation) is not Derivation:
            raise CheckFailedError(f"a lemma comes from a Derivation, not from {type(derivation).__name__}")
        source = derivation.conclusion if step is None else derivation[step]
        if self.claim in {derivation.claim} | derivation.ancestry():
            raise CheckFailedError(f"circular use: {derivation.claim} already rests on {self.claim}")
        if not source.checked:
            raise CheckFailedError(f"step {source.name!r} of {derivation.claim} is not checked")
        evidence = f"checked as {derivation.claim}:{source.name}"
        added = self._checked(
            name,
            "lemma",
            source.statement,
            because or source.because,
            (),
            lambda _: (evidence, source.equality, source.premises),
        )
        if all(lemma is not derivation for lemma in self._imported):
            self._imported.append(derivation)
        return added

    def conclude(self, name: str, models: Iterable[Model] = ()) -> Derivation:
        """Declare which checked step states the theorem, evaluate all steps in models, and close the derivation.

        Every hypothesis must hold in a model, and for every one there must be a control in which it fails, and a step
        with it. Every step that a model says something of must be evaluated where its premises hold; what none says
        anything of was attacked as it is said, of every value.

        Raises:
            CheckFailedError: that step is not checked and no conjecture, or the models do not show all that.
        """
        if not self[name].checked and self[name].kind != "conjecture":
            raise CheckFailedError(f"the conclusion {name!r} is not checked")
        if models := tuple(models):
            self._models = examine(self.steps, models)
        self._conclusion = name
        return self

    def ancestry(self) -> frozenset[str]:
        """Ids of all claims whose derivations this one rests on."""
        return frozenset(x.claim for x in self._imported).union(*(x.ancestry() for x in self._imported))

    def _repr_html_(self) -> str:
        rows = [(s.mark, f"{s.name} [{s.kind}]", s._repr_latex_(), s.because, s.evidence) for s in self.steps]
        head = ("", "step", "statement", "reason", "check")
        return html_table(f"{self.claim}: {self.status}", head, rows)

    def _facts(self, given: Sequence[str]) -> list[sp.Basic]:
        """Statements of the given steps, conjunctions taken apart."""
        stated = (self[name].statement for name in given)
        return [part for s in stated if isinstance(s, sp.Basic) for part in (s.args if isinstance(s, sp.And) else (s,))]

    def _rewrite(self, given: Sequence[str]) -> dict[sp.Expr, sp.Expr]:
        """Substitutions, left side to right side, of the equations among the given steps."""
        return {fact.lhs: fact.rhs for fact in self._facts(given) if isinstance(fact, sp.Equality)}

    def _rewritten(self, expr: sp.Basic, given: Sequence[str]) -> sp.Basic:
        return rewritten(expr, self._rewrite(given), self._runs(given))

    def _premises(self, names: Iterable[str]) -> frozenset[Premise]:
        return frozenset().union(*(self[name].premises for name in names))

    def _runs(self, given: Sequence[str]) -> Callable[[sp.Basic, sp.Basic], bool]:
        return runs_with({fact: self[name].premises for name in given for fact in self._facts([name])})

    def _add(
        self,
        name: str,
        kind: str,
        statement: Any,
        because: str,
        uses: Sequence[str] = (),
        evidence: str = "",
        equality: tuple[sp.Expr, ...] = (),
        own: Iterable[Premise] = (),
        values: Mapping[sp.Symbol, sp.Expr] = MappingProxyType({}),
    ) -> Step:
        if self._conclusion is not None:
            raise CheckFailedError(f"the derivation of {self.claim} is concluded; {name!r} comes too late")
        if name in self._steps:
            raise CheckFailedError(f"there is already a step {name!r}")
        if not because.strip():
            raise CheckFailedError(f"step {name!r} gives no reason")
        premises = frozenset(own)
        check_statement(statement)
        if isinstance(statement, sp.Basic):
            check_sums(statement)
            if kind in (*PREMISES, *UNPROVED):
                premises |= conditions(statement, Signs())
        premises = combined(statement, premises)
        assumed = {p.name: p.statement for s in self.steps for p in s.premises if p.kind == "hypothesis"}
        for premise in premises:
            if premise.kind == "hypothesis" and assumed.get(premise.name, premise.statement) != premise.statement:
                raise CheckFailedError(
                    f"two hypotheses are called {premise.name!r}, {assumed[premise.name]} and {premise.statement}; "
                    "rename one, here or in the lemma"
                )
        named = self._names
        for stated in (statement, *(premise.statement for premise in premises)):
            named = check_names(stated, named) if isinstance(stated, sp.Basic) else named
        if kind not in (*PREMISES, *UNPROVED, "lemma"):  # a lemma was attacked where it was derived
            evidence = f"{evidence}; {attack(kind, statement, premises)}"
        step = Step(
            key=_KEY,
            name=name,
            kind=kind,
            statement=statement,
            because=because,
            uses=tuple(dict.fromkeys(uses)),
            evidence=evidence,
            equality=equality,
            premises=premises,
            values=tuple((symbol, sp.sympify(value)) for symbol, value in values.items()),
        )
        self._steps[name] = step
        self._names = named
        return step

    def _checked(
        self,
        name: str,
        kind: str,
        statement: Any,
        because: str,
        given: Sequence[str],
        check: Callable[[Sequence[str]], Found],
        sources: Sequence[str] = (),
        values: Mapping[sp.Symbol, sp.Expr] = MappingProxyType({}),
    ) -> Step:
        uses = [*sources, *given]
        for use in uses:
            if use == name:
                raise CheckFailedError(f"circular use: step {name!r} rests on itself")
            if use not in self._steps:
                raise CheckFailedError(f"step {name!r} uses {use!r}, which is not an earlier step of {self.claim}")
            if self._steps[use].kind == "conjecture":
                raise CheckFailedError(f"step {name!r} rests on the conjecture {use!r}")
        try:
            if statement in (sp.true, sp.false):
                raise CheckFailedError(f"sympy folded the statement to {statement}; state it unevaluated")
            if kind not in ("lemma", "instance") and any(self[use].statement == statement for use in uses):
                raise CheckFailedError(f"{statement} only restates what it uses")
            check_sums(statement)
            evidence, equality, premises = self._found(statement, given, check, sources)
            self._refuse_idle(statement, given, check, sources, (equality, premises))
            step = self._add(name, kind, statement, because, uses, evidence, equality, premises, values)
        except CheckFailedError as failure:
            raise CheckFailedError(f"step {name!r} of {self.claim}: {failure}") from failure
        except _UNDECIDED as failure:
            raise CheckFailedError(f"step {name!r} of {self.claim} cannot be decided: {failure!r}") from failure
        _LEDGER[step] = tuple(getattr(step, field) for field in _FIELDS)
        return step

    def _found(
        self, statement: Any, given: Sequence[str], check: Callable[[Sequence[str]], Found], sources: Sequence[str]
    ) -> tuple[str, tuple[sp.Expr, ...], frozenset[Premise]]:
        """Return evidence, factors of equality and all premises of a statement, checked with some given steps."""
        evidence, equality, premises = check(given)
        uses = [*sources, *given]
        if premises is None:
            premises = self._premises(uses)
        needed = [premise.statement for premise in premises if premise.kind == "condition"]
        signs = Signs(self._facts(uses), self._runs(uses)).with_facts(needed)
        return evidence, equality, premises | conditions(statement, signs)

    def _refuse_idle(
        self,
        statement: Any,
        given: Sequence[str],
        check: Callable[[Sequence[str]], Found],
        sources: Sequence[str],
        found: tuple[tuple[sp.Expr, ...], frozenset[Premise]],
    ) -> None:
        """Check that no given step can be left out.

        Raises:
            CheckFailedError: without it the check passes as well, with no other premise and no other case of equality.
        """
        for place, name in enumerate(given):
            try:
                _, equality, premises = self._found(statement, [*given[:place], *given[place + 1 :]], check, sources)
            except (CheckFailedError, *_UNDECIDED):
                continue
            if premises <= found[1] and equality == found[0]:
                raise CheckFailedError(f"the given {name!r} is not used: the check passes without it; leave it out")
