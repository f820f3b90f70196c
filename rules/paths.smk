# Pairs of networks -> low-loss paths between them, and the barriers along the paths.


localrules:
    collect_barriers,
    judge_convergence,


rule find_paths:
    input:
        data=DATA,
        networks="<results>/sets/{architecture}/{set}.safetensors",
        pairs="<results>/pairs/{architecture}/{set}.csv",
    output:
        paths="<results>/paths/{landscape}/{architecture}/{set}/pairs_{first}-{last}.safetensors",
    log:
        "<logs>/find_paths/{landscape}/{architecture}/{set}/pairs_{first}-{last}.log",
    benchmark:
        "<benchmarks>/find_paths/{landscape}/{architecture}/{set}/pairs_{first}-{last}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        device=config["device"],
        gpu_memory=str(config["gpu_memory"]),
    params:
        code=code_id("find_paths.py", "architectures.{architecture}"),
        architecture=architecture_json,
        paths=setting_json("paths", without=["landscapes"]),
        images=setting("images"),
        checkpoint=f"{CHECKPOINT_FOLDER}/paths/{{landscape}}/{{architecture}}/{{set}}/pairs_{{first}}-{{last}}.safetensors",
    shell:
        "exec python scripts/find_paths.py --data {input.data:q}"
        " --architecture {wildcards.architecture:q} --architecture-settings {params.architecture:q}"
        " --landscape {wildcards.landscape}"
        " --train-images {params.images[train]} --test-images {params.images[test]}"
        " --set {input.networks:q} --pairs {input.pairs:q}"
        " --first {wildcards.first} --last {wildcards.last} --path-settings {params.paths:q}"
        " --device {resources.device:q} --gpu-memory {resources.gpu_memory:q} --threads {threads} --checkpoint {params.checkpoint:q}"
        " --output {output.paths:q} > {log:q} 2>&1"


rule collect_barriers:
    input:
        pairs="<results>/pairs/{architecture}/{set}.csv",
        paths=path_files,
    output:
        barriers="<results>/barriers/{landscape}/{architecture}/{set}.csv",
    log:
        "<logs>/collect_barriers/{landscape}/{architecture}/{set}.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("collect_barriers.py"),
    shell:
        "exec python scripts/collect_barriers.py --pairs {input.pairs:q} --paths {input.paths:q}"
        " --output {output.barriers:q} > {log:q} 2>&1"


rule converge_paths:
    input:
        data=DATA,
        networks="<results>/sets/{architecture}/{set}.safetensors",
        pairs="<results>/pairs/{architecture}/{set}.csv",
    output:
        searches="<results>/converged/{architecture}/{set}.csv",
    log:
        "<logs>/converge_paths/{architecture}/{set}.log",
    benchmark:
        "<benchmarks>/converge_paths/{architecture}/{set}.tsv"
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        device=config["device"],
        gpu_memory=str(config["gpu_memory"]),
    params:
        code=code_id("converge_paths.py", "architectures.{architecture}"),
        architecture=architecture_json,
        pairs=searched_pairs,
        settings=search_json,
        images=setting("images"),
        checkpoint=f"{CHECKPOINT_FOLDER}/converged/{{architecture}}/{{set}}.safetensors",
    shell:
        "exec python scripts/converge_paths.py --data {input.data:q}"
        " --architecture {wildcards.architecture:q} --architecture-settings {params.architecture:q}"
        " --train-images {params.images[train]} --test-images {params.images[test]}"
        " --set {input.networks:q} --pairs {input.pairs:q} --count {params.pairs:q}"
        " --settings {params.settings:q} --device {resources.device:q} --gpu-memory {resources.gpu_memory:q} --threads {threads}"
        " --checkpoint {params.checkpoint:q} --output {output.searches:q} > {log:q} 2>&1"


rule judge_convergence:
    input:
        searches=search_files(),
    output:
        efforts="<results>/converged/efforts.csv",
        orderings="<results>/converged/orderings.csv",
    log:
        "<logs>/judge_convergence.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("judge_convergence.py"),
        terms=json.dumps(first_terms()),
    shell:
        "exec python scripts/judge_convergence.py --searches {input.searches:q}"
        " --terms {params.terms:q}"
        " --efforts {output.efforts:q} --orderings {output.orderings:q} > {log:q} 2>&1"
