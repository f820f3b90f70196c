# Where the paper and its code differ -> what each difference changes. Not among the default targets: ask
# for results/differences.md. A variant is the same workflow under a change of the configuration.


localrules:
    select_variant,
    sample_variant_pairs,
    collect_variant_barriers,
    tabulate_differences,


use rule train_networks as train_variant with:
    output:
        weights="<results>/variants/{variant}/training/{architecture}/{optimizer}/seeds_{first}-{last}.safetensors",
        history="<results>/variants/{variant}/training/{architecture}/{optimizer}/seeds_{first}-{last}.history.csv",
        runs="<results>/variants/{variant}/training/{architecture}/{optimizer}/seeds_{first}-{last}.runs.csv",
    log:
        "<logs>/variants/{variant}/train_networks/{architecture}/{optimizer}/seeds_{first}-{last}.log",
    benchmark:
        "<benchmarks>/variants/{variant}/train_networks/{architecture}/{optimizer}/seeds_{first}-{last}.tsv"
    params:
        checkpoint=f"{CHECKPOINT_FOLDER}/variants/{{variant}}/training/{{architecture}}/{{optimizer}}/seeds_{{first}}-{{last}}.safetensors",


use rule select_networks as select_variant with:
    input:
        weights=variant_trainings("safetensors"),
        runs=variant_trainings("runs.csv"),
    output:
        selection="<results>/variants/{variant}/selection/{architecture}/{optimizer}.csv",
        train_set="<results>/variants/{variant}/sets/{architecture}/{optimizer}_train.safetensors",
        test_set="<results>/variants/{variant}/sets/{architecture}/{optimizer}_test.safetensors",
    log:
        "<logs>/variants/{variant}/select_networks/{architecture}/{optimizer}.log",


use rule sample_pairs as sample_variant_pairs with:
    input:
        networks="<results>/variants/{variant}/sets/{architecture}/{set}.safetensors",
    output:
        pairs="<results>/variants/{variant}/pairs/{architecture}/{set}.csv",
    log:
        "<logs>/variants/{variant}/sample_pairs/{architecture}/{set}.log",


use rule find_paths as find_variant_paths with:
    input:
        data=DATA,
        networks=of_variant("sets/{architecture}/{set}.safetensors"),
        pairs=of_variant("pairs/{architecture}/{set}.csv"),
    output:
        paths="<results>/variants/{variant}/paths/{landscape}/{architecture}/{set}/pairs_{first}-{last}.safetensors",
    log:
        "<logs>/variants/{variant}/find_paths/{landscape}/{architecture}/{set}/pairs_{first}-{last}.log",
    benchmark:
        "<benchmarks>/variants/{variant}/find_paths/{landscape}/{architecture}/{set}/pairs_{first}-{last}.tsv"
    params:
        checkpoint=f"{CHECKPOINT_FOLDER}/variants/{{variant}}/paths/{{landscape}}/{{architecture}}/{{set}}/pairs_{{first}}-{{last}}.safetensors",


use rule collect_barriers as collect_variant_barriers with:
    input:
        pairs=of_variant("pairs/{architecture}/{set}.csv"),
        paths=path_files,
    output:
        barriers="<results>/variants/{variant}/barriers/{landscape}/{architecture}/{set}.csv",
    log:
        "<logs>/variants/{variant}/collect_barriers/{landscape}/{architecture}/{set}.log",


rule tabulate_differences:
    input:
        selections=of_all("selection/{architecture}/{optimizer}.csv"),
        sets=of_all("sets/{architecture}/{set}.safetensors"),
        barriers=all_heights,
    output:
        csv="<results>/tables/differences.csv",
        markdown="<results>/tables/differences.md",
    log:
        "<logs>/tabulate_differences.log",
    conda:
        "../envs/analysis.yaml"
    params:
        code=code_id("table_differences.py"),
        stamp=STAMP,
    shell:
        "exec python scripts/table_differences.py --selections {input.selections:q}"
        " --sets {input.sets:q} --barriers {input.barriers:q} --scale {params.stamp[scale]:q}"
        " --dataset {params.stamp[dataset]:q} --csv {output.csv:q}"
        " --markdown {output.markdown:q} > {log:q} 2>&1"
