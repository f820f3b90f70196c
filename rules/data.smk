# Raw images -> one checked file per dataset, shared by all scales.


# Compute nodes of a cluster have no internet.
localrules:
    prepare_dataset,


rule prepare_dataset:
    input:
        own_files,
    output:
        data="results/data/{dataset}.safetensors",
    log:
        "results/data/{dataset}.log",
    conda:
        "../envs/data.yaml"
    # Where files with known checksums come from does not change them: a resource, unlike a parameter,
    # reruns nothing.
    resources:
        source=config["data_source"],
    params:
        code=code_id("prepare_dataset.py", "datasets.{dataset}"),
        raw_folder="results/data/raw/{dataset}",
    shell:
        "exec python scripts/prepare_dataset.py --dataset {wildcards.dataset:q}"
        " --source {resources.source:q} --raw-folder {params.raw_folder:q}"
        " --output {output.data:q} > {log:q} 2>&1"
