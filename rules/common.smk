# What all rules share: the checked configuration, and the functions that name their files.

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path

from snakemake.common.configfile import load_configfile

sys.path.insert(0, str(Path(workflow.basedir, "scripts")))

from topography import (
    configuration,
    configuration_checks,
    datasets,
    fingerprint,
    orphans,
    provenance,
    run_lock,
    signatures,
    start_panel,
)
from topography.errors import TopographyError
from topography.naming import DEFAULT
from topography.sets import COMPARISONS
from topography.storage import checksum_path

# `python` in a command is the one that runs Snakemake, also without an activated environment; an
# environment of --sdm conda still comes first.
os.environ.update(
    PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
)
# Jobs end with this process, which therefore starts them without a shell in between: `exec python`.
os.environ[orphans.SNAKEMAKE_PID] = str(os.getpid())


def scale_file():
    """The file of the scale in force, or none for the one that config.yaml holds itself."""
    scale = config["scale"]
    if scale == "laptop":
        return None
    path = f"config/{scale}.yaml"
    known = sorted(
        {"laptop", *(file.stem for file in Path("config").glob("*.yaml"))}
        - {"schema", "claims", "geometry_claims"}
    )
    if scale not in known:
        raise WorkflowError(
            f"There is no scale {scale!r}: {path} does not exist. Choose one of "
            f"{', '.join(known)} with --config scale=..., or write that file."
        )
    return path


if scale_file():

    configfile: scale_file()


@contextmanager
def told_by_snakemake():
    """Turn an expected error into one that Snakemake tells without a traceback."""
    try:
        yield
    except TopographyError as error:
        raise WorkflowError(str(error)) from None


def configuration_sources():
    """What the configuration was merged from, by name, the strongest first."""
    files = list(filter(None, [scale_file(), "config.yaml"]))
    return [
        (
            "the command line, a profile or --configfile",
            workflow.config_settings.overwrite_config,
        ),
        *((file, load_configfile(file)) for file in files),
    ]


LIBRARY = Path(workflow.basedir, "scripts", "topography")


def check_configuration(sources):
    """Stop here, with a message a user can act on, where the configuration cannot work."""
    schema = load_configfile("config/schema.yaml")
    with told_by_snakemake():
        configuration_checks.check(config, schema, sources, LIBRARY)


SOURCES = configuration_sources()
check_configuration(SOURCES)
# In the order of config.yaml, the last of the sources.
config["architectures"] = configuration.chosen_architectures(
    config, SOURCES[-1][1]["architectures"]
)
# Scales share the datasets.
DATA = f"results/data/{config['dataset']}.safetensors"


def check_dataset():
    """Stop here as well where the folder of the scale holds the work on another dataset, or where the
    dataset has fewer images than are asked for."""
    with told_by_snakemake():
        provenance.require_same_dataset(
            Path("results", config["scale"]), config["dataset"]
        )
        if Path(DATA).exists():
            available = datasets.image_counts(DATA)
            configuration_checks.check_images(config, available, Path(DATA), SOURCES)


if workflow.is_main_process:
    check_dataset()


def show_panel(left_out):
    """Say on stderr, so that `snakemake --dag | dot` keeps working, what this run asks for."""
    panel = start_panel.summary(config, SOURCES, left_out)
    print(panel, file=sys.stderr, flush=True)


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


CHECKPOINTS = f"results/{config['scale']}/checkpoints"
# What the last run was started with; written by Snakemake itself when a run starts.
RUN_DESCRIPTION = f"results/{config['scale']}/{provenance.RUN}"
ARCHITECTURES = list(config["architectures"])
SETS = configuration.set_names(config)
# The architecture on which differences of paper and code are measured, and these differences.
VARIED = config["differences"]["architecture"]
VARIANTS = configuration.variants(config)
# One job at a time on a GPU; a CPU takes as many as there are cores. With `auto` a GPU is not counted.
GPUS = 1 if config["device"] == "cuda" else 0
# Printed small in a corner of every figure.
STAMP = {name: config[name] for name in ("scale", "dataset")}


def code_id(script, *modules):
    """Parameter of a rule that changes when the code that the rule runs changes.

    modules: those that the script finds by name when it runs; wildcards are filled in.
    """

    def evaluate(wildcards):
        names = [f"topography.{name.format(**wildcards)}" for name in modules]
        with told_by_snakemake():
            return fingerprint.code_id(
                Path(workflow.basedir, "scripts"), script, *names
            )

    return evaluate


