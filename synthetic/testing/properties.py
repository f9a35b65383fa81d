"""The properties that every `Language` must have, each a check; `synthetic.testing.conformance` runs them.

A check returns when the property holds, raises `Failure` with what it found, or `Skip` with why it does not apply.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping

import torch

from synthetic.enumeration import EnumerationTooLargeError, ImpossibleContextError, float_rows, log_fraction
from synthetic.testing.oracle import RELATIVE, SMALLEST_NORMAL, Case, Failure, Skip, close, require
from synthetic.tokens import MASK, PAD, fill, mask

MONTE_CARLO_CONTEXTS = 256
"""Sampled contexts on which a language too large to enumerate is checked locally."""


def _declarations(case: Case) -> None:
    language, t = case.language, case.language.masked_positions
    require(language.n_tokens > 0, "the vocabulary is empty")
    require(len(set(language.vocabulary)) == language.n_tokens, f"tokens repeat: {language.vocabulary}")
    require(language.length > 0, f"length is {language.length}, expected at least 1")
    require(len(t) > 0 and len(set(t)) == len(t), f"masked_positions {t} are empty or repeat")
    require(all(0 <= i < language.length for i in t), f"masked_positions {t} leave 0..{language.length - 1}")
    channel = language.target_channel()
    for row in channel or ():
        require(sum(row) == 1 and min(row) >= 0, f"target_channel row {row} is no probability vector")
        require(len(row) == len(channel or ()) == language.n_tokens, "target_channel is not c by c")


def _samples(case: Case) -> None:
    x = case.sentences
    require(tuple(x.shape) == (case.n, case.language.length), f"sample({case.n}) has shape {tuple(x.shape)}")
    case.language.check_sentences(x)
    log_prob = case.language.log_prob(x)
    require(bool((log_prob > -math.inf).all()), "a sampled sentence has log_prob -inf")
    require(bool((log_prob <= RELATIVE).all()), "a sampled sentence has probability above one")


def _reproducible(case: Case) -> None:
    state = torch.get_rng_state()
    generator = case.generator(0)
    again = case.language.sample(case.n, generator)
    require(torch.equal(again, case.sentences), "the same generator seed gave two different samples")
    more = case.language.sample(case.n, generator)
    masked = [case.language.sample_masked(case.n, case.generator(2)) for _ in range(2)]
    same = all(torch.equal(getattr(masked[0], part), getattr(masked[1], part)) for part in ("contexts", "targets"))
    require(same, "the same generator seed gave two different masked samples")
    require(torch.equal(torch.get_rng_state(), state), "sampling moved torch's global random state")
    # Two honest samples coincide with probability (Σ P²)^n; ask only where that is surely below the suite's level.
    counts = Counter(map(tuple, case.sentences.tolist())).values()
    collision = sum(count**2 for count in counts) / case.n**2
    if case.n * math.log(collision) < 10 * math.log(case.level):
        require(not torch.equal(more, again), "a second sample repeats the first: the generator is not used")


def _total_probability(case: Case) -> None:
    total = sum(case.exact.values())
    require(close(float(total - 1), 0.0, 1.0), f"exact probabilities sum to 1 + {float(total - 1):.3g}")
    whole = case.language.enumerate()
    listed = dict(zip(map(tuple, whole.sentences.tolist()), whole.prob.tolist(), strict=True))
    for row, prob in case.exact.items():
        got = listed.pop(row, 0.0)
        require(close(got, float(prob)), f"exp log_prob of {row} is {got!r}, exactly {float(prob)!r}")
    require(all(prob <= SMALLEST_NORMAL for prob in listed.values()), "log_prob and prob_exact differ in support")


def _conditionals_sum_to_one(case: Case) -> None:
    contexts = torch.unique(case.language.sample_masked(case.n, case.generator(1)).contexts, dim=0)
    prob = case.language.masked_conditional(contexts)
    require(prob.dtype == torch.float64, f"masked_conditional is {prob.dtype}, expected float64")
    require(tuple(prob.shape) == (len(contexts), case.language.n_tokens), f"shape is {tuple(prob.shape)}")
    require(bool((prob >= 0).all()), "masked_conditional has a negative or NaN entry")
    gap = float((prob.sum(1) - 1).abs().max())
    require(gap <= RELATIVE, f"a row of masked_conditional sums to 1 ± {gap:.3g}")


def _bayes(case: Case) -> None:
    try:
        law = case.law
    except Skip:
        _bayes_locally(case)
        return
    contexts = torch.tensor(list(law), dtype=torch.int64)
    prob = case.language.masked_conditional(contexts).tolist()
    log_prob = case.language.log_masked_conditional(contexts).tolist()
    for (context, joint), row, log_row in zip(law.items(), prob, log_prob, strict=True):
        for y, mass in enumerate(joint):
            exact = mass / sum(joint)
            where = f"p*({y} | {list(context)})"
            require(close(row[y], float(exact)), f"{where} is {row[y]!r}, by Bayes {float(exact)!r}")
            logarithm = log_fraction(exact)
            same = log_row[y] == logarithm or close(log_row[y], logarithm, max(1.0, abs(logarithm)))
            require(same, f"log {where} is {log_row[y]!r}, by Bayes {logarithm!r}")


def _bayes_locally(case: Case) -> None:
    """Bayes' rule on log_prob alone: the support need not be listed to compare the c completions of a context."""
    language = case.language
    contexts = language.sample_masked(min(case.n, MONTE_CARLO_CONTEXTS), case.generator(1)).contexts
    completions = fill(contexts, language.check_contexts(contexts), language.n_tokens)
    log_joint = language.log_prob(completions.flatten(0, 1)).reshape(completions.shape[:2])
    bayes = log_joint.softmax(1)
    channel = language.target_channel()
    if channel is not None:
        bayes = bayes @ float_rows(channel)
    size = log_joint.nan_to_num(neginf=0.0).abs().amax(1, keepdim=True).clamp(min=1.0)
    gap = (language.masked_conditional(contexts) - bayes).abs()
    bad = (gap > RELATIVE * size * bayes + SMALLEST_NORMAL).any(1)
    require(not bad.any(), f"p*(. | {contexts[bad][:1].tolist()}) is {float(gap.max()):.3g} from Bayes on log_prob")


