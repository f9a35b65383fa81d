"""Any model of the next token as a language: masked conditionals by Bayes' rule on its factors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.autoregressive.next_token import NORMALISED, AllPositions, NextToken, PrefixReuse, check_model
from synthetic.language import Language
from synthetic.tasks import check_sample_size
from synthetic.tokens import MASK


class DeadEndError(ValueError):
    """A prefix of positive probability after which no token of the vocabulary can follow."""


@dataclass(frozen=True, eq=False)
class Autoregressive(Language):
    """Sentences of T tokens drawn one after another from a next-token model q, kept to a set of its tokens.

    P(x) = Π_t P(x_t | x_{<t}) with P(v | h) = q(v | prompt, h) / Σ_{u ∈ tokens} q(u | prompt, h): the model is
    restricted by renormalising at every step, as when one samples from the 2,000 most frequent tokens only. (This is
    not q conditioned on the whole sentence lying in the set.) The masked conditional is Bayes' rule on the factors,

        p*(v | x_{−t}) ∝ P(v | x_{<t}) Π_{s>t} P(x_s | x_{<t}, v, x_{t+1} … x_{s−1}),

    evaluated for all c candidates v in batches. x_{<t} is read once for all of them where the model can
    (`PrefixReuse`); positions come from one pass where it can (`AllPositions`); of a model of finite order n only
    the n − 1 factors after t are evaluated for each candidate, at a cost independent of T. Exact up to the model's
    own arithmetic: the law is the function that the model computes. Where that is float64 the interface's precision
    is met; float32 networks round differently in batches of different shapes, so that log_prob and conditionals
    agree to some 1e-6 only (`CausalModule.double` removes this). Source: ours; the paper samples its text language
    from OPT-125M this way (second-hand).

    Attributes:
        model: the next-token model; it must not change while the language is in use.
        names: the names of the c tokens.
        T: number of tokens of a sentence, at least 1.
        tokens: the model's index of each token; None for all of the model's tokens.
        prompt: model tokens that precede every sentence and are no part of it.
        chunk: numbers of the model's output held at a time; memory is proportional to it.

    >>> from synthetic.autoregressive.next_token import from_callable
    >>> move = torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]], dtype=torch.float64)
    >>> def law(prefixes):
    ...     return move[prefixes[:, -1]].log() if prefixes.shape[1] else move.mean(0).log().expand(len(prefixes), 3)
    >>> language = Autoregressive(from_callable(law, 3, order=2), ("a", "b"), 4, tokens=(0, 1))
    >>> language.masked_conditional(torch.tensor([[0, -1, 0, 1]]))
    tensor([[0.8000, 0.2000]], dtype=torch.float64)
    """

    family: ClassVar[str] = "autoregressive"
    model: NextToken
    names: tuple[str, ...]
    T: int
    tokens: tuple[int, ...] | None = None
    prompt: tuple[int, ...] = ()
    chunk: int = 2**24

    def __post_init__(self) -> None:
        """Check the parameters and try the model on one prefix.

        Raises:
            ValueError: if T < 1, names and tokens do not match, a token is foreign or repeated, or the model fails
                `check_model`.
            TypeError: if the model's law is not float64.
        """
        if not self.T >= 1 or self.T % 1 != 0:
            raise ValueError(f"expected sentences of an integer T >= 1 of tokens, got {self.T}; change T")
        object.__setattr__(self, "T", int(self.T))
        tokens = self.tokens if self.tokens is not None else tuple(range(self.model.n_tokens))
        if len(self.names) != len(tokens) or len(set(self.names)) < len(tokens) or not tokens:
            raise ValueError(
                f"expected {max(1, len(tokens))} distinct names, got {len(self.names)} ({len(set(self.names))} "
                "distinct); name each token of the language once"
            )
        foreign = [v for v in (*tokens, *self.prompt) if not 0 <= v < self.model.n_tokens]
        if foreign or len(set(tokens)) < len(tokens):
            raise ValueError(
                f"expected distinct model tokens 0..{self.model.n_tokens - 1}, got "
                f"{foreign[0] if foreign else 'a repeated one'}; give indices into the model's vocabulary"
            )
        if self.chunk < 1:
            raise ValueError(f"expected a chunk of at least one number, got {self.chunk}; raise it")
        check_model(self.model, self.prompt, tokens[: self.T])

    @property
    def vocabulary(self) -> tuple[str, ...]:
        return self.names

    @property
    def length(self) -> int:
        return self.T

    def log_prob(self, sentences: Int64[Tensor, "sentence position"]) -> Float[Tensor, " sentence"]:
        """Return Σ_t log P(x_t | x_{<t}).

        Raises:
            DeadEndError: if after a prefix of positive probability no token of the vocabulary can follow.
        """
        self.check_sentences(sentences)
        found = torch.empty(len(sentences), dtype=torch.float64, device=sentences.device)
        for rows in self._blocks(len(sentences), self.T):
            x = sentences[rows]
            found[rows] = self._total(_at(self._laws(x), x), x)
        return found

    def log_masked_conditional(self, contexts: Int64[Tensor, "context position"]) -> Float[Tensor, "context token"]:
        """Return log p*(v | x_{−t}), contexts grouped by position; DeadEndError as in `log_prob`."""
        positions = self.check_contexts(contexts)
        found = torch.empty(len(contexts), self.n_tokens, dtype=torch.float64, device=contexts.device)
        for t in torch.unique(positions).tolist():
            group = (positions == t).nonzero()[:, 0]
            # Without finite order nothing after t is read before a candidate is put there.
            last = self.T if self.model.order is not None else t + 1
            for block in self._blocks(len(group), last):
                x = contexts[group[block]].clamp(min=0)
                found[group[block]] = self._conditional(x, t, self._laws(x[:, :last]))
        return found

    def log_masked_conditionals(
        self, sentences: Int64[Tensor, "sentence position"]
    ) -> Float[Tensor, "sentence position token"]:
        """Return log p*(v | x_{−t}) for every position; the prefixes of all positions are read in one pass."""
        self.check_sentences(sentences)
        found = torch.empty(*sentences.shape, self.n_tokens, dtype=torch.float64, device=sentences.device)
        for rows in self._blocks(len(sentences), self.T):
            x = sentences[rows]
            laws = self._laws(x)
            for t in range(self.T):
                found[rows, t] = self._conditional(x, t, laws)
        return found

    def sample(
        self, n: int, generator: torch.Generator, device: torch.device | str | None = None
    ) -> Int64[Tensor, "sentence position"]:
        """Draw n sentences token by token from the generator's stream; ValueError if n is negative.

        Raises:
            DeadEndError: if a sentence cannot go on.
        """
        check_sample_size(n)
        x = torch.zeros(n, self.T, dtype=torch.int64, device=generator.device)
        for rows in self._blocks(n, 1):
            for t in range(self.T):
                law = self._next(x[rows, :t])
                if law.isnan().any():
                    raise self._dead_end(x[rows][law.isnan().any(1)][0], t)
                x[rows, t] = torch.multinomial(law.exp(), 1, generator=generator)[:, 0]
        return x.to(device or generator.device)

    def state(self) -> dict[str, Any]:
        """Refuse: a model is code.

        Raises:
            TypeError: always, with what to do instead.
        """
        raise TypeError(
            f"expected a language made of numbers, got one around {type(self.model).__name__}, which is code; save the "
            "model's weights yourself and rebuild the language around it, or use NGramLanguage, which saves itself"
        )

    def __repr__(self) -> str:
        return f"Autoregressive({type(self.model).__name__}, c={self.n_tokens}, T={self.T}, prompt={self.prompt})"

    def _blocks(self, rows: int, positions: int) -> Iterator[slice]:
        size = max(1, self.chunk // (positions * self.model.n_tokens))
        return (slice(begin, begin + size) for begin in range(0, rows, size))

    def _model_tokens(self, x: Int64[Tensor, "*batch position"]) -> Int64[Tensor, "*batch position"]:
        return x if self.tokens is None else torch.tensor(self.tokens, device=x.device)[x]

    def _prefixed(self, x: Int64[Tensor, "row position"]) -> Int64[Tensor, "row prompted"]:
        prompt = torch.tensor(self.prompt, dtype=torch.int64, device=x.device).expand(len(x), -1)
        return torch.cat([prompt, self._model_tokens(x)], 1)

    def _restricted(self, law: Float[Tensor, "*batch full"]) -> Float[Tensor, "*batch token"]:
        """Return the law on the language's tokens, renormalised; NaN throughout where nothing can follow."""
        kept = law if self.tokens is None else law[..., torch.tensor(self.tokens, device=law.device)]
        total = kept.logsumexp(-1, keepdim=True)
        if self.tokens is None and bool((total.abs() > NORMALISED)[total.isfinite()].any()):
            raise ValueError(
                f"expected next-token probabilities that sum to one, got one row with log-total "
                f"{float(total[total.isfinite()].abs().max()):.3g}; return log_softmax of the logits, in float64"
            )
        return torch.where(total.isfinite(), kept - total, math.nan)

    def _next(self, prefixes: Int64[Tensor, "row position"]) -> Float[Tensor, "row token"]:
        whole = self._prefixed(prefixes)
        if self.model.order is not None:
            whole = whole[:, max(0, whole.shape[1] - self.model.order + 1) :]
        return self._restricted(self.model.next_log_prob(whole))

    def _laws(self, x: Int64[Tensor, "row position"]) -> Float[Tensor, "row position token"]:
        """Return P(· | x_{<t}) for every position t of x."""
        if isinstance(self.model, AllPositions):
            return self._restricted(self.model.log_probs(self._prefixed(x))[:, len(self.prompt) :])
        return torch.stack([self._next(x[:, :t]) for t in range(x.shape[1])], 1)

    def _conditional(
        self, x: Int64[Tensor, "row position"], t: int, laws: Float[Tensor, "row read token"]
    ) -> Float[Tensor, "row token"]:
        """Return log p*(· | x_{−t}); of `laws`, P(· | x_{<s}), only those at s whose prefix or reach excludes t."""
        far = self.T if self.model.order is None else min(self.T, t + self.model.order)
        chosen = _at(laws, x[:, : laws.shape[1]])
        # The factors at s ≥ far do not hold x_t; whether their prefix is possible is known only with a candidate.
        after = chosen[:, far : self.T]
        outside = self._total(chosen[:, :t], x) + torch.where(after.isnan(), -math.inf, after).sum(1)
        possible = ~outside.isneginf()
        if bool(laws[possible, t].isnan().any()):
            raise self._dead_end(x[possible][laws[possible, t].isnan().any(1)][0], t)
        log_joint = torch.where(possible[:, None], laws[:, t], -math.inf)
        if far > t + 1:
            step = max(1, self.chunk // (self.model.n_tokens * (far if self.model.order is None else 1)))
            for candidates in torch.split(torch.arange(self.n_tokens, device=x.device), step):
                size = max(1, step // len(candidates))
                for rows in torch.split(torch.arange(len(x), device=x.device), size):
                    cell = (rows[:, None], candidates[None, :])
                    log_joint[cell] = self._with_suffix(x[rows], t, candidates, log_joint[cell], far)
        total = log_joint.logsumexp(1, keepdim=True)
        if total.isneginf().any():
            context = x[int(total[:, 0].isneginf().nonzero()[0])].clone()
            context[t] = MASK
            raise self.impossible(context)
        return log_joint - total

    def _with_suffix(
        self, x: Tensor, t: int, candidates: Int64[Tensor, " token"], log_prior: Float[Tensor, "row token"], far: int
    ) -> Float[Tensor, "row token"]:
        """Return log P(v | x_{<t}) + Σ_{t<s<far} log P(x_s | x_{<t}, v, x_{t+1} … x_{s−1}) for each candidate v."""
        completed = x[:, None, :far].repeat(1, len(candidates), 1)
        completed[:, :, t] = candidates
        flat = completed.flatten(0, 1)
        if self.model.order is not None or not isinstance(self.model, AllPositions):
            factors = [_at(self._next(flat[:, :s])[:, None], flat[:, s : s + 1]) for s in range(t + 1, far)]
            chosen = torch.cat(factors, 1).reshape(*completed.shape[:2], -1)
        elif isinstance(self.model, PrefixReuse) and len(self.prompt) + t > 0:
            branches = self._model_tokens(completed[:, :, t : far - 1])
            law = self.model.continued_log_probs(self._prefixed(x[:, :t]), branches)
            chosen = _at(self._restricted(law), completed[:, :, t + 1 :])
        else:
            law = self.model.log_probs(self._prefixed(flat))[:, len(self.prompt) + t + 1 :]
            chosen = _at(self._restricted(law), flat[:, t + 1 :]).reshape(*completed.shape[:2], -1)
        whole = torch.cat([log_prior[:, :, None], chosen], 2).flatten(0, 1)
        return self._total(whole, flat, first=t).reshape(log_prior.shape)

    def _total(self, chosen: Float[Tensor, "row factor"], x: Tensor, first: int = 0) -> Float[Tensor, " row"]:
        """Return the sum of log factors, the first being that at `first`; whatever follows a factor 0 is ignored."""
        dead = torch.nn.functional.pad(chosen.isneginf().cumsum(1) > 0, (1, 0))
        lost = chosen.isnan() & ~dead[:, :-1]
        if lost.any():
            row, factor = lost.nonzero()[0].tolist()
            raise self._dead_end(x[row], first + factor)
        return torch.where(dead[:, -1], -math.inf, chosen.sum(1))

    def _dead_end(self, x: Int64[Tensor, " position"], t: int) -> DeadEndError:
        return DeadEndError(
            f"expected a token of the vocabulary to be possible after {self.render(x[:t])!r}, got total probability 0 "
            "or NaN; widen the vocabulary, smooth the model, or give a prompt to a model without a start token"
        )


def _at(laws: Float[Tensor, "*batch token"], tokens: Int64[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    return laws.gather(-1, tokens[..., None])[..., 0]