# Snakemake compares the values of a rule's parameters without their names: two that swap values
# would go unnoticed. So a rule takes at most one bare number; the others travel inside a section,
# where each has its name.


def in_force(wildcards):
    """The configuration of a job: with the change of its variant, if it has one."""
    return configuration.with_variant(config, wildcards.get("variant"))


def setting(*key):
    """Parameter of a rule: the part of the configuration that applies to its architecture."""

    def evaluate(wildcards):
        value = configuration.for_architecture(
            in_force(wildcards), wildcards.architecture
        )
        for name in key:
            value = value[name.format(**wildcards)]
        return value

    return evaluate


def setting_json(*key, without=()):
    """As `setting`, for a section that goes to the script in one argument."""

    def evaluate(wildcards):
        section = setting(*key)(wildcards)
        kept = {name: value for name, value in section.items() if name not in without}
        return json.dumps(kept, sort_keys=True)

    return evaluate


def architecture_json(wildcards):
    """Parameter of a rule: the settings of the architecture itself."""
    own = configuration.architecture_settings(
        in_force(wildcards), wildcards.architecture
    )
    return json.dumps(own, sort_keys=True)


def own_files(wildcards):
    """Input of a rule: the files that a dataset is made of, where no checksum fixes what is in them."""
    if not signatures.reads_own_files(LIBRARY, wildcards.dataset):
        return []
    source = Path(config["data_source"])
    candidates = source.iterdir() if source.is_dir() else [source]
    files = sorted(str(file) for file in candidates if file.is_file())
    if not files:
        raise WorkflowError(
            f"The dataset {wildcards.dataset} is made of files of your own, and there is none at "
            f"{source}. Name the file, or the folder that holds them, with "
            "--config data_source=<path>."
        )
    return files


def training_files(suffix):
    """Input of a rule: one file of every training job of its architecture and optimizer.

    For weights from elsewhere, the file that stands in for them.
    """

    def evaluate(wildcards):
        if wildcards.optimizer in configuration.imported(
            config, wildcards.architecture
        ):
            return expand(
                "<results>/imported/{architecture}/{optimizer}.{suffix}",
                suffix=suffix,
                **wildcards,
            )
        return expand(
            "<results>/training/{architecture}/{optimizer}/seeds_{seeds}.{suffix}",
            seeds=configuration.seed_batches(config, wildcards.architecture),
            suffix=suffix,
            **wildcards,
        )

    return evaluate


def imported_file(checkpoint):
    """Input of a rule: the file of weights from elsewhere at a checkpoint."""

    def evaluate(wildcards):
        files = configuration.imported(config, wildcards.architecture)
        if wildcards.optimizer not in files:
            raise WorkflowError(
                f"There are no weights from elsewhere for {wildcards.architecture} and "
                f"{wildcards.optimizer}. Name their files under weights in the configuration."
            )
        file = files[wildcards.optimizer][checkpoint]
        # Snakemake would content itself with what another file has left.
        if not Path(file).is_file():
            raise WorkflowError(
                f"weights.{wildcards.architecture}.{wildcards.optimizer}.{checkpoint} names "
                f"{file}, and there is no such file. Give a path from here, {Path.cwd()}, or one "
                "that starts with /; ~ has no meaning here."
            )
        return file

    return evaluate


def path_files(wildcards):
    """Input of a rule: the files of every path-finding job of its landscape, architecture, set."""
    return expand(
        "<results>/paths/{landscape}/{architecture}/{set}/pairs_{pairs}.safetensors",
        pairs=configuration.pair_batches(config, wildcards.architecture),
        **wildcards,
    )


def path_jobs():
    """Every path-finding job of the scale, as the part of its files' names that tells it."""
    return [
        f"{landscape}/{architecture}/{name}/pairs_{pairs}"
        for landscape in ("train", "test")
        for architecture in ARCHITECTURES
        for name in configuration.joined_sets(config, architecture, landscape)
        for pairs in configuration.pair_batches(config, architecture)
    ]


def history_files(architectures):
    """Loss curves of all training jobs of some architectures; weights from elsewhere have none."""
    return [
        f"<results>/training/{architecture}/{optimizer}/seeds_{seeds}.history.csv"
        for architecture in architectures
        for optimizer in config["optimizers"]
        if optimizer not in configuration.imported(config, architecture)
        for seeds in configuration.seed_batches(config, architecture)
    ]


