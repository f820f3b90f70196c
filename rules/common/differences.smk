# Functions of the rules that vary the configuration.


def networks_of(variant):
    """Folder of the networks that a variant joins."""
    if VARIED not in ARCHITECTURES:
        raise WorkflowError(
            f"differences.architecture is {VARIED}, which `only` leaves out. Add it there."
        )
    if configuration.changes_nothing(config, variant):
        raise WorkflowError(
            f"The settings of differences.variants.{variant} are already in force for {VARIED}, or "
            f"hidden by architectures.{VARIED}.override, so that there is nothing to measure. "
            "Remove the variant, or change those settings."
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
        check_images(
            configuration_checks.wanted_images_of_variant(config, wildcards.variant),
            DATA,
        )
        return expand(
            "<results>/variants/{variant}/training/{architecture}/{optimizer}/seeds_{seeds}.{suffix}",
            seeds=configuration.seed_batches(
                in_force(wildcards), wildcards.architecture, wildcards.optimizer
            ),
            suffix=suffix,
            **wildcards,
        )

    return evaluate


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
