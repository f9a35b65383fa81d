"""Questions of a campaign: their designs, and their answers from rows that are written here."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from theory.claims import CLAIMS
from verify.campaigns import answers, figure, page
from verify.campaigns.answers import Curve, TableError, curves
from verify.campaigns.grid import Campaign, CampaignError, load
from verify.campaigns.questions import LEVEL, questions
from verify.cli.main import main
from verify.cohorts.designs import SKEW_ALLOWANCE
from verify.statistics import spearman
from verify.trial.plots import PlotError

FILES = sorted(Path(answers.__file__).parent.glob("*.toml"))
GAIN: Mapping[str, Any] = {
    "claim": "continued-training",
    "statistic": "gain",
    "first": ("sampled",),
    "second": "polished",
    "doses": (100, 400, 1000),
    "target": 0.02,
    "margin": 0.02,
    "side": "lower",
    "spread": 0.01,
}
TRACE = {**GAIN, "claim": "noise-lowers-trace", "statistic": "log trace ratio", "second": "soft", "target": -0.1}
TRACE |= {"margin": 0.1, "side": "upper", "spread": 0.05}
RANKS = {**GAIN, "claim": "flatness-predicts", "statistic": "rank correlation", "first": ("soft", "sampled")}
RANKS |= {"doses": (400, 1000), "target": -0.4, "margin": 0.4, "side": "upper", "spread": 0.3}
DOSES = [f"{labels}@{dose}" for dose in (100, 400, 1000) for labels in ("soft", "sampled")]
CAMPAIGN = Campaign(
    "written",
    "small",
    ("hmm",),
    (1, 2),
    ("polished", *DOSES),
    settings={"members": 20},
    question=(GAIN, TRACE, RANKS),
)


def rows(gain: float = 0.03, excess: float = 1.0) -> list[dict[str, Any]]:
    """Write rows in which sampled labels gain so much at each dose, and soft ones nothing, at some ratio of excess."""
    found = []
    for seed in CAMPAIGN.root_seeds:
        generator = np.random.default_rng(seed)
        for member in range(20):
            for name in CAMPAIGN.conditions:
                labels, _, dose = name.partition("@")
                place = 1 + (100, 400, 1000).index(int(dose)) if labels == "sampled" else 0
                noise = 0.005 * generator.standard_normal()
                found.append(
                    {
                        "family": "hmm",
                        "root_seed": str(seed),
                        "member": str(member),
                        "condition": name,
                        "slow_time": str(int(dose or 0) / 200),
                        "accuracy": str(0.6 + gain * (place > 0) + 0.01 * place + noise),
                        "trace": str(np.exp(3 - 0.3 * place + noise)),
                        "excess": str(0.1 * (excess if labels == "sampled" else 1.0) * np.exp(noise)),
                        "excess_error": "0.001",
                        "accuracy_slope": "-0.5",
                        "log_trace_slope": str(-0.1 * seed),
                    }
                )
    return found


def answered(number: int, **options: float) -> Curve:
    return list(curves(CAMPAIGN, rows(**options)))[number]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_projects_own_campaigns_have_the_power_that_they_declare(path: Path) -> None:
    campaign = load(path)
    assert campaign.name == path.stem
    for _, design in questions(campaign):
        design.check_power()
        assert design.n == campaign.scale_at(campaign.points[0]).members * len(campaign.root_seeds)


def test_all_answers_of_a_campaign_share_its_level() -> None:
    designs = [design for _, design in questions(CAMPAIGN)]
    assert 8 * designs[0].alpha * SKEW_ALLOWANCE == pytest.approx(LEVEL, rel=1e-12)
    both = replace(CAMPAIGN, families=("hmm", "pcfg"), vary={"initial_scale": (1.0, 2.0)})
    assert questions(both)[0][1].alpha == pytest.approx(designs[0].alpha / 4, rel=1e-12)


def test_closed_form_a_gain_with_its_allowance() -> None:
    curve = answered(0, gain=0.03)
    for place, answer in enumerate(curve.answers, 1):
        expected = [float(row["accuracy"]) for row in rows() if row["condition"] == f"sampled@{answer.dose}"]
        before = [float(row["accuracy"]) for row in rows() if row["condition"] == "polished"]
        np.testing.assert_allclose(answer.values, np.subtract(expected, before), rtol=0, atol=1e-15)
        assert (answer.verdict, answer.sign, answer.slow_time) == ("supported", 1, answer.dose / 200)  # type: ignore[operator]
        assert abs(answer.interval.estimate - 0.03 - 0.01 * place) < 0.01
    assert curve.trend is not None
    assert curve.trend.word == "rising"
    assert answered(0, gain=-0.2).answers[-1].verdict == "refuted"
    assert answered(0, gain=-0.2).answers[-1].sign == -1


def test_closed_form_the_allowance_is_what_the_excess_leaves() -> None:
    curve = answered(1, excess=0.9)
    own = {
        (row["root_seed"], row["condition"]): [
            r for r in rows(excess=0.9) if (r["root_seed"], r["condition"]) == (row["root_seed"], row["condition"])
        ]
        for row in rows()
    }
    expected = []
    for seed, slope in (("1", 0.1), ("2", 0.2)):
        first, second = (
            np.array([float(r["excess"]) for r in own[seed, name]]) for name in ("sampled@400", "soft@400")
        )
        error = np.sqrt(((0.001 / first + 0.001 / second) ** 2).sum()) / 20
        expected.append(slope * (abs(np.log(first / second).mean()) + 2 * error))
    assert curve.answers[1].systematic == pytest.approx(np.mean(expected), rel=1e-12)


def test_ranks_are_over_all_doses_up_to_one() -> None:
    curve = answered(2)
    table = [[row for row in rows() if row["condition"] == name] for name in CAMPAIGN.conditions[:5]]
    assert [own[7]["condition"] for own in table[1:]] == ["soft@100", "sampled@100", "soft@400", "sampled@400"]
    columns = ([float(own[7][what]) for own in table] for what in ("trace", "accuracy", "excess"))
    assert curve.answers[0].values[7] == pytest.approx(spearman(*map(np.array, columns)), abs=1e-12)
    assert len({answer.values[7] for answer in curve.answers}) > 1


def test_what_misses_replicates_is_open() -> None:
    some = [row for row in rows() if row["root_seed"] == "1"]
    found = next(curves(CAMPAIGN, some))
    assert {answer.verdict for answer in found.answers} == {"open"}
    assert page.verdict(found) == "open: 20 of 40 replicates"
    assert not list(curves(CAMPAIGN, []))


def test_a_page_and_a_picture_of_all_answers(tmp_path: Path) -> None:
    found = list(curves(CAMPAIGN, rows()))
    text = page.markdown([(CAMPAIGN, found)])
    assert "`continued-training`: ≥ 2, δ = 2" in text
    assert "✓ +4." in text
    assert text.count("| hmm | 40 of 40 |") == 3
    assert page.SENTENCES.keys() <= CLAIMS.keys()
    assert "(flatness_mediates.md)): no campaign answers" in text
    path = tmp_path / "turns.svg"
    page_figure = figure.draw(found)
    page_figure.savefig(path)
    assert len(page_figure.axes) == 3
    with pytest.raises(PlotError, match="at least one question"):
        figure.draw([])


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ((0.03, 0.03, 0.03), "true at every dose"),
        ((-0.2, 0.03, 0.03), "true from τ = 2 on"),
        ((0.03, 0.001, 0.001), "false from τ = 2 on, though the effect is above 0 at every dose"),
        ((-0.2, 0.001, 0.001), "false at every dose, though the effect is above 0 from τ = 2 on"),
    ],
)
def test_from_which_dose_on_a_question_is_true_or_false(gains: tuple[float, ...], words: str) -> None:
    written = []
    for row in rows():
        labels, _, dose = row["condition"].partition("@")
        if labels == "sampled":
            noise = 1e-4 * int(row["member"]) / 20
            row["accuracy"] = str(0.6 + gains[(100, 400, 1000).index(int(dose))] + noise)
        elif labels == "polished":
            row["accuracy"] = "0.6"
        row["accuracy_slope"] = "0"
        written.append(row)
    assert page.verdict(next(curves(CAMPAIGN, written))) == words


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"claim": "no-such-claim"}, "the id of a claim"),
        ({"statistic": "mean"}, "statistic: expected"),
        ({"first": ("sampled", "soft")}, "one condition for a gain"),
        ({"statistic": "rank correlation"}, "two conditions or more"),
        ({"statistic": "rank correlation", "first": ("sampled", "soft"), "doses": (100,)}, "4 or more to rank"),
        ({"doses": (400, 100)}, "rising doses"),
        ({"doses": (100, 300)}, r"expected some of polished.* got 'sampled@300'"),
        ({"measure": "sharpness"}, "measure: expected one of trace"),
        ({"spread": "large"}, "spread: expected float"),
        ({"level": 0.1}, "level"),
    ],
)
def test_error_a_question_that_cannot_be_asked(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CampaignError, match=f"question 1: .*{message}"):
        questions(replace(CAMPAIGN, question=(TRACE, {**GAIN, **change})))


def test_error_other_campaigns_and_rows() -> None:
    varied = replace(CAMPAIGN, settings={}, vary={"members": (20, 30)})
    with pytest.raises(CampaignError, match="as many replicates everywhere"):
        questions(varied)
    with pytest.raises(TableError, match="column accuracy of condition sampled@100"):
        list(curves(CAMPAIGN, [row for row in rows() if row["condition"] != "sampled@100"]))


def test_error_a_campaign_with_a_bad_question_does_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = FILES[0].read_text(encoding="utf-8").replace('claim = "', 'claim = "no-', 1)
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    assert main(["campaign", str(tmp_path / "bad.toml"), "--store", str(tmp_path / "store")]) == 2
    assert "question 0: claim: expected the id of a claim" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
