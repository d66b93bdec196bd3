#!/usr/bin/env bash
# A suite with HyperQueue: features, then the rest, then what is there. Needs its program `hq` (one file, no administrator,
# no Python), a server (`hq server start`) and workers: `hq worker start` on each machine, or `hq alloc add slurm`, by which
# Slurm starts them. A worker that is lost costs what it was running, which others begin again.
#     data_manifests/workflow/hyperqueue.sh SUITE [options of hq submit, such as --resource gpus/nvidia=1]
# WIDER_CLIP_PROGRAM names the program, WIDER_CLIP_THREADS the cores and threads of a task (2).
set -euo pipefail
here=$(realpath "$(dirname "$0")") suite=$1
shift
export WIDER_CLIP_PROGRAM=${WIDER_CLIP_PROGRAM:-wider-clip} WIDER_CLIP_RESULTS=${WIDER_CLIP_RESULTS:-$PWD/results}
work=$WIDER_CLIP_RESULTS/workflow/$suite/hyperqueue
mkdir -p "$work/logs"
threads=${WIDER_CLIP_THREADS:-2}
# Tasks have the environment of the worker that runs them, so what is set here goes with them: where things lie, how the hub is
# spoken to. Not the hub's token, which everybody could read in a command line: what tasks need has been fetched by the plan.
settings=(--env "RAYON_NUM_THREADS=${RAYON_NUM_THREADS:-$threads}")
for name in $(compgen -e | grep -xE 'WIDER_CLIP_.*|HF_.*|HUGGINGFACE_HUB_CACHE|XDG_CACHE_HOME'); do
    [ "$name" = HF_TOKEN ] || settings+=(--env "$name=${!name}")
done
"$WIDER_CLIP_PROGRAM" plan --suite "$suite" --out "$work/plan.jsonl"
{ grep '"what": *"features"' "$work/plan.jsonl" || true; } > "$work/features.jsonl"
{ grep -v '"what": *"features"' "$work/plan.jsonl" || true; } > "$work/rest.jsonl"
for stage in features rest; do
    [ -s "$work/$stage.jsonl" ] || continue
    memory=$(sed 's/.*"memory_mb": *\([0-9]*\).*/\1/' "$work/$stage.jsonl" | sort -n | tail -n 1)
    # A failed line keeps back no other; gather names it.
    hq submit --name "$suite-$stage" --each-line "$work/$stage.jsonl" --wait --crash-limit 10 \
        --cpus "$threads" --resource "mem=$((200 + memory * 3 / 2))" \
        --stdout "$work/logs/$stage-%{TASK_ID}.out" --stderr "$work/logs/$stage-%{TASK_ID}.err" "${settings[@]}" "$@" \
        -- bash -c 'printf "%s\n" "$HQ_ENTRY" | bash "$0" "$1"' "$here/cell.sh" "$suite" || true
done
exec "$WIDER_CLIP_PROGRAM" gather --suite "$suite"
