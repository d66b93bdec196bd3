"""Trims `cargo metadata` to the crates whose types a notebook's variable may have.

The kernel finds the type of a variable with an embedded rust-analyzer, which loads the sources of every crate that the
metadata lists: some 350, and most of a set-up cell's time. Kept here are the support crate, the crates that it
re-exports with their families (`polars-core` is of the family of `polars`) but for parts of them that no notebook
holds a value of, and the crates of number types that their signatures show. A type of any other crate would need an
annotation in the cell. The standard library's metadata, which names no support crate, passes through whole.
"""

import json
import re
import sys

SUPPORT = "wider-clip"
# What src/lib.rs re-exports, and the support crate with its inner crates.
FAMILIES = {"candle", "hf", "image", "linfa", "ndarray", "plotly", "polars", "rayon", "wider"}
NUMBERS = {"half", "num-traits", "num-complex", "safetensors"}
# Inside the families: kernels, engines and file formats.
INNER = {
    "candle-kernels",
    "image-webp",
    "polars-arrow-format",
    "polars-async",
    "polars-compute",
    "polars-config",
    "polars-expr",
    "polars-io",
    "polars-mem-engine",
    "polars-ooc",
    "polars-parquet",
    "polars-parquet-format",
    "polars-row",
    "polars-stream",
    "rayon-core",
}


def family(name):
    return re.split(r"[-_]", name)[0]


def trimmed(metadata):
    support = next((package for package in metadata["packages"] if package["name"] == SUPPORT), None)
    if support is None:
        return metadata
    members = set(metadata.get("workspace_members") or [])
    kept = {
        package["id"]
        for package in metadata["packages"]
        if package["id"] in members
        or package["name"] == SUPPORT
        or package["name"] in NUMBERS
        or (family(package["name"]) in FAMILIES and package["name"] not in INNER)
    }
    metadata["packages"] = [package for package in metadata["packages"] if package["id"] in kept]
    resolve = metadata.get("resolve")
    if resolve:
        resolve["nodes"] = [node for node in resolve["nodes"] if node["id"] in kept]
        for node in resolve["nodes"]:
            node["dependencies"] = [name for name in node["dependencies"] if name in kept]
            node["deps"] = [dep for dep in node.get("deps", []) if dep["pkg"] in kept]
    return metadata


if __name__ == "__main__":
    json.dump(trimmed(json.load(sys.stdin)), sys.stdout)
