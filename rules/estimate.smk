# The configuration -> what it costs. Nothing depends on it.


localrules:
    estimate,


rule estimate:
    log:
        "<logs>/estimate.log",
    conda:
        "../envs/torch.yaml"
    params:
        settings=json.dumps(config),
    # The answer goes to the terminal.
    shell:
        "exec python scripts/estimate.py --settings {params.settings:q} 2> {log:q}"
