"""The agreement report as one page that needs nothing else, and as Markdown."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined

from topography.naming import architecture_label
from topography.report import convergence
from topography.report.agreement import CUT, PAPER
from topography.report.claims import (
    AGREES,
    DIFFERS,
    FEWEST_OF_THE_SAME_RUNS,
    FEWEST_PROJECTED,
    FEWEST_RUNS,
    INCONCLUSIVE,
    NOT_COMPARABLE,
    RESAMPLES,
    UNBOUNDED,
    VERDICTS,
)
from topography.report.measures import NOTHING_RANDOM

# Number of the claim -> heading. Published numbers, claim 0, have a section per table or figure.
HEADINGS = {
    1: "L-BFGS reaches far lower train losses, with comparable test losses",
    2: "Test losses of L-BFGS rise sharply after their minimum, except the autoencoder's",
    3: "SGD solutions are separated by lower barriers, except the autoencoder's",
    4: "Overfit L-BFGS solutions have higher barriers for FCP and LSTM only",
    5: "L-BFGS solutions spread wider, around close centroids",
    6: "RBF kernel PCA separates the two optimizers, other kernels do not",
    7: "The height of a path hardly depends on the penalty",
}
CURVES = (
    "means over the runs. Bands are 95 % intervals by Student's t on the logarithm, which with few "
    "runs reach beyond all of them; dashed lines mark the median epoch of the minima. Table 1 "
    "averages the minima of the runs, which gives less than the minimum of the mean curve"
)
CENTROIDS = (
    "dotted lines mark how far both centroids are from the origin, the point midway between them. "
    "Chance alone makes that 1 / sqrt(2 n) of the mean length of test vectors, with n independent "
    "networks a side"
)
FIGURE_TEXTS = {
    "fig2": f"Loss curves of the LSTM, {CURVES}",
    "fig3": "Paths on the example in two dimensions, for three penalties",
    "fig4": "Histograms of path heights on the train landscape",
    "fig4_converged": "Mean path heights on the train landscape as the path search continues, with "
    "95 % intervals over resampled networks; a line ends where all its paths have settled, and no "
    "line can get below the mean loss of the higher end of its pairs",
    "fig5": f"Histograms of vector lengths, L-BFGS train against SGD test; {CENTROIDS}",
    "fig6": "Kernel PCA, L-BFGS train against SGD test",
    "figS1": f"Loss curves of the other networks, {CURVES}",
    "figS2": "Histograms of path heights on the test landscape",
    "figS3": f"Histograms of vector lengths, both test sets; {CENTROIDS}",
    "figS4": "Kernel PCA, both test sets",
}
MARKS = {AGREES: "✓", DIFFERS: "✗", INCONCLUSIVE: "?", NOT_COMPARABLE: "–"}
CLASSES = {AGREES: "agrees", DIFFERS: "differs", INCONCLUSIVE: "open", NOT_COMPARABLE: "none"}

# How to read the page: what a column or a word means.
READING = {
    "Expected": "the published number, with the range that counts as agreement in brackets. A "
    "claim without a number has a range alone: what we take the paper's words to mean. All ranges, "
    "and why, stand in config/claims.yaml. They were set before the published run, from the paper "
    "and from pilot runs; what was added or changed after it is marked there.",
    "Ours": "the measurement and its 95 % interval, from "
    f"{RESAMPLES} bootstrap resamples of the runs (percentiles, widened for few runs). "
    "Barriers resample runs too, not pairs, since pairs share runs. Where two sets are separated "
    "completely, so is every resample, and the interval has no width. The effect size of a "
    "Mann-Whitney test is the probability that one set exceeds the other; 0.5 is no tendency.",
    "Verdict": f"{AGREES} if the whole interval lies in the range, {DIFFERS} if all of it lies "
    f"outside, and {INCONCLUSIVE} otherwise. Too few runs give no interval, and are always "
    f"{INCONCLUSIVE}: fewer than {FEWEST_RUNS}, than {FEWEST_OF_THE_SAME_RUNS} where two sets hold "
    f"the same runs, or than {FEWEST_PROJECTED} in kernel PCA. "
    "Comparisons are not corrected for their number: of many that hold, one in forty may come out "
    "as a difference, and more of those with four runs.",
    "Fitted": "our settings, which the paper does not state, were chosen by this number. That it "
    "agrees is no evidence.",
}
CUT_READING = {
    "Settings cut": "these settings are not the paper's. Published numbers are then not "
    "comparable, and verdicts on claims without a number hold for these settings only: neither "
    "agreement nor difference says that the paper is right or wrong."
}

CONVERGED_HEADING = "Beyond the paper: converged paths"
CONVERGED_EXPLANATION = (
    "The paper stops its path search early, so its heights partly measure the search. Here the "
    "search continues, for some pairs of each set, until a doubling of the steps hardly lowers the "
    "barrier above the ends (the path has settled), almost no barrier is left, or the allowed "
    "steps are spent. Does SGD still have the lower barriers?"
)
CONVERGED_READING = {
    "At first, at last": "mean of L-BFGS less mean of SGD, above zero where SGD is lower; at "
    "first, with the steps and terms of Figure 4, and at last, by the lowest path found for each "
    "pair. Both are measured on the fine grid, and every height is an upper bound. Intervals "
    "resample runs, as for barriers.",
    "Ordering": "it vanishes if the whole interval at last lies within "
    f"{100 * convergence.NEGLIGIBLE_DIFFERENCE:g} % of the first difference, on whichever side of "
    "zero. Otherwise it survives if the interval stays on its side of zero, and reverses if it "
    "lies on the other. Everything else is inconclusive, as where there was no ordering at first.",
    "So far": "fewer than nine in ten paths of an optimizer have settled, so the others may still "
    "fall.",
}


def html(
    table: pd.DataFrame,
    figures: Mapping[str, Path],
    facts: Mapping[str, Any],
    orderings: pd.DataFrame,
) -> str:
    """The report as one HTML page, figures inside.

    Args:
        table: verdicts of `agreement.judge`.
        figures: name -> PNG file.
        facts: ``scale``, ``dataset``, and ``cuts``: architecture -> settings that are not the
            paper's.
        orderings: verdicts of `convergence.orderings`; without rows, as where two optimizers are
            not joined, the page has no section on converged paths.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "short": short,
        "interval": interval,
        "expected": expected,
        "accepted": accepted,
        "architecture": architecture_label,
        "with_interval": with_interval,
        "settings": settings_remark,
        "reason": reason,
    }
    sections = [
        {**section, "figures": [_figure(name, figures) for name in section["figures"]]}
        for section in _sections(table, figures)
    ]
    return environment.from_string(PAGE).render(
        **facts,
        sections=sections,
        tallies=tallies(table),
        marks=MARKS,
        classes=CLASSES,
        reading=_reading(table),
        converged=_converged(orderings, figures),
    )