def selection_files(architectures):
    """Selections of some architectures with every optimizer."""
    return expand(
        "<results>/selection/{architecture}/{optimizer}.csv",
        architecture=architectures,
        optimizer=config["optimizers"],
    )


def barrier_files(landscape):
    """Barrier tables of all sets that are joined on a landscape."""
    return [
        f"<results>/barriers/{landscape}/{architecture}/{name}.csv"
        for architecture in ARCHITECTURES
        for name in configuration.joined_sets(config, architecture, landscape)
    ]


def searched_pairs(wildcards):
    """Parameter of a rule: how many pairs of a set of its architecture are searched on."""
    return configuration.searched_pairs(config, wildcards.architecture)


def search_json(wildcards):
    """Parameter of a rule: how far the paths of its architecture are searched."""
    settings = configuration.search_settings(config, wildcards.architecture)
    return json.dumps(settings, sort_keys=True)


def first_terms():
    """Fourier terms of the paths of Figure 4, by architecture."""
    return {
        architecture: configuration.for_architecture(config, architecture)["paths"][
            "terms"
        ]
        for architecture in ARCHITECTURES
    }


def search_files():
    """Tables of the paths searched on, of all sets that are joined on the train landscape."""
    return [
        f"<results>/converged/{architecture}/{name}.csv"
        for architecture in ARCHITECTURES
        for name in configuration.joined_sets(config, architecture, "train")
    ]


def benchmark_files():
    """Times of every training and path search of the scale, if it has been done here."""
    jobs = [
        file.removesuffix(".history.csv").replace(
            "<results>/training", "train_networks"
        )
        for file in history_files(ARCHITECTURES)
    ]
    jobs += [f"find_paths/{job}" for job in path_jobs()]
    jobs += [
        file.removesuffix(".csv").replace("<results>/converged", "converge_paths")
        for file in search_files()
    ]
    return [f"results/{config['scale']}/benchmarks/{job}.tsv" for job in jobs]


def settings_in_force():
    """What published numbers depend on, by architecture."""
    return {
        architecture: {
            **configuration.for_architecture(config, architecture),
            "architecture": configuration.architecture_settings(config, architecture),
            "dataset": config["dataset"],
            "landscape_2d": config["landscape_2d"],
            "weights": sorted(configuration.imported(config, architecture)),
        }
        for architecture in ARCHITECTURES
    }


def result_files():
    """Every result of the scale, for its manifest."""
    jobs = [file.removesuffix(".history.csv") for file in history_files(ARCHITECTURES)]
    imported = [
        f"<results>/imported/{architecture}/{optimizer}.{end}"
        for architecture in ARCHITECTURES
        for optimizer in configuration.imported(config, architecture)
        for end in ("safetensors", "runs.csv")
    ]
    by_set = ["sets/{architecture}/{set}.safetensors", "pairs/{architecture}/{set}.csv"]
    by_architecture = [
        "statistics/{architecture}.csv",
        "lengths/{architecture}.csv",
        "lengths/{architecture}.centroids.csv",
        "kernel_pca/{architecture}.csv",
    ]
    return [
        *[
            job + end
            for job in jobs
            for end in (".safetensors", ".history.csv", ".runs.csv")
        ],
        *selection_files(ARCHITECTURES),
        *[
            f"<results>/{name}"
            for name in expand(by_set, architecture=ARCHITECTURES, set=SETS)
        ],
        *[f"<results>/paths/{job}.safetensors" for job in path_jobs()],
        *barrier_files("train"),
        *barrier_files("test"),
        *search_files(),
        "<results>/converged/efforts.csv",
        "<results>/converged/orderings.csv",
        *[
            f"<results>/{name}"
            for name in expand(by_architecture, architecture=ARCHITECTURES)
        ],
        "<results>/landscape_2d.safetensors",
        *expand(
            "<results>/figures/{name}.{end}",
            name=[*FIGURES, CONVERGED],
            end=["pdf", "png", "csv"],
        ),
        *expand("<results>/tables/{name}.{end}", name=TABLES, end=["csv", "md"]),
        *expand("<results>/agreement/agreement.{end}", end=["csv", "md", "html"]),
    ]


def other_results(wildcards):
    """Parameter of a rule that changes with results of the scale that are made on request only."""
    folder = Path(f"results/{config['scale']}")
    expected = {Path(file.replace("<results>", str(folder))) for file in result_files()}
    expected |= {checksum_path(file) for file in expected}
    others = set(provenance.results_below(folder)) - expected
    return sorted(f"{file} {file.stat().st_mtime_ns}" for file in others)


