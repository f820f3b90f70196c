"""Hold the claims about optimization paths against the records: a table of verdicts."""

import argparse
from pathlib import Path

from topography import storage
from topography.analysis import optimization_paths
from topography.jobs import command_line
from topography.report import geometry_claims
from topography.report.claims import read_claims


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--records",
        type=Path,
        nargs="+",
        required=True,
        help="records {study}.safetensors of all studies",
    )
    parser.add_argument(
        "--probes", type=Path, required=True, help="CSV: probes of the study controls"
    )
    parser.add_argument("--claims", type=Path, required=True, help="YAML: the claims")
    parser.add_argument("--scale", required=True, help="name of the scale")
    parser.add_argument("--csv", type=Path, required=True, help="output")
    parser.add_argument("--markdown", type=Path, required=True, help="output")
    return parser.parse_args()


def main() -> None:
    """Judge and write the tables."""
    arguments = parse_arguments()
    claims = read_claims(arguments.claims, geometry_claims.CLAIM_KEYS, optional=())["claims"]
    runs = optimization_paths.read_runs(arguments.records)
    probes = storage.read_table(arguments.probes)
    table = geometry_claims.judge(claims, runs, probes)
    storage.write_table(arguments.csv, table)
    datasets = optimization_paths.datasets(runs.values())
    text = geometry_claims.markdown(table, arguments.scale, datasets)
    storage.write_text(arguments.markdown, text)


if __name__ == "__main__":
    command_line.run(main)
