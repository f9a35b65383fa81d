r"""What width does to the trace, exactly, and what that does not say of transformers.

f = Σ_j a_j φ(w_j·z), φ positively homogeneous of degree k: φ(su) = s^k φ(u) for s > 0. Put t^{k+1} equal copies in the
place of every neuron, each with a and w divided by t. The function stays what it is; every term of tr H on Γ, φ² and a²
φ'² ‖z‖², is homogeneous of degree 2k in (a, w), so with c = t^{k+1} copies

    tr H → t^{1−k} tr H = c^{−(k−1)/(k+1)} tr H:

not at all for relu (k = 1), by c^{−1/3} for squares. In the pair language (k = 2) this is the law of the *least* trace:
M(2r) = 2P r^{−1/3} at an even width 2r (`flattest-pairs`), so M(2cr)/M(2r) = c^{−1/3}, and each further neuron lowers
it by P (r^{−1/3} − (r + 1)^{−1/3}) > 0. In the bracket language the least trace depends on no width.

So whether a larger network can be flatter is a matter of homogeneity. That larger transformers transfer better at the
same excess is the paper's finding (second-hand); whether they do once a head gets equally many features is measured.
"""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from theory import Claim, Parameter, closed_form
from theory.claims.minima import flattest_brackets, flattest_pairs
from theory.kernel import Derivation, Model, Terms

head, overlap, root = sp.symbols("a u t", positive=True)
"""A head |a|, a pre-activation w·z > 0 (where it is not, relu is 0), and t = c^{1/(k+1)}."""
sign = sp.Symbol("epsilon", real=True)
degree, width, copies = sp.symbols("k r c", integer=True, positive=True)
norm = sp.Symbol("Z", nonnegative=True)
"""‖z‖²."""
price = sp.Symbol("P", positive=True)
third = sp.Rational(1, 3)


def value(head: sp.Expr, overlap: sp.Expr) -> sp.Expr:
    """What one neuron adds to f: a φ(u), φ(u) = u^k."""
    return sign * head * overlap**degree


def squared_gradient(head: sp.Expr, overlap: sp.Expr) -> sp.Expr:
    """What one neuron adds to ‖∇f‖²: φ² + a² φ'² ‖z‖²."""
    return overlap ** (2 * degree) + head**2 * degree**2 * overlap ** (2 * degree - 2) * norm


def least_even(width: sp.Expr) -> sp.Expr:
    """Return M at width 2 · `width`, its factor P apart: the last factor of `flattest-pairs`."""
    return 2 * width**-third


def derive() -> Derivation:
    """Derive what copies do to the trace, the width law of the least trace, and its monotonicity."""
    d = Derivation("model-size")
    _copies(d)
    _least(d)
    d.conjecture(
        "size-helps",
        "at matched excess the few-label accuracy of transformers rises by 0.045 or more in the mean when the width is "
        "doubled, features projected to one dimension: E[A(2w) − A(w)] ≥ 0.045",
        "the width law speaks of the trace on Γ for homogeneous units, not of accuracy nor of transformers; measured",
    )
    return d.conclude("size-helps", models())


def models() -> Iterator[Model]:
    """A neuron of degree 2 and its copies, beside the flattest pair network of 2 + 1 neurons."""
    flattest = [1, 1, -sp.cbrt(2)], [[1, 1], [1, 1], [sp.cbrt(2), -sp.cbrt(2)]]
    yield Model(
        "one neuron of degree 2; the flattest 2 + 1 neurons, d = 2",
        {
            **flattest_pairs.of_weights(8, *flattest), head: 2, overlap: sp.Rational(3, 2), root: sp.Rational(5, 2),
            sign: -1, norm: 3, copies: 3, width: 2, price: sp.Rational(5, 4), degree: 2,
        },
    )  # fmt: skip