def describe_run():
    """Write down what this run is started with, for the figures it publishes."""
    seeds = ", ".join(
        f"{architecture} {configuration.seed_range(config, architecture)}"
        + "".join(
            f" ({optimizer}: weights from elsewhere)"
            for optimizer in configuration.imported(config, architecture)
        )
        for architecture in ARCHITECTURES
    )
    description = provenance.describe_run(Path(workflow.basedir), config, seeds)
    provenance.write_json(Path(RUN_DESCRIPTION), description)


def without_suffix(wildcards, output):
    """Parameter of a rule: its output files without their suffixes."""
    return os.path.splitext(output[0])[0]


def geometry_json(wildcards):
    """Parameter of a rule: the complete settings of the runs of its study, by name."""
    return json.dumps(
        configuration.geometry_runs(config, wildcards.study), sort_keys=True
    )


def geometry_data(wildcards):
    """Input of a rule: the datasets that the runs of its study need."""
    return data_of_studies([wildcards.study])


def data_of_studies(studies):
    """The datasets that the runs of some studies of the geometry of paths need."""
    names = {
        run["dataset"]
        for study in studies
        for run in configuration.geometry_runs(config, study).values()
        if run["function"] is None
    }
    return [f"results/data/{name}.safetensors" for name in sorted(names)]


def geometry_code(wildcards):
    """Parameter of a rule that changes with the code of a study, and of the modules it names."""
    runs = configuration.geometry_runs(config, wildcards.study).values()
    modules = {f"optimizers.{run['optimizer']}" for run in runs}
    modules |= {
        f"architectures.{run['architecture']}"
        for run in runs
        if run["function"] is None
    }
    return code_id("record_geometry.py", *sorted(modules))(wildcards)


def geometry_records(panels):
    """Records of the studies whose runs some panels show."""
    studies = {name.split("/")[0] for panel in panels for name in panel.runs}
    return [
        f"<results>/geometry/records/{study}.safetensors" for study in sorted(studies)
    ]


def geometry_probes(panels):
    """Table of the probes, where some panels show them."""
    shown = any(panel.kind in ("gradients", "probes") for panel in panels)
    return ["<results>/geometry/records/controls.probes.csv"] if shown else []


def networks_of(variant):
    """Folder of the networks that a variant joins."""
    if VARIED not in ARCHITECTURES:
        raise WorkflowError(
            f"differences.architecture is {VARIED}, which `only` leaves out. Add it there."
        )
    name = configuration.trained_as(config, variant)
    return f"<results>/variants/{name}" if name else "<results>"


def of_variant(pattern):
    """Input of a rule: a file about the networks that its variant joins."""

    def evaluate(wildcards):
        return expand(f"{networks_of(wildcards.variant)}/{pattern}", **wildcards)

    return evaluate


def variant_trainings(suffix):
    """Input of a rule: one file of every training job of its variant."""

    def evaluate(wildcards):
        return expand(
            "<results>/variants/{variant}/training/{architecture}/{optimizer}/seeds_{seeds}.{suffix}",
            seeds=configuration.seed_batches(
                in_force(wildcards), wildcards.architecture
            ),
            suffix=suffix,
            **wildcards,
        )

    return evaluate


def variant_paths(wildcards):
    """Input of a rule: the files of every path-finding job of its variant, landscape and set."""
    return expand(
        "<results>/variants/{variant}/paths/{landscape}/{architecture}/{set}/pairs_{pairs}.safetensors",
        pairs=configuration.pair_batches(in_force(wildcards), wildcards.architecture),
        **wildcards,
    )


def of_all(pattern):
    """Input of a rule: files about the networks of all variants."""

    def evaluate(wildcards):
        return expand(
            f"{{folder}}/{pattern}",
            folder=dict.fromkeys(map(networks_of, VARIANTS)),
            architecture=VARIED,
            optimizer=config["optimizers"],
            set=SETS,
        )

    return evaluate


def all_heights(wildcards):
    """Input of a rule: barrier tables of every variant."""
    return expand(
        "<results>/variants/{variant}/barriers/train/{architecture}/{set}.csv",
        variant=VARIANTS,
        architecture=VARIED,
        set=configuration.joined_sets(
            configuration.with_variant(config, DEFAULT), VARIED, "train"
        ),
    )
