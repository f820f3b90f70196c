# Results -> how well they agree with the paper, a list of them with checksums, and a set to publish.
# None is among the default targets: ask for results/agreement.html, for manifest.csv in the folder of
# a scale, or for `reproduction`.


localrules:
    judge_agreement,
    publish_agreement,
    write_manifest,
    reproduction,


# Those that show what a claim is about.
SHOWN = [*(figure for figure in FIGURES if figure != "fig1"), CONVERGED]


rule judge_agreement:
    input:
        claims=local("config/claims.yaml"),
        selections=selection_files(ARCHITECTURES),
        histories=history_files(ARCHITECTURES),
        sets=expand(
            "<results>/sets/{architecture}/{set}.safetensors",
            architecture=ARCHITECTURES,
            set=SETS,
        ),
        lengths=expand(
            "<results>/lengths/{architecture}.csv", architecture=ARCHITECTURES
        ),
        projections=expand(
            "<results>/kernel_pca/{architecture}.csv", architecture=ARCHITECTURES
        ),
        barriers=[*barrier_files("train"), *barrier_files("test")],
        paths_2d="<results>/figures/fig3.csv",
        orderings="<results>/converged/orderings.csv",
        figures=expand("<results>/figures/{figure}.png", figure=SHOWN),
    output:
        csv="<results>/agreement/agreement.csv",
        markdown="<results>/agreement/agreement.md",
        html="<results>/agreement/agreement.html",
    log:
        "<logs>/judge_agreement.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("judge_agreement.py"),
        stamp=STAMP,
        settings=json.dumps(settings_in_force(), sort_keys=True),
    shell:
        "exec python scripts/judge_agreement.py --claims {input.claims:q}"
        " --selections {input.selections:q} --histories {input.histories:q} --sets {input.sets:q}"
        " --lengths {input.lengths:q} --projections {input.projections:q}"
        " --barriers {input.barriers:q} --paths-2d {input.paths_2d:q}"
        " --orderings {input.orderings:q} --figures {input.figures:q}"
        " --settings {params.settings:q} --scale {params.stamp[scale]:q}"
        " --dataset {params.stamp[dataset]:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} --html {output.html:q} > {log:q} 2>&1"


use rule publish_table as publish_agreement with:
    input:
        multiext("<results>/agreement/agreement", ".html", ".csv", ".md"),
    output:
        multiext("results/agreement", ".html", ".csv", ".md"),
    log:
        "<logs>/publish_agreement.log",


rule write_manifest:
    input:
        results=result_files(),
    output:
        manifest="<results>/manifest.csv",
    log:
        "<logs>/write_manifest.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("write_manifest.py"),
        # The manifest lists them too, without asking for them.
        others=other_results,
        root=subpath(output.manifest, parent=True),
    shell:
        "exec python scripts/write_manifest.py --root {params.root:q} > {log:q} 2>&1"


# Without an output, so that it is done whenever it is asked for: what lies in docs/ is the last set
# that was published.
rule reproduction:
    input:
        figures=expand(
            "results/{figure}.{suffix}",
            figure=[*FIGURES, CONVERGED],
            suffix=["pdf", "png", "csv", "json"],
        ),
        tables=expand("results/{table}.{suffix}", table=TABLES, suffix=["csv", "md"]),
        agreement=rules.publish_agreement.output,
        histories=history_files(ARCHITECTURES),
        searches=[*barrier_files("train"), *barrier_files("test"), *search_files()],
    log:
        "<logs>/reproduction.log",
    # With --sdm conda it tells the versions of this one only; all are pinned in envs/.
    conda:
        "../envs/analysis.yaml"
    params:
        settings=json.dumps(config),
        run=RUN_DESCRIPTION,
        # Not inputs: networks and searches that were copied here may have come without.
        benchmarks=benchmark_files(),
        target="docs/reproduction",
    shell:
        "exec python scripts/publish_reproduction.py --figures {input.figures:q}"
        " --tables {input.tables:q} --agreement {input.agreement:q} --settings {params.settings:q}"
        " --run {params.run:q} --histories {input.histories:q} --searches {input.searches:q}"
        " --benchmarks {params.benchmarks:q} --target {params.target:q} > {log:q} 2>&1"