def markdown(table: pd.DataFrame, facts: Mapping[str, Any], orderings: pd.DataFrame) -> str:
    """The report in Markdown, without figures; arguments as for `html`."""
    tally = "; ".join(tallies(table).values())
    lines = [
        "# Agreement with the paper",
        "",
        f"Scale {facts['scale']}, dataset {facts['dataset']}. {tally}.",
        "",
        *_definitions(_reading(table)),
        *_cuts(facts["cuts"]),
    ]
    for section in _sections(table, {}):
        lines += [
            "",
            f"## {section['heading']}",
            "",
            "| claim | network | expected | ours | verdict |",
        ]
        lines.append("|---|---|---|---|---|")
        lines += [
            f"| {row.statement} | {row.network} | {expected(row)} {accepted(row)} "
            f"| {short(row.ours)} {interval(row)}{'; ' * bool(row.beside)}{row.beside} "
            f"| {row.verdict}{_remark(row)} |"
            for row in section["rows"]
        ]
    if len(orderings):
        lines += ["", f"## {CONVERGED_HEADING}", "", CONVERGED_EXPLANATION, ""]
        lines += [f"- {sentence}" for sentence in convergence.sentences(orderings)]
        lines += ["", "| network | weights | measure | at first | at last | ordering |"]
        lines.append("|---|---|---|---|---|---|")
        lines += [
            f"| {architecture_label(row.architecture)} | {row.weights} "
            f"| {convergence.MEASURES[row.measure]} | {with_interval(row, 'first')} "
            f"| {with_interval(row, 'converged')} | {row.verdict} |"
            for row in orderings.itertuples()
        ]
        lines += ["", *_definitions(CONVERGED_READING)]
    return "\n".join([*lines, ""])


def _reading(table: pd.DataFrame) -> dict[str, str]:
    """How to read a page with these verdicts."""
    return READING | (CUT_READING if (table["settings"] == CUT).any() else {})


