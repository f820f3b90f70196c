#!/bin/sh
# tests/install.sh PROGRAM PACKAGE...: installs the packages of a program that some tests need, unless
# it is there: on Debian and Ubuntu, as root, and only in containers and machines made for tests.
# Elsewhere it says why not, and those tests are skipped.
set -eu

program=$1
shift
if command -v "$program" > /dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "$program is not installed: that takes root and apt-get. Its tests will be skipped." >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" > /dev/null; }; then
  echo "apt-get could not install $*. The tests of $program will be skipped." >&2
fi
