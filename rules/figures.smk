# What was computed -> the figures of the paper, each as PDF and PNG with its numbers as CSV.

# Figure 2 shows the loss curves of the LSTM, Figure S1 those of the other networks.
NETWORKS = {
    "fig2": [name for name in ARCHITECTURES if name == "lstm"],
    "figS1": [name for name in ARCHITECTURES if name != "lstm"],
}
# Weights from elsewhere have none.
CURVES = {
    figure: [name for name in names if history_files([name])]
    for figure, names in NETWORKS.items()
}
# Figures 4 and S2 differ by the landscape, Figures 5, 6 and S3, S4 by the sets they compare.
LANDSCAPES = {"fig4": "train", "figS2": "test"}
LENGTHS = dict(zip(["fig5", "figS3"], COMPARISONS))
PROJECTIONS = dict(zip(["fig6", "figS4"], COMPARISONS))
# A figure of loss curves without a network to show is left out, and the panel says so.
LEFT_OUT = [
    f"{figure} (loss curves of {'lstm' if figure == 'fig2' else 'the other networks'}, "
    + (
        "whose weights come from elsewhere)"
        if NETWORKS[figure]
        else "which this run leaves out)"
    )
    for figure, names in CURVES.items()
    if not names
]
FIGURES = [
    *(figure for figure, names in CURVES.items() if names),
    *["fig1", "fig3"],
    *LANDSCAPES,
    *LENGTHS,
    *PROJECTIONS,
]


# Not of the paper, and not among the default targets: its searches are long.
CONVERGED = "fig4_converged"


localrules:
    plot_convergence,
    plot_overview,
    plot_loss_curves,
    plot_landscape_2d,
    plot_barriers,
    plot_lengths,
    plot_projections,


rule plot_overview:
    input:
        data=DATA,
    output:
        pdf="<results>/figures/fig1.pdf",
        png=report(
            "<results>/figures/fig1.png",
            category="Figures",
            caption="../docs/captions/overview.rst",
            labels={"figure": "fig1", "shows": "images, network, landscape"},
        ),
        csv="<results>/figures/fig1.csv",
    log:
        "<logs>/plot_overview/fig1.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_overview.py"),
        stem=without_suffix,
        stamp=STAMP,
    shell:
        "exec python scripts/plot_overview.py --data {input.data:q} --scale {params.stamp[scale]:q}"
        " --dataset {params.stamp[dataset]:q} --output-stem {params.stem:q} > {log:q} 2>&1"


rule plot_loss_curves:
    input:
        histories=lambda wildcards: history_files(CURVES[wildcards.figure]),
        selections=lambda wildcards: selection_files(CURVES[wildcards.figure]),
    output:
        pdf="<results>/figures/{figure}.pdf",
        png=report(
            "<results>/figures/{figure}.png",
            category="Figures",
            caption="../docs/captions/loss_curves.rst",
            labels={"figure": "{figure}", "shows": "loss curves"},
        ),
        csv="<results>/figures/{figure}.csv",
    log:
        "<logs>/plot_loss_curves/{figure}.log",
    wildcard_constraints:
        figure="|".join(CURVES),
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_loss_curves.py"),
        stem=without_suffix,
        stamp=STAMP,
    shell:
        "exec python scripts/plot_loss_curves.py --histories {input.histories:q}"
        " --selections {input.selections:q} --scale {params.stamp[scale]:q}"
        " --dataset {params.stamp[dataset]:q} --output-stem {params.stem:q} > {log:q} 2>&1"


rule plot_landscape_2d:
    input:
        landscape="<results>/landscape_2d.safetensors",
    output:
        pdf="<results>/figures/fig3.pdf",
        png=report(
            "<results>/figures/fig3.png",
            category="Figures",
            caption="../docs/captions/landscape_2d.rst",
            labels={"figure": "fig3", "shows": "paths in two dimensions"},
        ),
        csv="<results>/figures/fig3.csv",
    log:
        "<logs>/plot_landscape_2d/fig3.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_landscape_2d.py"),
        stem=without_suffix,
        stamp=STAMP,
    shell:
        "exec python scripts/plot_landscape_2d.py --landscape {input.landscape:q}"
        " --scale {params.stamp[scale]:q} --output-stem {params.stem:q} > {log:q} 2>&1"


