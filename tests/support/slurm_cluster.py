"""A Slurm cluster of one node, this machine, with two partitions and GPUs that exist on paper only.

Snakemake's Slurm executor ignores SLURM_CONF, so the configuration must lie in /etc/slurm.
"""

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CONFIGURATION = Path("/etc/slurm")
HEADER = "# A cluster of one node, made by the tests of this project.\n"
CORES, MEMORY_MB = 4, 64_000
GPUS = ("/dev/null", "/dev/zero")  # Slurm wants devices that exist
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")

# Finished jobs stay listed for an hour, so that the tests can ask what became of them. Nothing here
# needs systemd, cgroups or a database.
SLURM_CONF = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2
MinJobAge=3600
KillWait=15
ReturnToService=2
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:{gpus}
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=500
PartitionName=gpu Nodes={host} Default=NO MaxTime=INFINITE State=UP DefMemPerCPU=500
"""


@dataclass(frozen=True)
class SlurmJob:
    """What Slurm says of a job. rule: of Snakemake; gpus: those it was given."""

    rule: str
    partition: str
    state: str
    gpus: int


class Cluster:
    """The running cluster."""

    def jobs(self) -> list[SlurmJob]:
        """All jobs since the cluster was started, oldest first."""
        listing = _output("scontrol", "show", "job", "--oneliner")
        found = []
        for line in filter(None, listing.splitlines()):
            fields = dict(re.findall(r"(\w+)=(\S*)", line))
            if "JobState" not in fields:  # "No jobs in the system"
                continue
            rule = re.match(r"rule_([a-z_0-9]+?)(?:_wildcards|$)", fields.get("Comment", ""))
            gpus = re.search(r"\bTresPer\w+=\S*gpu:(\d+)", line)
            found.append(
                SlurmJob(
                    rule=rule[1] if rule else "",
                    partition=fields["Partition"],
                    state=fields["JobState"],
                    gpus=int(gpus[1]) if gpus else 0,
                )
            )
        return found


def why_not() -> str | None:
    """Why no cluster can be started here; None if one can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        install = "tests/install.sh slurmctld slurm-wlm munge"
        return f"Slurm is not installed ({', '.join(missing)} missing): {install}"
    if os.geteuid() != 0:
        return "only root can start Slurm's daemons"
    file = CONFIGURATION / "slurm.conf"
    if file.exists() and not file.read_text().startswith(HEADER):
        return f"this machine has a Slurm of its own: {file}"
    return None


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start the daemons, with their state and logs in the folder, and stop them at the end."""
    host = socket.gethostname().split(".")[0]
    files = {
        "slurm.conf": SLURM_CONF.format(
            host=host, folder=folder, cores=CORES, memory=MEMORY_MB, gpus=len(GPUS)
        ),
        "gres.conf": "".join(f"NodeName={host} Name=gpu File={device}\n" for device in GPUS),
        "cgroup.conf": "CgroupPlugin=cgroup/v1\n",  # ends the search for cgroups; unused
    }
    CONFIGURATION.mkdir(exist_ok=True)
    for name, text in files.items():
        (CONFIGURATION / name).write_text(HEADER + text)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    os.environ["SLURM_CONF"] = str(CONFIGURATION / "slurm.conf")
    daemons = []
    try:
        if not _succeeds("munge", "-n"):
            daemons.append(_start_munge(folder))
            _wait_for(lambda: _succeeds("munge", "-n"), "munge")
        daemons.append(_start(folder, "slurmctld", "-D"))
        _wait_for(lambda: "is UP" in _output("scontrol", "ping"), "slurmctld")
        daemons.append(_start(folder, "slurmd", "-D", "-N", host))
        _wait_for(lambda: set(_output("sinfo", "-h", "-o", "%t").split()) == {"idle"}, "the node")
        yield Cluster()
        _output("scancel", "--state=PENDING,RUNNING", "--user=root")
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(timeout=60)
        for name in files:
            (CONFIGURATION / name).unlink()
        del os.environ["SLURM_CONF"]


def _start_munge(folder: Path) -> subprocess.Popen[bytes]:
    """The authentication service, which wants folders of its own user."""
    for name in ("/run/munge", "/var/log/munge", "/var/lib/munge"):
        Path(name).mkdir(parents=True, exist_ok=True)
        shutil.chown(name, "munge", "munge")
    return _start(folder, "runuser", "-u", "munge", "--", shutil.which("munged"), "--foreground")


def _start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    with open(folder / f"{command[0]}.log", "wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def _wait_for(ready: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} did not come up within {seconds:.0f} s")
        time.sleep(0.2)


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
