#!/usr/bin/env bash
# Builds .venv-lmms, with lmms-eval and this package, for `make test-lmms-eval`.
#
# 1.8 GB, about a minute and a half. Does nothing if the environment is up to date with this file, the
# pins, our entry points and Python. PYTHON names the interpreter.
#
# lmms-eval is installed without its dependencies: torchvision, decord and a hundred more, which our
# tasks do not need, and of which torchvision breaks if its build does not match torch's. The packages
# that it does import are listed below.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-lmms
pins=constraints-lmms.txt
python=${PYTHON:-python3}
lmms_eval=lmms-eval==0.7.3
imported=(
    transformers accelerate datasets evaluate loguru openai pillow pyyaml sympy python-dotenv
    tenacity jsonlines sacrebleu pytablewriter tqdm-multiprocess aiohttp httpx scikit-learn pydantic anls
)
ours=(click jinja2 numpy)

mkdir -p "$venv"
exec 9<"$venv"
flock 9 # one build at a time

entry_points=$(sed -n '/^\[project.entry-points/,/^$/p' pyproject.toml)
key="$("$python" -VV | tr '\n' ' ') $(cat "$0" "$pins" - <<<"$entry_points" | sha256sum | cut -d' ' -f1)"
if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$key" ]; then
    echo "lmms_env: $venv is up to date"
    exit 0
fi

say() { echo "lmms_env: $*"; }
install() { "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c "$pins" "$@"; }

say "building $venv with $("$python" -V) (1.8 GB, about a minute and a half)"
"$python" -m venv --clear "$venv"
say "installing torch"
install torch # first and alone, to keep the build of torch that this machine's index offers
say "installing what lmms-eval imports"
install "${imported[@]}" "${ours[@]}"
say "installing $lmms_eval and this package"
install --no-deps "$lmms_eval"
install hatchling editables
install --no-deps --no-build-isolation -e .
"$venv/bin/python" - <<'PYTHON'
from lmms_eval.models import get_model_manifest

print("lmms_env: lmms-eval finds", get_model_manifest("visionthink").model_id)
PYTHON

echo "$key" >"$venv/stamp"
say "done"
