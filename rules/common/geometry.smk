# Functions of the rules of the second study.


def geometry_json(wildcards):
    """Parameter of a rule: the complete settings of the runs of its study, by name."""
    return json.dumps(
        configuration.geometry_runs(config, wildcards.study), sort_keys=True
    )


def geometry_data(wildcards):
    """Input of a rule: the datasets that the runs of its study need, which must have the images."""
    files = data_of_studies([wildcards.study])
    for file in files:
        wanted = configuration_checks.wanted_images_of_study(
            config, wildcards.study, Path(file).stem
        )
        check_images(wanted, file)
    return files


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
    missing = sorted(studies - set(config["geometry"]["studies"]))
    if missing:
        raise WorkflowError(
            f"A figure of the second study shows {', '.join(missing)}, which the configuration has "
            "not. Give it back its place under geometry.studies, or take its panels out of "
            "scripts/topography/figures/geometry_panels.py."
        )
    return [
        f"<results>/geometry/records/{study}.safetensors" for study in sorted(studies)
    ]


def geometry_probes(panels):
    """Table of the probes, where some panels show them."""
    shown = any(panel.kind in ("gradients", "probes") for panel in panels)
    return ["<results>/geometry/records/controls.probes.csv"] if shown else []
