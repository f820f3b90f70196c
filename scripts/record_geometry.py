"""Record the geometry of the optimization paths of one study: each run trained twice, see docs.

Writes what was measured at every step, its summary per epoch, and the gradients of further
minibatches where a run asks for them.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from topography.errors import TopographyError
from topography.jobs import command_line, orphans


def arguments() -> argparse.Namespace:
    from topography.jobs.common import add_device_arguments

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        nargs="*",
        default=[],
        help="datasets made by prepare_dataset.py, named <dataset>.safetensors",
    )
    parser.add_argument(
        "--runs",
        type=command_line.settings,
        required=True,
        help="JSON object: settings of each run, by name",
    )
    add_device_arguments(parser)
    parser.add_argument("--records", type=Path, required=True, help="output, safetensors")
    parser.add_argument("--summary", type=Path, required=True, help="output, CSV")
    parser.add_argument("--probes", type=Path, required=True, help="output, CSV")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    import pandas

    from topography.device import advice_when_out_of_memory
    from topography.jobs import common, recorded_runs
    from topography.ratios import summarise_epochs, with_ratios
    from topography.storage import write_table, write_tensors

    if not args.runs:
        raise TopographyError("--runs names no run; give at least one")
    device = common.set_up_device(args)
    data = {path.stem: path for path in args.data}
    tensors, notes, summaries, probes = {}, {}, [], []
    for name, settings in args.runs.items():
        with advice_when_out_of_memory(f"Lower `seeds` of the run {name}, or its network."):
            recording = recorded_runs.record_run(settings, data.get(settings["dataset"]), device)
        recorded_runs.describe(name, recording)
        tensors |= {f"{name}/{key}": values for key, values in recording.records.items()}
        notes[name] = _notes(settings, recording)
        ratios = with_ratios(recording.records)
        table = summarise_epochs(ratios, recording.seeds, recording.steps_per_epoch)
        summaries.append(table.assign(run=name))
        if len(recording.probes):
            probes.append(recording.probes.assign(run=name))
    orphans.refuse_orphan()
    write_tensors(args.records, tensors, {"runs": json.dumps(notes)})
    write_table(args.summary, pandas.concat(summaries, ignore_index=True))
    empty = pandas.DataFrame({"run": []}, dtype=object)
    write_table(args.probes, pandas.concat(probes, ignore_index=True) if probes else empty)


def _notes(settings: dict[str, Any], recording: Any) -> dict[str, Any]:
    """What a reader of the records has to know of a run."""
    return {
        "settings": settings,
        "seeds": recording.seeds,
        "references": recording.references,
        "steps_per_epoch": recording.steps_per_epoch,
        "losses": recording.losses.tolist(),
    }


if __name__ == "__main__":
    command_line.run(main)
