# From raw MNIST to every figure and table of Yu & Morozov, "Neural network optimization strategies
# and the topography of the loss landscape" (arXiv 2602.21276).
#
#   snakemake --cores 8                            all figures and tables, at the scale in config.yaml
#   snakemake --cores 8 results/fig4.pdf           one figure and what it needs
#   snakemake --cores 2 --config scale=smoke       everything in miniature, within minutes
#   snakemake --cores 2 estimate                   what the scale will cost on this machine
#   snakemake --cores 2 reproduction               all of it with its origin, to publish
#   snakemake --cores 8 geometry                   the second study, the geometry of optimization paths
#   snakemake --profile slurm                      the whole paper on a cluster (profiles/slurm)

from snakemake.utils import min_version

min_version("9.14")


configfile: "config.yaml"


include: "rules/common/configuration.smk"
include: "rules/common/parameters.smk"
include: "rules/common/files.smk"
include: "rules/common/geometry.smk"
include: "rules/common/differences.smk"
include: "rules/data.smk"
include: "rules/train.smk"
include: "rules/weights.smk"
include: "rules/select.smk"
include: "rules/paths.smk"
include: "rules/analysis.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/estimate.smk"
include: "rules/geometry.smk"
include: "rules/agreement.smk"
include: "rules/differences.smk"


if workflow.is_main_process:
    show_panel(LEFT_OUT)


# A GPU is counted per machine: profiles/default lets one job at a time use it, while a cluster hands
# out one per job.
resource_scopes:
    gpu="local",


localrules:
    all,
    data,
    figures,
    tables,
    geometry,


# All that needs the internet, apart from the environments of --sdm conda.
rule data:
    input:
        DATA,
        data_of_studies(config["geometry"]["studies"]),


rule figures:
    input:
        expand(
            "results/{figure}.{suffix}", figure=FIGURES, suffix=["pdf", "png", "csv"]
        ),


rule tables:
    input:
        expand("results/{table}.{suffix}", table=TABLES, suffix=["csv", "md"]),


rule all:
    default_target: True
    input:
        rules.figures.input,
        rules.tables.input,


# Not part of `all`: a study of its own.
rule geometry:
    input:
        expand(
            "results/geometry/{figure}.{suffix}",
            figure=GEOMETRY_PANELS,
            suffix=["pdf", "png", "csv"],
        ),
        rules.publish_geometry_claims.output,