def _all_positions(case: Case) -> None:
    """One call for all positions says what one call per context says."""
    language = case.language
    sentences = torch.unique(case.sentences[:MONTE_CARLO_CONTEXTS], dim=0)
    every = language.log_masked_conditionals(sentences)
    require(tuple(every.shape) == (*sentences.shape, language.n_tokens), f"shape is {tuple(every.shape)}")
    for t in range(language.length):
        inside = sentences[:, t] != PAD
        require(bool(every[~inside, t].isneginf().all()), f"a row of padding at position {t} is not -inf")
        if inside.any():
            rows = sentences[inside]
            one = language.log_masked_conditional(mask(rows, torch.full((len(rows),), t)))
            both = torch.stack([one, every[inside, t]])
            gap = (both[0].exp() - both[1].exp()).abs()
            scale = both.nan_to_num(neginf=0.0).abs().amax(0).clamp(min=1.0) * one.exp()
            bad = ~(gap <= RELATIVE * scale + SMALLEST_NORMAL)
            require(not bad.any(), f"at position {t} all positions at once are {float(gap.max()):.3g} off")


def _rejects_bad_contexts(case: Case) -> None:
    language = case.language
    sample = language.sample_masked(1, case.generator(1))
    good = sample.contexts
    foreign, twice = good.clone(), good.clone()
    foreign[0, 0] = language.n_tokens
    twice[0, :] = MASK
    bad = {"no mask": language.sample(1, case.generator(1)), "a token outside the vocabulary": foreign}
    if language.length > 1:
        bad["several masks"] = twice
    try:
        known = case.law
        strings = fill(good, language.check_contexts(good), language.n_tokens).flatten(0, 1).tolist()
        for string in strings:
            for t in range(language.length):
                context = [*string[:t], MASK, *string[t + 1 :]]
                if t in language.masked_positions and string[t] != PAD and tuple(context) not in known:
                    bad["a context of probability zero"] = torch.tensor([context])
    except Skip:
        pass
    for what, contexts in bad.items():
        for method in (language.masked_conditional, language.log_masked_conditional):
            try:
                method(contexts)
            except ImpossibleContextError:
                continue
            except ValueError:
                require(what != "a context of probability zero", "an impossible context raised another ValueError")
            else:
                raise Failure(f"{method.__name__} accepted {what}: {contexts.tolist()}")


