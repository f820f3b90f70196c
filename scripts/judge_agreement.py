"""Hold results against the numbers and claims of the paper: verdicts, and the report on them."""

import argparse
from pathlib import Path

from topography import storage
from topography.jobs import command_line
from topography.report import agreement, agreement_page, claims, measures


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=Path, required=True, help="YAML: claims of the paper")
    lists = {
        "--selections": "selection files {architecture}/{optimizer}.csv",
        "--histories": "loss curves {architecture}/{optimizer}/seeds_{first}-{last}.history.csv",
        "--sets": "sets of weights {architecture}/{set}.safetensors",
        "--lengths": "vector lengths {architecture}.csv",
        "--projections": "kernel PCA {architecture}.csv",
        "--barriers": "barrier tables {landscape}/{architecture}/{set}.csv",
        "--figures": "figures to show, {figure}.png",
    }
    for name, text in lists.items():
        parser.add_argument(name, type=Path, nargs="*", default=[], help=text)
    parser.add_argument(
        "--paths-2d", type=Path, required=True, help="paths in two dimensions, fig3.csv"
    )
    parser.add_argument(
        "--orderings",
        type=Path,
        required=True,
        help="converged paths, made by judge_convergence.py",
    )
    parser.add_argument(
        "--settings",
        type=command_line.settings,
        required=True,
        help="JSON object: architecture -> settings in force",
    )
    parser.add_argument("--scale", required=True, help="name of the scale")
    parser.add_argument("--dataset", required=True, help="name of the dataset")
    parser.add_argument("--csv", type=Path, required=True, help="CSV to write: all verdicts")
    parser.add_argument("--markdown", type=Path, required=True, help="Markdown to write")
    parser.add_argument("--html", type=Path, required=True, help="page to write")
    return parser.parse_args()


def main() -> None:
    """Judge and write the three files."""
    arguments = parse_arguments()
    content = claims.read_claims(arguments.claims, agreement.REQUIRED, agreement.OPTIONAL)
    results = measures.read_results(
        arguments.selections,
        arguments.histories,
        arguments.sets,
        arguments.lengths,
        arguments.projections,
        arguments.barriers,
        arguments.paths_2d,
    )
    table = agreement.judge(content, results, arguments.settings)
    facts = {
        "scale": arguments.scale,
        "dataset": arguments.dataset,
        "cuts": agreement.all_departures(content, arguments.settings),
    }
    figures = {file.stem: file for file in arguments.figures}
    orderings = storage.read_table(arguments.orderings)
    storage.write_table(arguments.csv, table)
    storage.write_text(arguments.markdown, agreement_page.markdown(table, facts, orderings))
    storage.write_text(arguments.html, agreement_page.html(table, figures, facts, orderings))


if __name__ == "__main__":
    command_line.run(main)
