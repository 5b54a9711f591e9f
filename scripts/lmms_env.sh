#!/usr/bin/env bash
# Builds .venv-lmms: lmms-eval and this package, for `make test-lmms-eval` and nothing else.
#
# 1.8 GB, about a minute and a half. Does nothing when the environment is there already and neither
# this file, the pins, our entry points nor Python changed. PYTHON names the interpreter.
#
# lmms-eval is installed without its dependencies: with them come torchvision, decord and a hundred
# more, which the tasks run here do not need and of which torchvision breaks where its build and
# torch's differ. What it does import is named below.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-lmms
pins=constraints-lmms.txt
python=${PYTHON:-python3}
lmms_eval=lmms-eval==0.7.3
imported=(
    transformers accelerate datasets evaluate loguru openai pillow pyyaml sympy python-dotenv
    tenacity jsonlines sacrebleu pytablewriter tqdm-multiprocess aiohttp httpx scikit-learn pydantic
)
ours=(click jinja2 numpy)

mkdir -p "$venv"
exec 9<"$venv"
flock 9 # two builds at once would trample on each other

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
install torch # first and alone, so that the build of torch that this machine offers is kept
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
