#!/bin/sh
# Installs Chromium for the tests of the agreement report: on Debian and Ubuntu, as root. Elsewhere
# it says why not, and those tests are skipped.
set -eu

if command -v chromium > /dev/null && command -v chromedriver > /dev/null; then
  exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "Chromium is not installed: that takes root and apt-get. Its tests will be skipped." >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium chromium-driver > /dev/null; }; then
  echo "apt-get could not install chromium and chromium-driver. Their tests will be skipped." >&2
fi