def _frequencies(case: Case) -> None:
    case.check_frequencies(case.exact, case.sentences, "sentences")


def _masked_frequencies(case: Case) -> None:
    joint = {(*context, y): p for context, row in case.law.items() for y, p in enumerate(row) if p > 0}
    sample = case.language.sample_masked(case.n, case.generator(2))
    case.check_frequencies(joint, torch.cat([sample.contexts, sample.targets[:, None]], 1), "context and target")


def _entropy_floor(case: Case) -> None:
    language = case.language
    try:
        law = case.law
    except Skip:
        _entropy_floor_by_sampling(case)
        return
    floor = language.entropy_floor()
    conditional = sum(
        float(mass) * -log_fraction(mass / sum(joint)) for joint in law.values() for mass in joint if mass
    )
    require(close(floor, conditional, math.log(max(2, language.n_tokens))), f"L* is {floor!r}, exactly {conditional!r}")
    # Second route: the population cross-entropy of the language's own conditionals, attained only at p*.
    log_prob = language.log_masked_conditional(torch.tensor(list(law), dtype=torch.int64))
    mass = float_rows(list(law.values()))
    loss = -float(torch.where(mass > 0, mass * log_prob, 0.0).sum())
    require(close(floor, loss, max(1.0, math.log(language.n_tokens))), f"L* is {floor!r}, loss of p* {loss!r}")


def _entropy_floor_by_sampling(case: Case) -> None:
    """Hoeffding: each context's entropy lies in [0, log c]; the same band as DKWM, scaled by log c."""
    try:
        floor = case.language.entropy_floor()
    except EnumerationTooLargeError as error:
        raise Skip(str(error)) from error
    estimate = case.language.estimate_entropy_floor(case.n, case.generator(2)).estimate
    half_width = case.band * math.log(case.language.n_tokens)
    require(abs(floor - estimate) <= half_width, f"L* is {floor!r}, sampled {estimate!r} ± {half_width:.3g}")


def _downstream(case: Case) -> None:
    if not case.language.downstream:
        raise Skip("the language has no downstream task")
    for stream, (name, task) in enumerate(case.language.downstream.items(), start=3):
        require(name == task.name, f"task {task.name!r} is listed as {name!r}")
        sample = task.sample(case.n, case.generator(stream))
        again = task.sample(case.n, case.generator(stream))
        require(torch.equal(sample.inputs, again.inputs), f"{name}: one seed gave two samples")
        values = torch.tensor(task.label_values, dtype=torch.float64)
        require(bool(torch.isin(sample.labels, values).all()), f"{name}: a label outside {task.label_values}")
        try:
            whole = task.enumerate()
        except EnumerationTooLargeError:
            continue
        require(close(float(whole.prob.sum()), 1.0), f"{name}: probabilities sum to {float(whole.prob.sum())!r}")
        require(torch.equal(whole.labels, task.label(whole.inputs)), f"{name}: enumerated labels differ")
        law = dict(zip(map(tuple, whole.inputs.tolist()), whole.prob.tolist(), strict=True))
        case.check_frequencies(law, sample.inputs, f"{name} inputs")


PROPERTIES: Mapping[str, Callable[[Case], None]] = {
    "declarations": _declarations,
    "sentences lie in the vocabulary": _samples,
    "sampling is reproducible": _reproducible,
    "probabilities sum to one": _total_probability,
    "conditionals sum to one": _conditionals_sum_to_one,
    "conditionals obey Bayes": _bayes,
    "all positions at once": _all_positions,
    "bad contexts are rejected": _rejects_bad_contexts,
    "sampling frequencies": _frequencies,
    "masked sampling frequencies": _masked_frequencies,
    "entropy floor": _entropy_floor,
    "downstream tasks": _downstream,
}
"""The checks by name, in the order in which they run."""
