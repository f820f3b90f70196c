# Trained networks -> the best of them, as sets of solutions, and the pairs to be joined.


localrules:
    select_networks,
    sample_pairs,


rule select_networks:
    input:
        weights=training_files("safetensors"),
        runs=training_files("runs.csv"),
    output:
        selection="<results>/selection/{architecture}/{optimizer}.csv",
        train_set="<results>/sets/{architecture}/{optimizer}_train.safetensors",
        test_set="<results>/sets/{architecture}/{optimizer}_test.safetensors",
    log:
        "<logs>/select_networks/{architecture}/{optimizer}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("select_runs.py"),
        keep=setting("selection", "keep"),
    shell:
        "exec python scripts/select_runs.py --weights {input.weights:q} --runs {input.runs:q}"
        " --keep {params.keep} --selection {output.selection:q}"
        " --train-set {output.train_set:q} --test-set {output.test_set:q} > {log:q} 2>&1"


rule sample_pairs:
    input:
        networks="<results>/sets/{architecture}/{set}.safetensors",
    output:
        pairs="<results>/pairs/{architecture}/{set}.csv",
    log:
        "<logs>/sample_pairs/{architecture}/{set}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("sample_pairs.py"),
        seed=setting("pairs", "seed"),
    shell:
        "exec python scripts/sample_pairs.py --set {input.networks:q} --seed {params.seed}"
        " --output {output.pairs:q} > {log:q} 2>&1"
