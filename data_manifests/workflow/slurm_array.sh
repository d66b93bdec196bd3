#!/usr/bin/env bash
# A suite as two Slurm job arrays, features and then the rest, with nothing but Slurm and the program on the nodes:
#     data_manifests/workflow/slurm_array.sh SUITE [options of sbatch, such as --partition=cpu --time=4:00:00]
# Afterwards `wider-clip gather --suite SUITE`; the same command again submits what is still missing.
# WIDER_CLIP_PROGRAM names the program, WIDER_CLIP_JOBS how many jobs at most: one of them takes several lines then.
set -euo pipefail
here=$(realpath "$(dirname "$0")") suite=$1
shift
export WIDER_CLIP_RESULTS=${WIDER_CLIP_RESULTS:-$PWD/results}
work=$WIDER_CLIP_RESULTS/workflow/$suite/array
mkdir -p "$work/logs"
"${WIDER_CLIP_PROGRAM:-wider-clip}" plan --suite "$suite" --out "$work/plan.jsonl"
{ grep '"what": *"features"' "$work/plan.jsonl" || true; } > "$work/features.jsonl"
{ grep -v '"what": *"features"' "$work/plan.jsonl" || true; } > "$work/rest.jsonl"
after=()
for stage in features rest; do
    lines=$(wc -l < "$work/$stage.jsonl") most=${WIDER_CLIP_JOBS:-500}
    [ "$lines" -gt 0 ] || continue
    jobs=$((lines < most ? lines : most))
    memory=$(sed 's/.*"memory_mb": *\([0-9]*\).*/\1/' "$work/$stage.jsonl" | sort -n | tail -n 1)
    id=$(sbatch --parsable --job-name="$suite-$stage" --array="1-$jobs" --requeue --mem=$((200 + memory * 3 / 2)) \
        --output="$work/logs/$stage-%a.log" --open-mode=append ${after[@]+"${after[@]}"} "$@" \
        --wrap="awk -v n=\$SLURM_ARRAY_TASK_ID 'NR % $jobs == n % $jobs' $(printf '%q' "$work/$stage.jsonl") | bash $(printf '%q %q' "$here/cell.sh" "$suite")")
    after=("--dependency=afterany:$id") # not afterok: one cell with wrong data would keep back all the others
    echo "$stage: $lines lines in $jobs jobs, $id"
done
