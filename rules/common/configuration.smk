# What all rules share: the checked configuration, and what happens when a run starts.

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from topography import datasets
from topography.analysis.sets import COMPARISONS
from topography.errors import TopographyError
from topography.jobs import orphans
from topography.naming import DEFAULT
from topography.report import provenance
from topography.storage import checksum_path
from topography.workflow import (
    configuration,
    configuration_checks,
    fingerprint,
    run_lock,
    signatures,
    start_panel,
)

# `python` in a command is the one that runs Snakemake, also without an activated environment; an
# environment of --sdm conda still comes first.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
)
# Jobs end with this process, which therefore starts them without a shell in between: `exec python`.
os.environ[orphans.SNAKEMAKE_PID] = str(os.getpid())


@contextmanager
def told_by_snakemake():
    """Turn an expected error into one that Snakemake tells without a traceback."""
    try:
        yield
    except TopographyError as error:
        raise WorkflowError(str(error)) from None


with told_by_snakemake():
    SCALE_FILE = configuration.scale_file(Path(), config.get("scale"))

if SCALE_FILE:

    configfile: str(SCALE_FILE)


def configuration_sources():
    """What the configuration was merged from, by name, the strongest first."""
    files = [str(file) for file in (SCALE_FILE, "config.yaml") if file]
    with told_by_snakemake():
        # Refuses keys that are there twice, which Snakemake's own loader lets pass.
        for file in workflow.config_settings.configfiles:
            configuration.load(Path(file))
        return [
            (
                "the command line, a profile or --configfile",
                workflow.config_settings.overwrite_config,
            ),
            *((file, configuration.load(Path(file))) for file in files),
        ]


LIBRARY = Path(workflow.basedir, "scripts", "topography")


def check_configuration(sources):
    """Stop here, with a message a user can act on, where the configuration cannot work."""
    with told_by_snakemake():
        schema = configuration.load(Path("config/schema.yaml"))
        configuration_checks.check(config, schema, sources, LIBRARY)


SOURCES = configuration_sources()
check_configuration(SOURCES)
# The last of the sources is config.yaml.
in_order = configuration.in_order_of(SOURCES[-1][1], config)
config.clear()
config.update(in_order, architectures=configuration.chosen_architectures(in_order))
# Scales share the datasets.
DATA = f"results/data/{config['dataset']}.safetensors"


def check_dataset():
    """Stop here as well where the folder of the scale holds the work on another dataset."""
    with told_by_snakemake():
        provenance.require_same_dataset(
            Path("results", config["scale"]), config["dataset"]
        )


def check_images(wanted, file):
    """Stop here where a dataset, if it is there, has fewer images than are asked for."""
    if Path(file).exists():
        with told_by_snakemake():
            configuration_checks.check_images(
                wanted, datasets.image_counts(file), Path(file), SOURCES
            )


if workflow.is_main_process:
    check_dataset()
    check_images(configuration_checks.wanted_images(config), DATA)


def show_panel(left_out):
    """Say on stderr, so that `snakemake --dag | dot` keeps working, what this run asks for."""
    panel = start_panel.summary(config, SOURCES, left_out)
    print(panel, file=sys.stderr, flush=True)


def describe_run():
    """Write down what this run is started with, for the figures it publishes."""
    seeds = ", ".join(
        configuration.described_seeds(config, architecture)
        for architecture in ARCHITECTURES
    )
    description = provenance.describe_run(Path(workflow.basedir), config, seeds)
    # By name: trainings under other settings may have left their logs too.
    description["trainings"] = all_training_jobs(ARCHITECTURES)
    provenance.write_json(Path(RUN_DESCRIPTION), description)


# Not in dry runs, which have no start, nor on the nodes of a cluster.
onstart:
    if workflow.is_main_process:
        with told_by_snakemake():
            run_lock.hold(run_lock.PLACE)
            describe_run()


# Paths in the rules: <results>/sets stands for results/smoke/sets, and so on.
pathvars:
    results=f"results/{config['scale']}",
    logs=f"results/{config['scale']}/logs",
    benchmarks=f"results/{config['scale']}/benchmarks",


wildcard_constraints:
    variant="|".join(configuration.variants(config)),
    architecture="|".join(config["architectures"]),
    optimizer="|".join(config["optimizers"]),
    set="|".join(configuration.set_names(config)),
    landscape="train|test",
    first=r"\d+",
    last=r"\d+",


CHECKPOINT_FOLDER = f"results/{config['scale']}/checkpoints"
# What the last run was started with; written by Snakemake itself when a run starts.
RUN_DESCRIPTION = f"results/{config['scale']}/{provenance.RUN}"
ARCHITECTURES = list(config["architectures"])
SETS = configuration.set_names(config)
# The architecture on which differences of paper and code are measured, and these differences.
VARIED = config["differences"]["architecture"]
VARIANTS = configuration.variants(config)
# One job at a time on a GPU; a CPU takes as many as there are cores. With `auto` a GPU is not counted.
GPUS = 1 if config["device"] == "cuda" else 0
# What tables name as not trained here.
IMPORTED = [
    f"{architecture}/{optimizer}"
    for architecture in ARCHITECTURES
    for optimizer in config["optimizers"]
    if optimizer in configuration.imported(config, architecture)
]
# Printed small in a corner of every figure.
STAMP = {name: config[name] for name in ("scale", "dataset")}
