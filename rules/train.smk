# Images -> trained networks: a batch of seeds of one architecture and optimizer per job.


rule train_networks:
    input:
        data=DATA,
    output:
        weights="<results>/training/{architecture}/{optimizer}/seeds_{first}-{last}.safetensors",
        history="<results>/training/{architecture}/{optimizer}/seeds_{first}-{last}.history.csv",
        runs="<results>/training/{architecture}/{optimizer}/seeds_{first}-{last}.runs.csv",
    log:
        "<logs>/train_networks/{architecture}/{optimizer}/seeds_{first}-{last}.log",
    benchmark:
        "<benchmarks>/train_networks/{architecture}/{optimizer}/seeds_{first}-{last}.tsv"
    # All else waits for trainings: a slow one left for the end would have nothing to run beside it.
    priority: 1
    conda:
        "../envs/torch.yaml"
    threads: 1
    # As a parameter the device would rerun every training when it changes.
    resources:
        gpu=GPUS,
        device=config["device"],
        gpu_memory=str(config["gpu_memory"]),
    params:
        code=code_id(
            "train.py", "architectures.{architecture}", "optimizers.{optimizer}"
        ),
        architecture=architecture_json,
        optimizer=setting_json("optimizers", "{optimizer}"),
        images=setting("images"),
        # Not an output: Snakemake deletes those before it starts a job again.
        checkpoint=f"{CHECKPOINT_FOLDER}/training/{{architecture}}/{{optimizer}}/seeds_{{first}}-{{last}}.safetensors",
    shell:
        "exec python scripts/train.py --data {input.data:q}"
        " --architecture {wildcards.architecture:q} --architecture-settings {params.architecture:q}"
        " --optimizer {wildcards.optimizer:q} --optimizer-settings {params.optimizer:q}"
        " --first-seed {wildcards.first} --last-seed {wildcards.last}"
        " --train-images {params.images[train]} --test-images {params.images[test]}"
        " --device {resources.device:q} --gpu-memory {resources.gpu_memory:q} --threads {threads} --checkpoint {params.checkpoint:q}"
        " --weights {output.weights:q} --history {output.history:q} --runs {output.runs:q}"
        " > {log:q} 2>&1"
