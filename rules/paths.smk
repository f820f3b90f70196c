# Pairs of networks -> low-loss paths between them, and the barriers along the paths.


localrules:
    collect_barriers,


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
    params:
        code=code_id("find_paths.py", "architectures.{architecture}"),
        architecture=architecture_json,
        paths=setting_json("paths", without=["landscapes"]),
        images=setting("images"),
        checkpoint=f"{CHECKPOINTS}/paths/{{landscape}}/{{architecture}}/{{set}}/pairs_{{first}}-{{last}}.safetensors",
    shell:
        "exec python scripts/find_paths.py --data {input.data:q}"
        " --architecture {wildcards.architecture:q} --architecture-settings {params.architecture:q}"
        " --landscape {wildcards.landscape}"
        " --train-images {params.images[train]} --test-images {params.images[test]}"
        " --set {input.networks:q} --pairs {input.pairs:q}"
        " --first {wildcards.first} --last {wildcards.last} --path-settings {params.paths:q}"
        " --device {resources.device:q} --threads {threads} --checkpoint {params.checkpoint:q}"
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
