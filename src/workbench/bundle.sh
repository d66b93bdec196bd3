#!/bin/sh
# Starts the program of this bundle, on a machine without cargo, Python or network. @NEEDS@
here=$(cd "$(dirname "$0")" && pwd) || exit 1
machine=$(uname -sm)
if [ "$machine" != "@MACHINE@" ]; then
    echo "error: this bundle is for @MACHINE@, and this machine is $machine" >&2
    exit 65
fi
have=$(getconf GNU_LIBC_VERSION 2> /dev/null | sed 's/^glibc //')
least=$(printf '%s\n%s\n' "@GLIBC@" "${have:-0}" | sort -t. -k1,1n -k2,2n | head -n 1)
if [ "$least" != "@GLIBC@" ]; then
    echo "error: this bundle needs glibc @GLIBC@ or later, and this machine has ${have:-another C library}." \
        "Make the bundle on a machine whose system is as old as the oldest of those that run it" >&2
    exit 65
fi
WIDER_CLIP_ROOT=${WIDER_CLIP_ROOT:-$here}
export WIDER_CLIP_ROOT
exec "$here/bin/wider-clip" "$@"