rule plot_barriers:
    input:
        barriers=lambda wildcards: barrier_files(LANDSCAPES[wildcards.figure]),
    output:
        pdf="<results>/figures/{figure}.pdf",
        png=report(
            "<results>/figures/{figure}.png",
            category="Figures",
            caption="../docs/captions/barriers.rst",
            labels={"figure": "{figure}", "shows": "barriers along paths"},
        ),
        csv="<results>/figures/{figure}.csv",
    log:
        "<logs>/plot_barriers/{figure}.log",
    wildcard_constraints:
        figure="|".join(LANDSCAPES),
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_barriers.py"),
        stem=without_suffix,
        stamp=STAMP,
    shell:
        "exec python scripts/plot_barriers.py --barriers {input.barriers:q}"
        " --scale {params.stamp[scale]:q} --dataset {params.stamp[dataset]:q}"
        " --output-stem {params.stem:q} > {log:q} 2>&1"


rule plot_lengths:
    input:
        lengths=expand(
            "<results>/lengths/{architecture}.csv", architecture=ARCHITECTURES
        ),
        centroids=expand(
            "<results>/lengths/{architecture}.centroids.csv",
            architecture=ARCHITECTURES,
        ),
    output:
        pdf="<results>/figures/{figure}.pdf",
        png=report(
            "<results>/figures/{figure}.png",
            category="Figures",
            caption="../docs/captions/lengths.rst",
            labels={"figure": "{figure}", "shows": "lengths of weight vectors"},
        ),
        csv="<results>/figures/{figure}.csv",
    log:
        "<logs>/plot_lengths/{figure}.log",
    wildcard_constraints:
        figure="|".join(LENGTHS),
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_lengths.py"),
        stem=without_suffix,
        stamp=STAMP,
        comparison=lambda wildcards: LENGTHS[wildcards.figure],
    shell:
        "exec python scripts/plot_lengths.py --lengths {input.lengths:q}"
        " --centroids {input.centroids:q} --comparison {params.comparison:q}"
        " --scale {params.stamp[scale]:q} --dataset {params.stamp[dataset]:q}"
        " --output-stem {params.stem:q} > {log:q} 2>&1"


rule plot_projections:
    input:
        projections=expand(
            "<results>/kernel_pca/{architecture}.csv", architecture=ARCHITECTURES
        ),
    output:
        pdf="<results>/figures/{figure}.pdf",
        png=report(
            "<results>/figures/{figure}.png",
            category="Figures",
            caption="../docs/captions/projections.rst",
            labels={"figure": "{figure}", "shows": "kernel PCA"},
        ),
        csv="<results>/figures/{figure}.csv",
    log:
        "<logs>/plot_projections/{figure}.log",
    wildcard_constraints:
        figure="|".join(PROJECTIONS),
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_kernel_pca.py"),
        stem=without_suffix,
        stamp=STAMP,
        comparison=lambda wildcards: PROJECTIONS[wildcards.figure],
    shell:
        "exec python scripts/plot_kernel_pca.py --projections {input.projections:q}"
        " --comparison {params.comparison:q} --scale {params.stamp[scale]:q}"
        " --dataset {params.stamp[dataset]:q} --output-stem {params.stem:q} > {log:q} 2>&1"


rule plot_convergence:
    input:
        efforts="<results>/converged/efforts.csv",
    output:
        pdf=f"<results>/figures/{CONVERGED}.pdf",
        png=report(
            f"<results>/figures/{CONVERGED}.png",
            category="Figures",
            caption="../docs/captions/convergence.rst",
            labels={"figure": CONVERGED, "shows": "heights against effort"},
        ),
        csv=f"<results>/figures/{CONVERGED}.csv",
    log:
        f"<logs>/plot_convergence/{CONVERGED}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("plot_convergence.py"),
        stem=without_suffix,
        stamp=STAMP,
    shell:
        "exec python scripts/plot_convergence.py --efforts {input.efforts:q}"
        " --scale {params.stamp[scale]:q} --dataset {params.stamp[dataset]:q}"
        " --output-stem {params.stem:q} > {log:q} 2>&1"
