"""n-gram models of the next token, fitted by counting; exact rational probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from synthetic.autoregressive.gram_tables import GramTable, distinct, gram_keys, windows, without
from synthetic.enumeration import all_strings

DENSE = 2**23
"""Entries up to which a table is written out: 64 MB for each position that may be left free in it."""


@dataclass(frozen=True, eq=False)
class Level:
    """What order k adds: P_k = backoff(h) P_{k−1} + share(h, v), and how to draw a token that followed h."""

    backoff: GramTable
    """w(h)/(N(h) + w(h)), and 1 for histories never seen."""
    share: GramTable
    """N(hv)/(N(h) + w(h))."""
    seen: Float[Tensor, " history"]
    """N(h) of the histories, in lexicographic order."""
    mass: Float[Tensor, " history"]
    """N(h) + w(h)."""
    begin: Int64[Tensor, " history"]
    """Σ of the counts of the k-grams before those that begin with h."""
    totals: Int64[Tensor, " gram"]
    """Σ of the counts of the k-grams up to and including each, in lexicographic order."""
    tokens: Int64[Tensor, " gram"]
    """Their last tokens."""


@dataclass(frozen=True, eq=False)
class NGram:
    r"""A model P(v | h) in which the next token v depends on the n − 1 tokens h before it, interpolated over orders.

    With N(u) the number of times the string u occurs in the text (as the end of what has been read) and h′ the
    history h without its first token,

        P_k(v | h) = (N(hv) + w(h) P_{k−1}(v | h′)) / (N(h) + w(h)),   N(h) = Σ_v N(hv),   P_0(v) = 1/c,

    P = P_n. The weight w(h) is the number of distinct tokens seen after h (Witten and Bell, IEEE Trans. Inf. Theory
    37, 1991), or a constant λ ≥ 0 (a Dirichlet prior; MacKay and Bauman Peto 1995). Histories never seen back off
    whole, P_k = P_{k−1}, also when λ = 0, which is maximum likelihood and gives strings probability zero. Positions
    before the first token of a sentence hold the start mark c. All probabilities are rational.

    Attributes:
        n_tokens: size c of the vocabulary.
        grams: the distinct n-grams (history, token) of the text, the start mark written as c.
        counts: how often each occurs.
        weight: λ; None for Witten–Bell.

    >>> model = NGram.fit([[0, 1, 0, 1, 1]], n_tokens=2, order=2)
    >>> model.next_log_prob(torch.tensor([[0], [1]])).exp()
    tensor([[0.1429, 0.8571],
            [0.4643, 0.5357]], dtype=torch.float64)
    >>> model.prob_exact((0,), 1)
    Fraction(6, 7)
    """

    n_tokens: int
    grams: Int64[Tensor, "gram order"]
    counts: Int64[Tensor, " gram"]
    weight: Fraction | None = None

    def __post_init__(self) -> None:
        """Check the counts.

        Raises:
            ValueError: on no n-grams, a repeated one, foreign tokens, counts below one, a negative λ, or an
                alphabet too large for its n-grams to be numbered in int64.
            TypeError: if n-grams or counts are not int64, or the n-grams are no matrix.
        """
        if self.grams.dtype != torch.int64 or self.grams.ndim != 2 or self.counts.dtype != torch.int64:
            raise TypeError(
                f"expected int64 n-grams of shape (gram, order) and int64 counts, got {self.grams.dtype} of shape "
                f"{tuple(self.grams.shape)} and {self.counts.dtype}; convert with .to(torch.int64)"
            )
        c, n = self.n_tokens, self.grams.shape[1]
        if len(self.counts) != len(self.grams):
            raise ValueError(f"expected {len(self.grams)} counts, one per n-gram, got {len(self.counts)}")
        if c < 1 or n < 1 or len(self.grams) == 0:
            raise ValueError(
                f"expected at least one token, order >= 1 and one n-gram, got {c} tokens, order {n} and "
                f"{len(self.grams)} n-grams; fit the model to a text that is not empty"
            )
        if (c + 1) ** n >= 2**63:
            raise ValueError(f"expected (c + 1)^n < 2^63, got c = {c}, n = {n}; lower the order or the vocabulary")
        last, history = self.grams[:, -1], self.grams[:, :-1]
        # A start mark may follow nothing but start marks.
        late = (history[:, 1:] == c) & (history[:, :-1] != c)
        bad = (self.grams < 0).any(1) | (last >= c) | (history > c).any(1) | late.any(1)
        if bad.any():
            row = int(bad.nonzero()[0])
            raise ValueError(
                f"expected n-grams over tokens 0..{c - 1}, preceded by start marks {c} only, got "
                f"{self.grams[row].tolist()}; tokens are indices into the vocabulary"
            )
        if (self.counts < 1).any():
            row = int((self.counts < 1).nonzero()[0])
            raise ValueError(
                f"expected counts >= 1, got {int(self.counts[row])} for {self.grams[row].tolist()}; "
                "leave out what does not occur"
            )
        if len(torch.unique(gram_keys(self.grams, c + 1))) < len(self.grams):
            raise ValueError("expected distinct n-grams, got a repeated one; add its counts up")
        if self.weight is not None and self.weight < 0:
            raise ValueError(f"expected a weight >= 0, got {self.weight}; 0 is maximum likelihood, None Witten-Bell")

    @classmethod
    def fit(
        cls,
        sentences: Iterable[Sequence[int]],
        n_tokens: int,
        order: int,
        weight: Fraction | int | None = None,
    ) -> NGram:
        """Count the n-grams of a text.

        Args:
            sentences: token indices; each sentence begins after start marks, empty ones say nothing.
            n_tokens: size c of the vocabulary, also of tokens that the text lacks.
            order: n ≥ 1; the next token depends on the n − 1 before it.
            weight: λ; None for Witten–Bell.

        Raises:
            ValueError: if the order is below 1 or the text is empty; foreign tokens as in the constructor.
        """
        if order < 1:
            raise ValueError(f"expected an order n >= 1, got {order}; order 1 draws tokens independently")
        padded: list[int] = []
        for sentence in sentences:
            if len(sentence):
                if min(sentence) < 0 or max(sentence) >= n_tokens:
                    foreign = next(v for v in sentence if not 0 <= v < n_tokens)
                    raise ValueError(
                        f"expected tokens 0..{n_tokens - 1}, got {foreign}; tokens are indices into the vocabulary"
                    )
                padded += [n_tokens] * (order - 1)
                padded += sentence
        if not padded:
            raise ValueError("expected a text with at least one token, got none; give sentences as token indices")
        text = torch.tensor(padded, dtype=torch.int64)
        every = text.unfold(0, order, 1)
        # Windows that end in a start mark straddle two sentences.
        every = every[every[:, -1] < n_tokens]
        grams, counts = distinct(every, torch.ones(len(every), dtype=torch.int64), n_tokens + 1)
        return cls(n_tokens, grams, counts, None if weight is None else Fraction(weight))

    @property
    def order(self) -> int:
        """The order n: the law of a token depends on the n − 1 tokens before it."""
        return self.grams.shape[1]

    def next_log_prob(self, prefixes: Int64[Tensor, "prefix position"]) -> Float[Tensor, "prefix token"]:
        """Return log P(v | prefix) for every token v."""
        context = windows(torch.nn.functional.pad(prefixes, (0, 1)), self.order, self.n_tokens)[:, -1]
        return self.rows(context, self.order - 1).log()

    def prob(self, grams: Int64[Tensor, "*batch order"]) -> Float[Tensor, "*batch"]:
        """Return P(g_n | g_1 … g_{n−1}); exact to a few units of rounding (sums of positive terms)."""
        prob = torch.full(grams.shape[:-1], 1 / self.n_tokens, dtype=torch.float64, device=grams.device)
        for k, level in enumerate(self.levels(grams.device), start=1):
            gram = grams[..., self.order - k :]
            prob = level.backoff.at(gram[..., :-1]) * prob + level.share.at(gram)
        return prob

    def rows(
        self, grams: Int64[Tensor, "row order"], slot: int, orders: int | None = None
    ) -> Float[Tensor, "row token"]:
        """Return P(g_n | g_1 … g_{n−1}) with entry `slot` of each gram set to every token in turn.

        The last slot gives the law of the next token; an earlier one, the likelihood of a token in the history. With
        `orders` below n, the probabilities are P_orders.
        """
        c, n = self.n_tokens, self.order
        prob = torch.full((len(grams), 1), 1 / c, dtype=torch.float64, device=grams.device)
        for k, level in enumerate(self.levels(grams.device)[:orders], start=1):
            gram, free = grams[:, n - k :], slot - (n - k)
            if free < 0:
                prob = level.backoff.at(gram[:, :-1])[:, None] * prob + level.share.at(gram)[:, None]
                continue
            if free == k - 1:
                backoff = level.backoff.at(gram[:, :-1])[:, None]
            else:
                backoff = level.backoff.rows(gram[:, :-1], free, c)
            prob = torch.addcmul(level.share.rows(gram, free, c), backoff, prob)
        return prob

    def log_rows(self, grams: Int64[Tensor, "row order"], slot: int) -> Float[Tensor, "row token"]:
        """Return log `rows`; looked up in a table of all of them where that has at most DENSE entries."""
        if not self._tabulated:
            return self.rows(grams, slot).log_()
        name = (str(grams.device), slot)
        if name not in self._log_tables:
            rest = all_strings(self.n_tokens + 1, self.order - 1, padded=False).to(grams.device)
            free = torch.zeros(len(rest), 1, dtype=torch.int64, device=grams.device)
            every = torch.cat([rest[:, :slot], free, rest[:, slot:]], 1)
            self._log_tables[name] = self.rows(every, slot).log_()
        return self._log_tables[name][gram_keys(without(grams, slot), self.n_tokens + 1)]

    def draw(self, histories: Int64[Tensor, "history before"], generator: torch.Generator) -> Int64[Tensor, " history"]:
        """Draw the token after each history of n − 1 tokens, on the generator's device.

        The interpolation read as a mixture, with integers: from order n down, take one of the N(h) tokens that
        followed h in the text with probability N(h)/(N(h) + w(h)), else go on with h′. Exact up to the 2⁻⁵³ grain
        of a float64 uniform; O(n log(number of n-grams)) per token at any vocabulary.
        """
        device = generator.device
        token = torch.empty(len(histories), dtype=torch.int64, device=device)
        rows = torch.arange(len(histories), device=device)
        for k, level in reversed(list(enumerate(self.levels(device), start=1))):
            place, found = level.backoff.find(histories[rows, self.order - k :])
            uniform = torch.rand(len(rows), generator=generator, dtype=torch.float64, device=device)
            value = uniform * level.mass[place]
            stop = found & (value < level.seen[place])
            pick = level.begin[place[stop]] + value[stop].to(torch.int64)
            token[rows[stop]] = level.tokens[torch.searchsorted(level.totals, pick, right=True)]
            rows = rows[~stop]
        uniform = torch.rand(len(rows), generator=generator, dtype=torch.float64, device=device)
        token[rows] = (uniform * self.n_tokens).to(torch.int64)
        return token

    def prob_exact(self, history: Sequence[int], token: int) -> Fraction:
        """Return P(token | history) as a Fraction, by the recursion over orders; shares no code with `prob`.

        Longer histories are cut to n − 1 tokens, shorter ones preceded by start marks.
        """
        n = self.order
        context = (self.n_tokens,) * (n - 1) + tuple(history)
        prob = Fraction(1, self.n_tokens)
        for k in range(1, n + 1):
            followers = self._followers[k - 1].get(context[len(context) - k + 1 :], {})
            weight = Fraction(len(followers)) if self.weight is None else self.weight
            if followers:
                prob = (followers.get(token, 0) + weight * prob) / (sum(followers.values()) + weight)
        return prob

    def levels(self, device: torch.device) -> list[Level]:
        """Return the tables of orders 1 … n on a device; built once for each."""
        if str(device) not in self._levels:
            self._levels[str(device)] = [self._level(k, device) for k in range(1, self.order + 1)]
        return self._levels[str(device)]

    def _level(self, k: int, device: torch.device) -> Level:
        base = self.n_tokens + 1
        grams, counts = distinct(self.grams[:, self.order - k :].to(device), self.counts.to(device), base)
        histories, seen = distinct(grams[:, :-1], counts, base)
        _, followers = distinct(grams[:, :-1], torch.ones_like(counts), base)
        weight = followers.double() if self.weight is None else torch.full_like(seen.double(), float(self.weight))
        mass = seen + weight
        place = torch.searchsorted(gram_keys(histories, base), gram_keys(grams[:, :-1], base))
        room = 0 if self._tabulated else DENSE
        return Level(
            GramTable(histories, weight / mass, base, 1.0, dense=base ** (k - 1) <= room),
            GramTable(grams, counts / mass[place], base, 0.0, dense=base**k <= room),
            seen.double(),
            mass,
            seen.cumsum(0) - seen,
            counts.cumsum(0),
            grams[:, -1].contiguous(),
        )

    @property
    def _tabulated(self) -> bool:
        return int((self.n_tokens + 1) ** self.order) <= DENSE

    @cached_property
    def _log_tables(self) -> dict[tuple[str, int], Tensor]:
        return {}

    @cached_property
    def _levels(self) -> dict[str, list[Level]]:
        return {}

    @cached_property
    def _followers(self) -> list[Mapping[tuple[int, ...], Mapping[int, int]]]:
        orders: list[dict[tuple[int, ...], dict[int, int]]] = [{} for _ in range(self.order)]
        for gram, count in zip(self.grams.tolist(), self.counts.tolist(), strict=True):
            for k in range(1, self.order + 1):
                after = orders[k - 1].setdefault(tuple(gram[self.order - k : -1]), {})
                after[gram[-1]] = after.get(gram[-1], 0) + count
        return list(orders)