def _cuts(cuts: Mapping[str, list[str]]) -> list[str]:
    """The settings that are not the paper's, as a list in Markdown."""
    if not cuts:
        return []
    listed = [f"- {architecture}: {'; '.join(texts)}" for architecture, texts in cuts.items()]
    return ["", "Settings that are not the paper's:", "", *listed]


def _definitions(texts: Mapping[str, str]) -> list[str]:
    """Terms and what they mean, as a list in Markdown."""
    return [f"- **{term}**: {text}" for term, text in texts.items()]


def tallies(table: pd.DataFrame) -> dict[str, str]:
    """How often each verdict was given, such as "agrees: 46 (14 fitted)", by verdict."""
    texts = {}
    for verdict in VERDICTS:
        chosen = table[table["verdict"] == verdict]
        fitted = int(chosen["fitted"].sum())
        texts[verdict] = f"{verdict}: {len(chosen)}" + (f" ({fitted} fitted)" if fitted else "")
    return texts


def _remark(row: Any) -> str:
    """What qualifies the verdict of a row, in brackets."""
    parts = ["fitted"] if row.fitted else []
    parts += filter(None, [settings_remark(row), reason(row)])
    return f" ({', '.join(parts)})" if parts else ""


def settings_remark(row: Any) -> str:
    """Whose settings the verdict of a row is about, where they are not the paper's."""
    return {PAPER: "", CUT: "settings cut"}.get(row.settings, row.settings)


def reason(row: Any) -> str:
    """Why a row has no verdict, unless its settings are the reason: the page lists those."""
    return "" if row.settings == CUT and row.verdict == NOT_COMPARABLE else row.note


