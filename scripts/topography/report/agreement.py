"""The results of one scale held against the numbers and claims of the paper."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from topography.naming import architecture_label
from topography.report import claims
from topography.report.measures import MEASURES, Measurement, NotMeasured, Results

Settings = Mapping[str, Any]

REQUIRED = ("id", "where", "statement", "measure", "of", "needs", "why")
OPTIONAL = ("claim", "published", "tolerance", "range", "architectures", "figure", "fitted")
PAPER, CUT, ELSEWHERE, NOT_RUN = "the paper's", "cut", "weights from elsewhere", "not run"


def judge(
    content: Mapping[str, Any], results: Results, settings: Mapping[str, Settings]
) -> pd.DataFrame:
    """One row per claim and architecture: what the paper says, what was measured, the verdict.

    A published number is compared only under the settings that the claim needs; at any others the
    verdict is "not comparable", whatever was measured. A claim without a number is judged at every
    scale on the paper's images, and the column ``settings`` says if settings were cut.

    Args:
        content: the file of claims.
        results: what was measured.
        settings: architecture -> the settings in force, with ``weights`` naming the optimizers
            whose networks come from elsewhere.

    Raises:
        ClaimError: a claim names an unknown measure or group of settings, or has neither range nor
            published number.
    """
    rows = []
    for claim in content["claims"]:
        _require_known(claim, content["settings"])
        for architecture, published in _targets(claim):
            rows.append(_judged(claim, architecture, published, results, settings, content))
    return pd.DataFrame(rows)


def departures(expected: Settings, actual: Settings, prefix: str = "") -> list[str]:
    """What is set otherwise than expected, such as "training.seeds is 8, not 75".

    A setting that is not there, as the activation of the LSTM, departs from nothing.
    """
    found = []
    for key, value in expected.items():
        if key not in actual:
            continue
        if isinstance(value, Mapping) and isinstance(actual[key], Mapping):
            found += departures(value, actual[key], f"{prefix}{key}.")
        elif actual[key] != value:
            found.append(f"{prefix}{key} is {_plain(actual[key])}, not {_plain(value)}")
    return found


def all_departures(
    content: Mapping[str, Any], settings: Mapping[str, Settings]
) -> dict[str, list[str]]:
    """Every setting that is not the one the published numbers need, by architecture's name."""
    found = {
        architecture_label(architecture): [
            text for group in content["settings"].values() for text in departures(group, actual)
        ]
        for architecture, actual in settings.items()
    }
    return {name: texts for name, texts in found.items() if texts}


def _plain(value: object) -> str:
    return "null" if value is None else str(value)  # as the configuration has it


def _require_known(claim: Mapping[str, Any], groups: Mapping[str, Any]) -> None:
    problem = None
    if claim["measure"] not in MEASURES:
        problem = f"the measure {claim['measure']!r}; there are {', '.join(MEASURES)}"
    elif set(claim["needs"]) - set(groups):
        problem = f"the settings {claim['needs']}; there are {', '.join(groups)}"
    elif ("range" in claim) == ("published" in claim):
        problem = "both or neither of range and published"
    elif ("published" in claim) != ("tolerance" in claim):
        problem = "only one of published and tolerance"
    if problem:
        raise claims.ClaimError(f"Claim {claim['id']} has {problem}. Correct config/claims.yaml.")


def _targets(claim: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """The architectures of a claim ("" for none) with the published number, if there is one."""
    published = claim.get("published")
    if isinstance(published, Mapping):
        yield from published.items()
    else:
        for architecture in claim.get("architectures", [""]):
            yield architecture, published


def _band(claim: Mapping[str, Any], published: float) -> tuple[float, float]:
    """What counts as the published number of a claim."""
    try:
        return claims.band(published, claim["tolerance"])
    except claims.ClaimError as error:
        raise claims.ClaimError(f"Claim {claim['id']}: {error}") from None


def _judged(
    claim: Mapping[str, Any],
    architecture: str,
    published: float | None,
    results: Results,
    settings: Mapping[str, Settings],
    content: Mapping[str, Any],
) -> dict[str, Any]:
    allowed = tuple(map(float, claim["range"])) if published is None else _band(claim, published)
    measured, interval = Measurement(np.array([np.nan]), 0, "none"), (np.nan, np.nan)
    if architecture and architecture not in settings:
        status, obstacles = NOT_RUN, []
        verdict, note = claims.NOT_COMPARABLE, f"{architecture} is not in the configuration"
    else:
        status, obstacles = _comparability(claim, architecture, settings, content["settings"])
        try:
            measured = MEASURES[claim["measure"]](results, architecture, claim["of"])
            interval, note = measured.interval()
            verdict = claims.verdict(*interval, allowed)
        except NotMeasured as reason:
            verdict, note = claims.NOT_COMPARABLE, str(reason)
    other_dataset = any(text.startswith("dataset ") for text in obstacles)
    if obstacles and (published is not None or other_dataset):
        verdict, note = claims.NOT_COMPARABLE, "; ".join(obstacles)
    return {
        "id": claim["id"],
        "claim": int(claim.get("claim", 0)),
        "where": claim["where"],
        "statement": claim["statement"],
        "network": architecture_label(architecture) or "-",
        "published": np.nan if published is None else float(published),
        "lowest_allowed": allowed[0],
        "highest_allowed": allowed[1],
        "ours": float(measured.values[0]),
        "interval_low": interval[0],
        "interval_high": interval[1],
        "runs": measured.runs,
        "method": measured.method,
        "p_value": measured.p_value,
        "beside": measured.beside,
        "fitted": bool(claim.get("fitted", False)),
        "settings": status,
        "verdict": verdict,
        "note": note,
        "figure": claim.get("figure") or "-",
        "why": claim["why"],
    }


def _comparability(
    claim: Mapping[str, Any],
    architecture: str,
    settings: Mapping[str, Settings],
    groups: Mapping[str, Settings],
) -> tuple[str, list[str]]:
    """Whose settings a result has, and every setting that keeps it from the paper's numbers.

    Settings of an optimizer count where the claim is about it. How weights from elsewhere were
    trained is not ours to say.
    """
    actual = settings.get(architecture) or next(iter(settings.values()))
    found = [text for name in claim["needs"] for text in departures(groups[name], actual)]
    if "training" not in claim["needs"]:
        return (CUT if found else PAPER), found
    concerned = {name for name in actual.get("optimizers", ()) if name in str(claim["of"])}
    given = concerned & set(actual.get("weights", ()))
    needless = [
        f"optimizers.{name}."
        for name in actual.get("optimizers", ())
        if name in given or name not in concerned
    ]
    found = [text for text in found if not text.startswith(tuple(needless))]
    return (ELSEWHERE if given else CUT if found else PAPER), found
