#!/usr/bin/env bash
# Builds .venv-clients, with the clients that `make test-clients` asks through the gateway: Python
# packages, and one of npm.
#
# About 350 MB and a minute. Does nothing if the environment is up to date with this file and Python.
# PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-clients
python=${PYTHON:-python3}
packages=(
    openai==2.54.0 litellm==1.110.2 langchain-openai==1.7.4 llm==0.32.1 instructor==1.17.0
)
node=(openai@6.49.0)

mkdir -p "$venv"
exec 9<"$venv"
flock 9 # one build at a time

key="$("$python" -VV | tr '\n' ' ') $(sha256sum <"$0" | cut -d' ' -f1)"
if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$key" ]; then
    echo "clients_env: $venv is up to date"
    exit 0
fi

echo "clients_env: building $venv with $("$python" -V)"
"$python" -m venv --clear "$venv"
"$venv/bin/python" -m pip install -qq --disable-pip-version-check "${packages[@]}"
(cd "$venv" && npm install --silent --no-audit --no-fund "${node[@]}")

echo "$key" >"$venv/stamp"
echo "clients_env: done"
