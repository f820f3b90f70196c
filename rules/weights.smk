# Weights from elsewhere -> what a training would have left, with losses on the images in force.


rule import_networks:
    input:
        data=DATA,
        train_set=imported_file("train"),
        test_set=imported_file("test"),
    output:
        weights="<results>/imported/{architecture}/{optimizer}.safetensors",
        runs="<results>/imported/{architecture}/{optimizer}.runs.csv",
    log:
        "<logs>/import_networks/{architecture}/{optimizer}.log",
    conda:
        "../envs/torch.yaml"
    threads: 1
    resources:
        gpu=GPUS,
        device=config["device"],
        gpu_memory=str(config["gpu_memory"]),
    params:
        code=code_id("import_weights.py", "architectures.{architecture}"),
        architecture=architecture_json,
        images=setting("images"),
        first_seed=setting("training", "first_seed", "{optimizer}"),
        # Files copied with their old dates are no younger than what was made of others.
        files=imported_state,
    shell:
        "exec python scripts/import_weights.py --data {input.data:q}"
        " --architecture {wildcards.architecture:q} --architecture-settings {params.architecture:q}"
        " --train-images {params.images[train]} --test-images {params.images[test]}"
        " --train-set {input.train_set:q} --test-set {input.test_set:q}"
        " --first-seed {params.first_seed:q}"
        " --device {resources.device:q} --gpu-memory {resources.gpu_memory:q} --threads {threads}"
        " --weights {output.weights:q} --runs {output.runs:q} > {log:q} 2>&1"
