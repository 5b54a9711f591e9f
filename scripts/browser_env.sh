#!/usr/bin/env bash
# Installs what `make test-browser` needs beside .venv: Debian's package of Chromium.
#
# Does nothing if there is a Chromium, or CHROMIUM names one. Playwright, which drives it, is part of
# the dev extra; its own browsers are not downloaded.
set -euo pipefail

if [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null; then
    echo "browser_env: ${CHROMIUM:-$(command -v chromium)} is installed"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "browser_env: install Chromium and name its program in CHROMIUM" >&2
    exit 1
fi
root=()
[ "$(id -u)" = 0 ] || root=(sudo)
echo "browser_env: installing chromium"
"${root[@]}" apt-get update -qq
"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium
echo "browser_env: $(chromium --version)"
