# The geometry of optimization paths, the second study: each run of a study is trained twice, the
# second time measured -> figures and claims. Asked for by the target `geometry` alone.

from topography.figures.geometry_panels import FIGURES as GEOMETRY_PANELS

GEOMETRY_STUDIES = list(config["geometry"]["studies"])


localrules:
    plot_geometry,
    judge_geometry,
    publish_geometry,
    publish_geometry_claims,


rule record_geometry:
    input:
        data=geometry_data,
    output:
        records="<results>/geometry/records/{study}.safetensors",
        summary="<results>/geometry/records/{study}.csv",
        probes="<results>/geometry/records/{study}.probes.csv",
    log:
        "<logs>/record_geometry/{study}.log",
    benchmark:
        "<benchmarks>/record_geometry/{study}.tsv"
    wildcard_constraints:
        study="|".join(GEOMETRY_STUDIES),
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        device=config["device"],
        gpu_memory=str(config["gpu_memory"]),
    params:
        code=geometry_code,
        runs=geometry_json,
    shell:
        "exec python scripts/record_geometry.py --data {input.data:q} --runs {params.runs:q}"
        " --device {resources.device:q} --gpu-memory {resources.gpu_memory:q} --threads {threads} --records {output.records:q}"
        " --summary {output.summary:q} --probes {output.probes:q} > {log:q} 2>&1"


rule plot_geometry:
    input:
        records=lambda wildcards: geometry_records(GEOMETRY_PANELS[wildcards.figure]),
        probes=lambda wildcards: geometry_probes(GEOMETRY_PANELS[wildcards.figure]),
    output:
        pdf="<results>/geometry/{figure}.pdf",
        png=report(
            "<results>/geometry/{figure}.png",
            category="Second study",
            caption="../docs/captions/geometry.rst",
            labels={"figure": "{figure}", "shows": "geometry of optimization paths"},
        ),
        csv="<results>/geometry/{figure}.csv",
    log:
        "<logs>/plot_geometry/{figure}.log",
    wildcard_constraints:
        figure="|".join(GEOMETRY_PANELS),
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_geometry.py"),
        stem=without_suffix,
        scale=config["scale"],
    shell:
        "exec python scripts/plot_geometry.py --figure {wildcards.figure:q}"
        " --records {input.records:q} --probes {input.probes:q} --scale {params.scale:q}"
        " --output-stem {params.stem:q} > {log:q} 2>&1"


rule judge_geometry:
    input:
        records=expand(
            "<results>/geometry/records/{study}.safetensors", study=GEOMETRY_STUDIES
        ),
        probes="<results>/geometry/records/controls.probes.csv",
        claims=local("config/geometry_claims.yaml"),
    output:
        csv=report(
            "<results>/geometry/claims.csv",
            category="Second study",
            caption="../docs/captions/geometry_claims.rst",
            labels={"table": "claims", "shows": "claims and verdicts"},
        ),
        markdown="<results>/geometry/claims.md",
    log:
        "<logs>/judge_geometry.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("judge_geometry.py"),
        scale=config["scale"],
    shell:
        "exec python scripts/judge_geometry.py --records {input.records:q} --probes {input.probes:q}"
        " --claims {input.claims:q} --scale {params.scale:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} > {log:q} 2>&1"


use rule publish_table as publish_geometry with:
    input:
        multiext("<results>/geometry/{figure}", ".pdf", ".png", ".csv"),
    output:
        multiext("results/geometry/{figure}", ".pdf", ".png", ".csv"),
    log:
        "<logs>/publish_geometry/{figure}.log",
    wildcard_constraints:
        figure="|".join(GEOMETRY_PANELS),


use rule publish_table as publish_geometry_claims with:
    input:
        multiext("<results>/geometry/claims", ".csv", ".md"),
    output:
        multiext("results/geometry/claims", ".csv", ".md"),
    log:
        "<logs>/publish_geometry_claims.log",
