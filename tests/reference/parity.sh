#!/usr/bin/env bash
# The seventeen models at full size against PyTorch, and CLIP's text tower on 100 captions:
#
#     tests/reference/parity.sh [FOLDER]
#
# In FOLDER (default .wider-clip/parity, 14 GB, removed at the end where it was not there before) checkpoints with seeded
# random weights are written under the published names: f32 and bf16 as safetensors, f16 as pytorch_model.bin. Then
# tests/parity.rs and tests/clip.rs read them through the loader of the hub's files. About ten minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-.wider-clip/parity}
existed=$([ -d "$out" ] && echo yes || echo no)
mkdir -p "$out"
out=$(cd "$out" && pwd)

python=${WIDER_CLIP_PYTHON:-}
if [ -z "$python" ]; then
    python=.wider-clip/reference-backbones/bin/python
    if [ ! -x "$python" ]; then
        python3 -m venv .wider-clip/reference-backbones
        "$python" -m pip install -q -r tests/reference/requirements-backbones.txt
    fi
fi

"$python" tests/reference/backbones.py --full all --out "$out/f32"
"$python" tests/reference/clip_text.py --out "$out/f32"
"$python" tests/reference/backbones.py --full all --out "$out/bf16" --dtype bf16
"$python" tests/reference/backbones.py --full all --out "$out/f16" --dtype f16 --format bin

WIDER_CLIP_PARITY="$out/f32" cargo test --test parity --test clip -- --nocapture full_
for dtype in bf16 f16; do
    WIDER_CLIP_PARITY="$out/$dtype" cargo test --test parity -- --nocapture full_
done
[ "$existed" = yes ] || rm -rf "$out"