def short(value: float, digits: int = 4) -> str:
    """A number in nine characters at most, to fit into a column on a phone; a dash for no value."""
    if np.isnan(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 10**digits:
        return f"{value:.{digits}g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def expected(row: Any) -> str:
    """The published number of a row, or the range of a claim without one."""
    low, high = row.lowest_allowed, row.highest_allowed
    if not np.isnan(row.published):
        return short(row.published)
    return f"at least {short(low)}" if high >= UNBOUNDED else f"{short(low)} to {short(high)}"


def accepted(row: Any) -> str:
    """What counts as the published number of a row, empty where there is none."""
    if np.isnan(row.published):
        return ""
    return f"({short(row.lowest_allowed, 5)} to {short(row.highest_allowed, 5)})"


def interval(row: Any) -> str:
    """Interval of a row in brackets, empty where there is none or nothing is random."""
    if np.isnan(row.interval_low) or row.method == NOTHING_RANDOM:
        return ""
    return _brackets(row.interval_low, row.interval_high)


def with_interval(row: Any, name: str) -> str:
    """A quantity of a row of `convergence.orderings` with its interval."""
    low, high = getattr(row, f"{name}_low"), getattr(row, f"{name}_high")
    ends = "" if np.isnan(low) else f" {_brackets(low, high)}"
    return f"{short(getattr(row, name), 3)}{ends}"


def _brackets(low: float, high: float) -> str:
    return f"[{short(low, 3)}, {short(high, 3)}]"


def _converged(orderings: pd.DataFrame, figures: Mapping[str, Path]) -> dict[str, Any]:
    """What the page shows on converged paths, nothing without rows."""
    if orderings.empty:
        return {}
    return {
        "heading": CONVERGED_HEADING,
        "explanation": CONVERGED_EXPLANATION,
        "reading": CONVERGED_READING,
        "sentences": convergence.sentences(orderings),
        "measures": convergence.MEASURES,
        "rows": list(orderings.itertuples()),
        "figures": [_figure(name, figures) for name in ("fig4_converged",) if name in figures],
    }


def _sections(table: pd.DataFrame, figures: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Tables of the paper, then its claims: heading, rows, and the figures not shown before."""
    shown: set[str] = set()
    sections = []
    for claim in sorted(table["claim"].unique(), key=lambda number: (number > 0, number)):
        chosen = table[table["claim"] == claim]
        parts = (
            [(f"Claim {claim}: {HEADINGS.get(claim, '')}", chosen)]
            if claim
            else [
                (f"{place}: numbers", part) for place, part in chosen.groupby("where", sort=False)
            ]
        )
        for heading, part in parts:
            names = [name for name in dict.fromkeys(part["figure"]) if name in figures]
            if not claim:  # the figures stand beside the claims they support
                names = [name for name in names if heading.startswith("Fig")]
            sections.append(
                {
                    "heading": heading,
                    "rows": list(part.itertuples()),
                    "figures": [name for name in names if name not in shown],
                    "mentions": [name for name in names if name in shown],
                }
            )
            shown |= set(names)
    return sections


def _figure(name: str, figures: Mapping[str, Path]) -> dict[str, str]:
    content = base64.b64encode(figures[name].read_bytes()).decode("ascii")
    label = f"Figure {name.removeprefix('fig').replace('_', ' ')}"
    text = f"{label}, ours. {FIGURE_TEXTS.get(name, '')}."
    return {"name": name, "text": text, "source": f"data:image/png;base64,{content}"}


PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Agreement with the paper, scale {{ scale }}</title>
<link rel="icon" href="data:,">
<style>
:root {
  color-scheme: light dark;
  --ink: #1d2125; --faint: #5b636b; --page: #ffffff; --line: #d5dade; --head: #f1f3f5;
  --agrees: #0b6b3a; --differs: #a3261b; --open: #7a5200; --none: #4c545c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e6e9ec; --faint: #a3acb5; --page: #14171a; --line: #353c43; --head: #20252a;
    --agrees: #6fd39b; --differs: #ff9d92; --open: #edc267; --none: #b4bcc4;
  }
}
body { margin: 0 auto; max-width: 62rem; padding: 1rem; background: var(--page);
  color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; }
h2 { font-size: 1.15rem; line-height: 1.3; margin: 2.5rem 0 .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1rem; font-size: .9rem; }
dt { font-weight: 600; } dd { margin: 0; }
.tally { display: flex; flex-wrap: wrap; gap: .5rem; padding: 0; list-style: none; }
.tally li { border: 1px solid var(--line); border-radius: .4rem; padding: .2rem .7rem; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; line-height: 1.35; }
caption { text-align: left; color: var(--faint); padding-bottom: .3rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .45rem;
  border-bottom: 1px solid var(--line); font-weight: normal; }
thead th { background: var(--head); }
thead button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0;
  padding: 0; cursor: pointer; text-align: left; }
th[aria-sort="ascending"] button::after { content: " ▲"; }
th[aria-sort="descending"] button::after { content: " ▼"; }
small, details { color: var(--faint); display: block; font-size: .9em; }
.agrees { color: var(--agrees); } .differs { color: var(--differs); }
.open { color: var(--open); } .none { color: var(--none); }
td.verdict { font-weight: 600; }
.network, .number, .verdict { overflow-wrap: normal; }
figure { margin: 1rem 0; }
figure img { display: block; width: 100%; max-width: 46rem; height: auto; background: #ffffff; }
figcaption { color: var(--faint); font-size: .9rem; }
.narrow { display: none; }
@media (max-width: 40rem) {
  body { padding: .7rem; }
  /* What fits at 390 pixels, the width of many phones, fits on narrower ones. */
  table { font-size: min(.7rem, 2.87vw); table-layout: fixed; }
  th, td { padding: .3rem .2rem; }
  .method { display: none; }
  .narrow { display: block; }
  dl { display: block; } dd { margin-bottom: .5rem; }
  .what { width: 20%; } .network { width: 21%; } .number { width: 17%; } .verdict { width: 25%; }
}
</style>
</head>
{% macro definitions(texts) %}
<dl>
{% for term, text in texts.items() %}
<dt>{{ term }}</dt><dd>{{ text }}</dd>
{% endfor %}
</dl>
{% endmacro %}
<body>
<main>
<h1>Agreement with the paper</h1>
<p>Results of this workflow at scale <strong>{{ scale }}</strong>, dataset {{ dataset }}, held
against Yu &amp; Morozov, <cite>Neural network optimization strategies and the topography of the
loss landscape</cite>, arXiv 2602.21276.</p>
<ul class="tally" aria-label="How often each verdict was given">
{% for verdict, text in tallies.items() %}
<li class="{{ classes[verdict] }}">{{ marks[verdict] }} {{ text }}</li>
{% endfor %}
</ul>
{{ definitions(reading) }}
{% if cuts %}
<details>
<summary>Settings that are not the paper's</summary>
<ul>
{% for architecture, texts in cuts.items() %}
<li>{{ architecture }}: {{ texts | join("; ") }}</li>
{% endfor %}
</ul>
</details>
{% endif %}
{% macro tested(row) %}
{{ row.runs }} run{{ "" if row.runs == 1 else "s" }};
{{- " " ~ row.method }}{% if row.p_value == row.p_value %}, p = {{ row.p_value | short }}{% endif %}
{% endmacro %}
{% for section in sections %}
<section>
<h2>{{ section.heading }}</h2>
{% for figure in section.figures %}
<figure><img src="{{ figure.source }}" alt="{{ figure.text }}" id="{{ figure.name }}">
<figcaption>{{ figure.text }}</figcaption></figure>
{% endfor %}
{% for name in section.mentions %}
<p>See also <a href="#{{ name }}">Figure {{ name[3:] }}</a>.</p>
{% endfor %}
<table>
<caption>Select a heading to sort by it.</caption>
<thead><tr>
{% for name, class in [("Claim", "what"), ("Network", "network"), ("Expected", "number"),
 ("Ours", "number"),
 ("Test", "method"), ("Verdict", "verdict")] %}
<th scope="col" class="{{ class }}"><button type="button">{{ name }}</button></th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in section.rows %}
<tr>
<th scope="row" class="what">{{ row.statement }}
<details><summary>{{ row.where }}</summary>{{ row.why }}
<span class="narrow">Test: {{ tested(row) }}.</span></details></th>
<td class="network">{{ row.network }}</td>
<td class="number"
 data-value="{{ row.published if row.published == row.published else row.lowest_allowed }}">
{{ row | expected }}
<small>{{ row | accepted }}</small></td>
<td class="number" data-value="{{ row.ours }}">{{ row.ours | short }}
<small>{{ row | interval }}</small>
<small>{{ row.beside }}</small></td>
<td class="method" data-value="{{ row.runs }}">{{ tested(row) }}</td>
<td class="verdict {{ classes[row.verdict] }}" data-value="{{ row.verdict }}">
{{ marks[row.verdict] }} {{ row.verdict }}
<small>{% if row.fitted %}fitted{% endif %}</small>
<small>{{ row | settings }}</small>
<small>{{ row | reason }}</small></td>
</tr>
{% endfor %}
</tbody>
</table>
</section>
{% endfor %}
{% if converged %}
<section>
<h2>{{ converged.heading }}</h2>
<p>{{ converged.explanation }}</p>
<ul>
{% for sentence in converged.sentences %}
<li>{{ sentence }}</li>
{% endfor %}
</ul>
{% for figure in converged.figures %}
<figure><img src="{{ figure.source }}" alt="{{ figure.text }}" id="{{ figure.name }}">
<figcaption>{{ figure.text }}</figcaption></figure>
{% endfor %}
<table>
<caption>Select a heading to sort by it.</caption>
<thead><tr>
{% for name, class in [("Measure", "what"), ("Network", "network"), ("At first", "number"),
 ("At last", "number"), ("Probability that SGD is lower, at last", "method"),
 ("Ordering", "verdict")] %}
<th scope="col" class="{{ class }}"><button type="button">{{ name }}</button></th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in converged.rows %}
<tr>
<th scope="row" class="what">{{ converged.measures[row.measure] }}, {{ row.weights }} weights</th>
<td class="network">{{ row.architecture | architecture }}</td>
<td class="number" data-value="{{ row.first }}">{{ row | with_interval("first") }}</td>
<td class="number" data-value="{{ row.converged }}">{{ row | with_interval("converged") }}</td>
<td class="method" data-value="{{ row.converged_probability }}">
{{ row | with_interval("converged_probability") }}
<small>at first {{ row | with_interval("first_probability") }}; {{ row.pairs }} pairs of
{{ row.runs }} runs</small></td>
<td class="verdict" data-value="{{ row.verdict }}">{{ row.verdict }}</td>
</tr>
{% endfor %}
</tbody>
</table>
{{ definitions(converged.reading) }}
</section>
{% endif %}
</main>
<script>
"use strict";
const value = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.value ?? cell.textContent.trim();
};
const compare = (first, second) => {
  const [a, b] = [Number(first), Number(second)];
  if (Number.isNaN(a) || Number.isNaN(b)) return first.localeCompare(second);
  return a - b;
};
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const body = head.closest("table").tBodies[0];
    const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
    const rows = [...body.rows].sort((first, second) =>
      direction * compare(value(first, head.cellIndex), value(second, head.cellIndex)));
    body.append(...rows);
  });
}
</script>
</body>
</html>
"""