def _copies(d: Derivation) -> None:
    number = root ** (degree + 1)
    d.identity(
        "same-function",
        sp.Eq(number * value(head / root, overlap / root), value(head, overlap)),
        "t^{k+1} copies with a/t and w/t add what the neuron added: a φ(u) is homogeneous of degree k + 1",
    )
    before, after = sp.symbols("q q_c", positive=True)
    d.define("before", sp.Eq(before, squared_gradient(head, overlap)), "a neuron's part of ‖∇f‖² at a context")
    d.define("after", sp.Eq(after, number * squared_gradient(head / root, overlap / root)), "the part of its copies")
    d.identity(
        "copied",
        sp.Eq(after / before, root ** (1 - degree)),
        "the same at every context, as both terms have degree 2k: so tr H on Γ is multiplied by c^{−(k−1)/(k+1)}",
        given=("before", "after"),
    )
    d.instance("relu", "copied", {degree: sp.S.One}, "k = 1: copies change nothing")
    d.instance("squares", "copied", {degree: sp.Integer(2), root: copies**third}, "k = 2 and c copies: c^{−1/3}")


def _least(d: Derivation) -> None:
    d.lemma(
        "least-pairs",
        flattest_pairs.CLAIM.derivation,
        because="least trace P (⌈m/2⌉^{−1/3} + ⌊m/2⌋^{−1/3}), P = 6σ'(α) d^{2/3} (α/2)^{4/3}",
    )
    d.lemma("least-brackets", flattest_brackets.CLAIM.derivation, "minimum", "relu: 2α√(T−1) σ'(α) at every width")
    narrow, wide = sp.symbols("M_2r M_2cr", positive=True)
    for name, symbol, half in (("narrow", narrow, width), ("wide", wide, copies * width)):
        d.define(name, sp.Eq(symbol, price * least_even(half)), f"least-pairs at the even width {2 * half}")
    d.identity(
        "width-law",
        sp.Eq(wide / narrow, copies**-third),
        "what copies do to any network, width does to the flattest",
        given=("narrow", "wide"),
    )
    low, high = width**third, (width + 1) ** third
    d.inequality(
        "each-neuron",
        sp.Gt(price * (low**-1 - high**-1), 0, evaluate=False),
        "from 2r to 2r + 1 neurons and again to 2r + 2 one r^{−1/3} becomes (r + 1)^{−1/3}: with cube roots a, b of r "
        "and r + 1, 1/a − 1/b = 1/(ab(a² + ab + b²))",
        Terms((price / (low * high * (low**2 + low * high + high**2)),)),
    )
    d.limit(
        "to-nothing",
        least_even(width),
        width,
        sp.oo,
        sp.S.Zero,
        "the flattest pair networks become as flat as one likes; brackets do not",
    )


RATIO = "tr H of the wider network over that of the narrower"

CLAIM = Claim(
    id="model-size",
    place=5,
    title="Larger models transfer better at the same excess loss and number of features",
    statement=r"\mathbb E[A(2w)-A(w)]\ge0.045\ \text{at equal feature dimension "
    r"and matched excess (conjecture); proved: } c\text{ copies of each neuron, }\varphi\text{ of degree }k,"
    r"\text{ multiply } \operatorname{tr}H \text{ by } c^{-(k-1)/(k+1)}",
    hypotheses=(
        "a replicate: a random language with exact p*, a transformer of width w and one of width 2w, same depth",
        "A: expected accuracy of a ridge head, few labelled sentences, on features projected to one dimension by a "
        "random Gaussian matrix",
        "networks of a replicate compared at the same E KL(p* ‖ p_θ)",
    ),
    uses=("flattest-pairs", "flattest-brackets"),
    source="paper §3, model size, and App. B.3–B.4 (second-hand); the width law is ours",
    derive=derive,
    formulas={
        "": closed_form("width-law", RATIO, Parameter("c", copies, "copies of each neuron, pairs", minimum=1, step=1)),
        "degree": closed_form(
            "copied",
            RATIO,
            Parameter("k", degree, "degree of homogeneity of the units", minimum=1, step=1),
            Parameter("t", root, "c^{1/(k+1)} for c copies of each neuron", minimum=0, strict=True),
        ),
    },
)
