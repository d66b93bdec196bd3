#!/usr/bin/env bash
# Runs the cells whose plan lines come on standard input, each by itself; used by slurm_array.sh and hyperqueue.sh.
# Ends with 0, or with the last code that was none. 75 is tried again, ever later; what is wrong (65) costs no other cell.
set -uo pipefail
program=${WIDER_CLIP_PROGRAM:-wider-clip} last=0
while read -r line; do
    cell=$(sed 's/.*"cell": *"\([^"]*\)".*/\1/' <<< "$line")
    for try in 1 2 3 4 5; do
        "$program" run --suite "$1" --cell "$cell" < /dev/null
        code=$?
        [ $code = 75 ] || break
        sleep $((try * ${WIDER_CLIP_WAIT:-60}))
    done
    [ $code = 0 ] || { last=$code; echo "$cell ended with $code" >&2; }
done
exit $last
