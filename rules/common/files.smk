# Functions that name input files of rules, stage by stage.


def own_files(wildcards):
    """Input of a rule: the files that a dataset is made of, where no checksum fixes what is in them."""
    if not signatures.reads_own_files(LIBRARY, wildcards.dataset):
        return []
    source = Path(config["data_source"]).expanduser()
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
        jobs = configuration.training_jobs(
            config, wildcards.architecture, wildcards.optimizer
        )
        if not jobs:
            return expand(
                "<results>/imported/{architecture}/{optimizer}.{suffix}",
                suffix=suffix,
                **wildcards,
            )
        return [f"<results>/training/{job}.{suffix}" for job in jobs]

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
    """Input of a rule: the files of every path-finding job of its landscape, architecture, set.

    Of its variant, where it has one.
    """
    jobs = configuration.path_jobs_of_set(
        in_force(wildcards),
        wildcards.architecture,
        wildcards.landscape,
        wildcards.set,
    )
    variant = wildcards.get("variant")
    folder = f"<results>/variants/{variant}" if variant else "<results>"
    return [f"{folder}/paths/{job}.safetensors" for job in jobs]


def all_training_jobs(architectures):
    """Training jobs of some architectures, as the part of their files' names that tells them."""
    return [
        job
        for architecture in architectures
        for optimizer in config["optimizers"]
        for job in configuration.training_jobs(config, architecture, optimizer)
    ]


def all_path_jobs():
    """Every path-finding job of the scale, named likewise."""
    return [
        job
        for landscape in ("train", "test")
        for architecture in ARCHITECTURES
        for job in configuration.path_jobs(config, architecture, landscape)
    ]


def all_search_jobs():
    """Every search for converged paths of the scale, named likewise."""
    return [
        job
        for architecture in ARCHITECTURES
        for job in configuration.search_jobs(config, architecture)
    ]


def history_files(architectures):
    """Loss curves of all training jobs of some architectures; weights from elsewhere have none."""
    return [
        f"<results>/training/{job}.history.csv"
        for job in all_training_jobs(architectures)
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


def search_files():
    """Tables of the paths searched on, of all sets that are joined on the train landscape."""
    return [f"<results>/converged/{job}.csv" for job in all_search_jobs()]


def benchmark_files():
    """Times of every training and path search of the scale, if it has been done here."""
    jobs = [
        *[f"train_networks/{job}" for job in all_training_jobs(ARCHITECTURES)],
        *[f"find_paths/{job}" for job in all_path_jobs()],
        *[f"converge_paths/{job}" for job in all_search_jobs()],
    ]
    return [f"results/{config['scale']}/benchmarks/{job}.tsv" for job in jobs]


def result_files():
    """Every result of the scale, for its manifest."""
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
            f"<results>/training/{job}{end}"
            for job in all_training_jobs(ARCHITECTURES)
            for end in (".safetensors", ".history.csv", ".runs.csv")
        ],
        *selection_files(ARCHITECTURES),
        *[
            f"<results>/{name}"
            for name in expand(by_set, architecture=ARCHITECTURES, set=SETS)
        ],
        *[f"<results>/paths/{job}.safetensors" for job in all_path_jobs()],
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


def imported_state(wildcards):
    """Parameter of a rule: name, size and date of both files of weights from elsewhere.

    Not of `input`, since Snakemake takes what follows from its files for no change of a parameter.
    """
    files = [imported_file(checkpoint)(wildcards) for checkpoint in ("train", "test")]
    states = {file: Path(file).stat() for file in files}
    return [
        f"{file} {states[file].st_size} {states[file].st_mtime_ns}" for file in files
    ]


def other_results(wildcards):
    """Parameter of a rule that changes with results of the scale that are made on request only."""
    folder = Path(f"results/{config['scale']}")
    expected = {Path(file.replace("<results>", str(folder))) for file in result_files()}
    expected |= {checksum_path(file) for file in expected}
    others = set(provenance.results_below(folder)) - expected
    return sorted(f"{file} {file.stat().st_mtime_ns}" for file in others)
