# Functions that give parameters of rules: fingerprints of code, and parts of the configuration.


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


def without_suffix(wildcards, output):
    """Parameter of a rule: its output files without their suffixes."""
    return os.path.splitext(output[0])[0]
