#!/bin/sh
# The whole check, in at most eight minutes, on a machine with an NVIDIA GPU, its driver, and a Python with PyTorch, timm and
# transformers; neither cargo nor network:
#
#     tar xzf gpu.tar.gz && sh wider-clip/benches/gpu/check.sh
#
# Arguments go to check.py: --minutes 5, --out FOLDER, or `--device cpu --quick` to try it without a GPU.
# WIDER_CLIP_PYTHON names the Python, WIDER_CLIP_GPU our program where it is not the bundle's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${WIDER_CLIP_PYTHON:-python3}
program=${WIDER_CLIP_GPU:-$here/../../bin/gpu}
if [ ! -x "$program" ]; then
    echo "check.sh: expected our program at $program, found none;" \
        "WIDER_CLIP_GPU names it (README.md beside this file)" >&2
    exit 66
fi
# cuBLAS, cuRAND and NVRTC come with PyTorch, in nvidia/cu13/lib or in nvidia/<library>/lib.
libraries=$("$python" -c '
import importlib.util, pathlib
spec = importlib.util.find_spec("nvidia")
roots = map(pathlib.Path, spec.submodule_search_locations if spec else [])
print(":".join(str(f) for root in roots for f in sorted(root.glob("*/lib")) if any(f.glob("*.so*"))))')
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# As .cargo/config.toml sets it for what cargo starts.
CANDLE_BARRIER_POOL_SPIN_LIMIT=0
export LD_LIBRARY_PATH CANDLE_BARRIER_POOL_SPIN_LIMIT
limit=
if command -v timeout > /dev/null; then
    limit="timeout --kill-after=5 ${WIDER_CLIP_GPU_SECONDS:-475}"
fi
exec $limit "$python" "$here/check.py" --program "$program" "$@"
