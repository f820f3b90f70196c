#!/bin/sh
# Installs Slurm for the tests of the cluster profile: on Debian and Ubuntu, as root, and only in
# containers and machines made for tests. Elsewhere it says why not, and those tests are skipped.
set -eu

if command -v slurmctld > /dev/null && command -v slurmd > /dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "Slurm is not installed: that takes root and apt-get. The Slurm tests will be skipped." >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends slurm-wlm munge > /dev/null; }; then
  echo "apt-get could not install slurm-wlm and munge. The Slurm tests will be skipped." >&2
fi
