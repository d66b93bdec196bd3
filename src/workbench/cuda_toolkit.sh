#!/bin/sh
# What `cargo build --features cuda` needs, on Linux, with or without a GPU, without root.
#
#     sh src/workbench/cuda_toolkit.sh    # once: fills .wider-clip/cuda (0.7 GB of downloads, 1.2 GB on disk)
#     . .wider-clip/cuda/env.sh           # in each shell, before cargo and what it built
#     cargo build --features cuda
#
# The toolkit comes as pinned Python wheels (requirements-cuda.txt). They lack three things that a linker asks for:
# library names without a version, a folder `lib64`, and the driver's library, which only a machine with a GPU has.
# For the last one a stand-in is compiled: every function of the driver that cudarc declares, each answering "no device".
# It is linked against, and loaded only where there is no driver.
#
# An installed toolkit is left alone and used as it is. PYTHON names the Python, CC the C compiler.
set -eu
cd "$(dirname "$0")/../.."
root=$PWD
folder=$root/.wider-clip/cuda
home=$folder/site/nvidia/cu13
python=${PYTHON:-python3}
cc=${CC:-cc}

fail() {
    echo "cuda_toolkit.sh: $1" >&2
    exit 1
}

# As one word of a shell, whatever is in it.
quoted() {
    printf "'%s'" "$(printf %s "$1" | sed "s/'/'\\\\''/g")"
}

[ "$(uname -s)" = Linux ] || fail "needs Linux, found $(uname -s)"
command -v cargo > /dev/null || fail "needs cargo on the PATH"
case $root in
    *:*) fail "needs a folder without a colon in its name, which would divide LD_LIBRARY_PATH, found $root" ;;
esac

for nvcc in "${NVCC:-}" "$(command -v nvcc || true)" "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc"; do
    case $nvcc in
        "" | "$home"/*) ;;
        *)
            if [ -x "$nvcc" ]; then
                echo "found a CUDA toolkit, $nvcc, and leave it alone: with its folder on the PATH," \
                    "\`cargo build --features cuda\` needs nothing from here"
                [ -n "${CUDA_COMPUTE_CAP:-}" ] || command -v nvidia-smi > /dev/null ||
                    echo "no nvidia-smi tells the kind of GPU: set CUDA_COMPUTE_CAP, 80 for Ampere and all later ones"
                exit 0
            fi
            ;;
    esac
done

command -v "$cc" > /dev/null || fail "needs a C compiler, $cc: \`apt install build-essential\` (Debian, Ubuntu)"
command -v g++ > /dev/null || fail "nvcc needs g++: \`apt install build-essential\` (Debian, Ubuntu)"
"$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))' 2> /dev/null ||
    fail "needs Python 3.9 or later with venv: \`apt install python3-venv\` (Debian, Ubuntu)"

# The wheels, once for a list of them.
list=src/workbench/requirements-cuda.txt
stamp=$folder/requirements-cuda.txt
if ! cmp -s "$list" "$stamp"; then
    echo "unpacking the CUDA toolkit into $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    "$python" -m venv "$folder/venv"
    "$folder/venv/bin/python" -m pip install --disable-pip-version-check --no-input --quiet --no-deps \
        --only-binary=:all: --require-hashes --target "$folder/site" -r "$list"
    rm -r "$folder/venv"
    cp "$list" "$stamp"
fi

# The names that a linker looks for.
for name in cudart cublas cublasLt curand nvrtc; do
    found=
    for file in "$home/lib/lib$name".so.[0-9]*; do
        found=$file
    done
    [ -e "$found" ] || fail "expected lib$name.so.<version> in $home/lib, found none"
    ln -sf "$(basename "$found")" "$home/lib/lib$name.so"
done
ln -sfn lib "$home/lib64"

# The stand-in for the driver, from the declarations in the source of cudarc.
mkdir -p "$home/lib/stubs" "$folder/no-driver"
metadata=$(cargo metadata --locked --format-version 1 --features cuda)
source=$(printf %s "$metadata" | "$python" -c '
import json, pathlib, sys
packages = json.load(sys.stdin)["packages"]
manifest = next(p["manifest_path"] for p in packages if p["name"] == "cudarc")
print(pathlib.Path(manifest).parent / "src/driver/sys/mod.rs")')
{
    echo '/* CUDA_ERROR_NO_DEVICE is 100. */'
    sed -n 's/^ *pub unsafe fn \(cu[A-Z][A-Za-z0-9_]*\)(.*/int \1(void) { return 100; }/p' "$source" | sort -u
} > "$folder/no_driver.c"
functions=$(grep -c '^int' "$folder/no_driver.c") || fail "expected the driver's functions in $source, found none"
"$cc" -shared -fPIC -O1 -Wl,-soname,libcuda.so.1 -o "$home/lib/stubs/libcuda.so" "$folder/no_driver.c"
ln -sf "$home/lib/stubs/libcuda.so" "$folder/no-driver/libcuda.so.1"

cat > "$folder/env.sh" << END
# Written by cuda_toolkit.sh; to be read by a shell: . .wider-clip/cuda/env.sh
export CUDA_HOME=$(quoted "$home")
export CUDA_PATH="\$CUDA_HOME" CUDA_ROOT="\$CUDA_HOME" CUDA_TOOLKIT_ROOT_DIR="\$CUDA_HOME"
export PATH="\$CUDA_HOME/bin:\$PATH"
export LD_LIBRARY_PATH="\$CUDA_HOME/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
# A GPU that is here says what it is; for one elsewhere, what runs on Ampere and everything later.
if [ -z "\${CUDA_COMPUTE_CAP:-}" ] && ! nvidia-smi > /dev/null 2>&1; then
    export CUDA_COMPUTE_CAP=80
fi
# Without a driver its place is taken by one that answers "no device".
if ! $(quoted "$python") -c 'import ctypes; ctypes.CDLL("libcuda.so.1")' 2> /dev/null; then
    export LD_LIBRARY_PATH="\$LD_LIBRARY_PATH":$(quoted "$folder/no-driver")
fi
END
echo "ready: toolkit in $home, a stand-in for $functions functions of the driver. Now:"
echo "    . .wider-clip/cuda/env.sh && cargo build --features cuda"
