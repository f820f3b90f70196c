# What was computed -> the tables of the paper; and the copies of figures and tables in results/,
# which always belong to the scale in force.

TABLES = ["table1", "tableS1"]


localrules:
    tabulate_losses,
    tabulate_weights,
    publish_figure,
    publish_table,


rule tabulate_losses:
    input:
        selections=selection_files(ARCHITECTURES),
        statistics=expand(
            "<results>/statistics/{architecture}.csv", architecture=ARCHITECTURES
        ),
    output:
        csv=report(
            "<results>/tables/table1.csv",
            category="Tables",
            caption="../docs/captions/losses.rst",
            labels={"table": "1", "shows": "train and test losses"},
        ),
        markdown="<results>/tables/table1.md",
    log:
        "<logs>/tabulate_losses.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("table_losses.py"),
        stamp=STAMP,
        imported=IMPORTED,
    shell:
        "exec python scripts/table_losses.py --selections {input.selections:q}"
        " --statistics {input.statistics:q} --scale {params.stamp[scale]:q}"
        " --dataset {params.stamp[dataset]:q} --imported {params.imported:q}"
        " --csv {output.csv:q} --markdown {output.markdown:q} > {log:q} 2>&1"


rule tabulate_weights:
    input:
        statistics=expand(
            "<results>/statistics/{architecture}.csv", architecture=ARCHITECTURES
        ),
    output:
        csv=report(
            "<results>/tables/tableS1.csv",
            category="Tables",
            caption="../docs/captions/weights.rst",
            labels={"table": "S1", "shows": "mean and spread of weights"},
        ),
        markdown="<results>/tables/tableS1.md",
    log:
        "<logs>/tabulate_weights.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("table_weights.py"),
        stamp=STAMP,
        imported=IMPORTED,
    shell:
        "exec python scripts/table_weights.py --statistics {input.statistics:q}"
        " --scale {params.stamp[scale]:q} --dataset {params.stamp[dataset]:q}"
        " --imported {params.imported:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} > {log:q} 2>&1"


rule publish_figure:
    input:
        multiext("<results>/figures/{figure}", ".pdf", ".png", ".csv"),
    output:
        multiext("results/{figure}", ".pdf", ".png", ".csv", ".json"),
    log:
        "<logs>/publish_figure/{figure}.log",
    wildcard_constraints:
        figure="|".join([*FIGURES, CONVERGED]),
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("publish_figure.py"),
        figure=lambda wildcards, input: os.path.splitext(input[0])[0],
        target=without_suffix,
        # Not an input: its commit and date are to be printed, not to rerun anything.
        run=RUN_DESCRIPTION,
        logs=f"results/{config['scale']}/logs/train_networks",
    shell:
        "exec python scripts/publish_figure.py --figure {params.figure:q} --run {params.run:q}"
        " --logs {params.logs:q} --target {params.target:q} > {log:q} 2>&1"


rule publish_table:
    input:
        multiext("<results>/tables/{table}", ".csv", ".md"),
    output:
        multiext("results/{table}", ".csv", ".md"),
    log:
        "<logs>/publish_table/{table}.log",
    wildcard_constraints:
        table="|".join([*TABLES, "differences"]),
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("publish_table.py"),
        folder=subpath(output[0], parent=True),
    shell:
        "exec python scripts/publish_table.py --files {input:q} --folder {params.folder:q} > {log:q} 2>&1"
