#!/usr/bin/env bash
# The seventeen models at full size against PyTorch, and CLIP's text tower on 100 captions:
#
#     tests/reference/parity.sh [FOLDER [MODEL ...]]
#
# In FOLDER (default .wider-clip/parity, 14 GB, removed at the end where it was not there before) checkpoints with seeded
# random weights are written under the published names: f32 and bf16 as safetensors, f16 as pytorch_model.bin. Then
# tests/parity.rs and tests/clip.rs read them through the loader of the hub's files. About ten minutes on two cores, and
# before the first run 6 GB of Python packages. Models that are named are the only ones (0.6 GB a type for
# clip_vit_b32.openai, 0.1 for convnext_tiny.fb_in1k and efficientnet_b2.ra_in1k).
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-.wider-clip/parity}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- all
existed=$([ -d "$out" ] && echo yes || echo no)
mkdir -p "$out"
out=$(cd "$out" && pwd)

python=${WIDER_CLIP_PYTHON:-}
if [ -z "$python" ]; then
    python=.wider-clip/reference-backbones/bin/python
    stamp=.wider-clip/reference-backbones/requirements.txt
    if ! cmp -s tests/reference/requirements-backbones.txt "$stamp"; then
        python3 -m venv --clear .wider-clip/reference-backbones
        "$python" -m pip install -q -r tests/reference/requirements-backbones.txt
        cp tests/reference/requirements-backbones.txt "$stamp"
    fi
fi

for model in "$@"; do
    "$python" tests/reference/backbones.py --full "$model" --out "$out/f32"
    "$python" tests/reference/backbones.py --full "$model" --out "$out/bf16" --dtype bf16
    "$python" tests/reference/backbones.py --full "$model" --out "$out/f16" --dtype f16 --format bin
done
"$python" tests/reference/clip_text.py --out "$out/f32"

# What is lacking from here on is no skip but a failure.
export WIDER_CLIP_DEMAND=parity
for dtype in f32 bf16 f16; do
    WIDER_CLIP_PARITY="$out/$dtype" cargo test --test parity -- --nocapture full_
done
case " $* " in
    *" all "* | *" clip_vit_b32.openai "*)
        WIDER_CLIP_PARITY="$out/f32" cargo test --test clip -- --nocapture full_
        ;;
esac
[ "$existed" = yes ] || rm -rf "$out"
