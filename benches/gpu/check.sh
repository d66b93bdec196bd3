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
# cuBLAS, cuRAND and NVRTC come with PyTorch, in nvidia/cu13/lib, nvidia/<library>/lib, or its own folder.
libraries=$("$python" -c '
import importlib.util, pathlib
found = []
for name, pattern in [("nvidia", "*/lib"), ("torch", "lib")]:
    spec = importlib.util.find_spec(name)
    for root in spec.submodule_search_locations if spec else []:
        found += [str(f) for f in sorted(pathlib.Path(root).glob(pattern)) if any(f.glob("*.so*"))]
print(":".join(found))')
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# As .cargo/config.toml sets it for what cargo starts.
CANDLE_BARRIER_POOL_SPIN_LIMIT=0
export LD_LIBRARY_PATH CANDLE_BARRIER_POOL_SPIN_LIMIT
limit=
if command -v timeout > /dev/null; then
    limit="timeout --kill-after=5 ${WIDER_CLIP_GPU_SECONDS:-475}"
fi
exec $limit "$python" "$here/check.py" --program "$program" "$@"
