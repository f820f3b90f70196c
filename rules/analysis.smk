# Sets of solutions -> what the figures and tables show of them; and the example in two dimensions.


localrules:
    weigh_solutions,
    measure_lengths,
    project_solutions,


rule weigh_solutions:
    input:
        sets=expand("<results>/sets/{{architecture}}/{set}.safetensors", set=SETS),
    output:
        statistics="<results>/statistics/{architecture}.csv",
    log:
        "<logs>/weigh_solutions/{architecture}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("weight_statistics.py"),
    shell:
        "exec python scripts/weight_statistics.py --sets {input.sets:q}"
        " --output {output.statistics:q} > {log:q} 2>&1"


rule measure_lengths:
    input:
        sets=expand("<results>/sets/{{architecture}}/{set}.safetensors", set=SETS),
    output:
        lengths="<results>/lengths/{architecture}.csv",
        centroids="<results>/lengths/{architecture}.centroids.csv",
    log:
        "<logs>/measure_lengths/{architecture}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("vector_lengths.py"),
    shell:
        "exec python scripts/vector_lengths.py --sets {input.sets:q} --lengths {output.lengths:q}"
        " --centroids {output.centroids:q} > {log:q} 2>&1"


rule project_solutions:
    input:
        sets=expand("<results>/sets/{{architecture}}/{set}.safetensors", set=SETS),
    output:
        projections="<results>/kernel_pca/{architecture}.csv",
    log:
        "<logs>/project_solutions/{architecture}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("kernel_pca.py"),
        kernels=config["kernel_pca"]["kernels"],
    shell:
        "exec python scripts/kernel_pca.py --sets {input.sets:q} --kernels {params.kernels:q}"
        " --output {output.projections:q} > {log:q} 2>&1"


rule find_paths_2d:
    output:
        landscape="<results>/landscape_2d.safetensors",
    log:
        "<logs>/find_paths_2d.log",
    conda:
        "../envs/torch.yaml"
    params:
        code=code_id("landscape_2d.py"),
        settings=json.dumps(config["landscape_2d"], sort_keys=True),
    shell:
        "exec python scripts/landscape_2d.py --settings {params.settings:q}"
        " --output {output.landscape:q} > {log:q} 2>&1"
