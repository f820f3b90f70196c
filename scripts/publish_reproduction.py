"""Put a set of results into a folder that can be published and verified."""

import argparse
import shutil
from pathlib import Path

from topography import storage
from topography.jobs import command_line
from topography.report import provenance, reproduction


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    lists = {
        "--figures": "figures to publish, all suffixes, with the JSON files that describe them",
        "--tables": "tables to publish",
        "--agreement": "the agreement report: .html, .csv and .md",
        "--searches": "tables of path searches, below barriers/ and converged/ of the scale",
        "--benchmarks": "times of all trainings and path searches, of which some may be missing",
    }
    for name, text in lists.items():
        parser.add_argument(name, type=Path, nargs="+", required=True, help=text)
    parser.add_argument(
        "--histories",
        type=Path,
        nargs="*",
        required=True,
        help="loss curves of all trainings, if any, by which their other files are found",
    )
    parser.add_argument(
        "--settings",
        type=command_line.settings,
        required=True,
        help="JSON object: the complete configuration",
    )
    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        help="JSON file about the run, in the folder of its scale: results/<scale>/provenance.json",
    )
    parser.add_argument(
        "--target", type=Path, required=True, help="folder to make, or a published set to replace"
    )
    return parser.parse_args()


def main() -> None:
    """Publish the set."""
    arguments = parse_arguments()
    config = arguments.settings
    agreement = next(file for file in arguments.agreement if file.suffix == ".csv")
    results = arguments.run.parent
    benchmarks = [file for file in arguments.benchmarks if file.exists()]
    times = reproduction.times(results, benchmarks)
    trainings = reproduction.trainings(results, arguments.histories)
    searches = reproduction.searches(results, arguments.searches, benchmarks)
    networks = reproduction.can_be_published(trainings)
    run = {**provenance.read_json(arguments.run), **_origin(arguments.figures)}
    with reproduction.replaced(arguments.target, config["scale"]) as folder:
        for name, files in (
            ("figures", arguments.figures),
            ("tables", arguments.tables),
            (".", arguments.agreement),
        ):
            (folder / name).mkdir(exist_ok=True)
            for file in files:
                shutil.copyfile(file, folder / name / file.name)
        if networks:
            reproduction.copy_computed(results, trainings, folder / reproduction.TRAININGS)
        reproduction.copy_computed(results, searches, folder / reproduction.SEARCHES)
        text = reproduction.published_configuration(config)
        storage.write_text(folder / reproduction.CONFIGURATION, text)
        storage.write_table(folder / reproduction.ENVIRONMENT, reproduction.environment())
        storage.write_table(folder / reproduction.TIMES, times)
        page = reproduction.readme(
            run, storage.read_table(agreement), times, arguments.target, networks
        )
        storage.write_text(folder / reproduction.README, page)
        reproduction.refuse_paths(folder, reproduction.local_paths(config))
        storage.write_table(folder / provenance.MANIFEST, provenance.manifest(folder))


def _origin(figures: list[Path]) -> dict[str, str]:
    """Device and date of the newest figure."""
    described = [provenance.read_json(file) for file in figures if file.suffix == ".json"]
    newest = max(described, key=lambda description: description["date"])
    return {"device": newest["device"], "date": newest["date"]}


if __name__ == "__main__":
    command_line.run(main)
