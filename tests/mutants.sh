#!/usr/bin/env bash
# Mutation testing: what decides a number is changed, line by line, and a test must notice.
#
#     tests/mutants.sh [PART ...]         parts: splits metrics forecast storage results decode hub; all by default
#     MUTANTS="--shard 0/5" tests/mutants.sh hub         more words for cargo-mutants, here to try a fifth of them
#
# Needs cargo-mutants (`cargo install cargo-mutants --locked`). What was found stands in tests/README.md; the lists of
# caught and surviving mutants are left in .wider-clip/mutants/<part>/mutants.out. JOBS is for cargo's own jobs, LONGEST the
# seconds that tests may take: more on a busy machine, where a mutant that runs out of time would count as noticed.
#
# Tests link the whole library, so that a mutant would cost a minute. Here they link a small one of the same name, made of
# the mutated crates alone, in a copy of the project: a mutant costs seconds. Mutants come one after the other.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
place=${MUTANTS_FOLDER:-$root/.wider-clip/mutants}
copy=$place/project
[ $# -gt 0 ] || set -- splits metrics forecast storage results decode hub
export CARGO_BUILD_JOBS=${JOBS:-2}

# The project as it is now, without what git ignores. Unchanged files keep their times, so that little is built anew.
mkdir -p "$copy"
git ls-files -co --exclude-standard -z | grep -zv '^notebooks/' |
    while IFS= read -r -d '' file; do
        [ -f "$file" ] || continue
        cmp -s "$file" "$copy/$file" || { mkdir -p "$copy/$(dirname "$file")" && cp "$file" "$copy/$file"; }
    done
# What the project no longer has.
for folder in src tests data_manifests; do
    [ ! -d "$copy/$folder" ] || (cd "$copy" && find "$folder" -type f -print0) |
        while IFS= read -r -d '' file; do [ -e "$file" ] || rm -f "$copy/$file"; done
done
# Below the project cargo reads its settings anyway, and would take each flag twice.
case $copy in "$root"/*) rm -f "$copy/.cargo/config.toml" ;; esac

# What cargo has built of other crates is not built again. A build beside this one may move files meanwhile.
[ -d "$copy/target" ] || [ ! -d target ] || cp -a --reflink=auto target "$copy/target" || true

# The small library: the crates beneath, and of the thin crate on top the rows.
small=$copy/small
metrics=(metrics metrics_parts drift_metrics wilds_intervals over_sets)
results=(rows rows_parts)
decode=(images images_bands images_bombs images_kinds)
hub=(hub hub_together)
together=(hub_cache hub_datasets hub_faults hub_hostile hub_https hub_models hub_python hub_settings)
mkdir -p "$small"
ln -sfn ../tests "$small/tests"
ln -sfn ../data_manifests "$small/data_manifests"
mkdir -p "$small/results"
for file in src/results/*.rs; do
    cmp -s "$file" "$small/results/$(basename "$file")" || cp "$file" "$small/results/"
done
write() { cmp -s - "$1" < "$1.new" || mv "$1.new" "$1"; rm -f "$1.new"; }
cat > "$small/lib.rs.new" << 'END'
//! The part of the library that mutants.sh mutates, under its name.
#[cfg(feature = "rows")]
pub mod results;
#[cfg(feature = "rows")]
pub mod features {
    //! The one thing that rows need of the crate of backbones, which takes long to compile.
    pub struct SetAside {
        pub row: usize,
        pub id: String,
        pub reason: String,
    }
}
#[cfg(feature = "data")]
pub use polars;
#[cfg(feature = "data")]
pub use wider_clip_data::{hub, images, published};
#[cfg(any(feature = "data", feature = "rows"))]
pub use wider_clip_data::{datasets, manifest};
pub use wider_clip_numbers::{clustering, error, guard, key, metrics, neighbours, probe, progress, random, splits, storage};
pub use ndarray;
pub use rayon;
#[cfg(feature = "rows")]
pub mod prelude {
    pub use crate::results::{ResultRow, frame};
    pub use ndarray::{Array2, array};
    pub use polars::prelude::{DataFrame, IntoLazy, NamedFrom, SortMultipleOptions, col, df, lit};
}
END
write "$small/lib.rs"
# One program of several test files is linked once. Each has its own `child`; the one that is started is at the top.
{
    for name in "${together[@]}"; do printf '#[path = "tests/%s.rs"]\nmod %s;\n' "$name" "$name"; done
    printf '#[path = "tests/support/tls.rs"]\nmod tls;\n\n#[test]\n#[ignore]\nfn child() {\n'
    printf '    if std::env::var_os("TEST_DISTRUST").is_none() {\n'
    printf '        wider_clip::hub::trust_for_tests(tls::CERTIFICATE);\n    }\n    support::hub_child::child();\n}\n'
    printf '#[path = "tests/support/mod.rs"]\nmod support;\nuse support::hub_server;\n'
} > "$small/hub_together.rs.new"
write "$small/hub_together.rs"
{
    printf '[package]\nname = "small"\nversion = "0.0.0"\nedition = "2024"\nautotests = false\n\n'
    printf '[lib]\nname = "wider_clip"\npath = "lib.rs"\ntest = false\ndoctest = false\n\n'
    # All that the project stands on, used or not: then these crates have the features that they have in the project,
    # and what it has built of them serves here.
    printf '[features]\nrows = ["dep:wider-clip-data"]\ndata = ["dep:wider-clip-data"]\n\n[dependencies]\n'
    printf 'wider-clip-numbers.workspace = true\nwider-clip-data = { workspace = true, optional = true }\n'
    sed -n '/^\[workspace.dependencies\]/,/^\[package\]/s/^\([a-z][a-z0-9_-]*\) = .*/\1.workspace = true/p' Cargo.toml |
        grep -v '^wider-clip\|^name\|^version'
    for name in splits "${metrics[@]}" forecast storage "${results[@]}" "${decode[@]}" "${hub[@]}"; do
        path=tests/$name.rs
        [ "$name" != hub_together ] || path=hub_together.rs
        printf '\n[[test]]\nname = "%s"\npath = "%s"\n' "$name" "$path"
    done
} > "$small/Cargo.toml.new"
write "$small/Cargo.toml"
{
    sed 's|^members = \[|members = ["small", |; s|^default-members = .*|default-members = ["small"]|' Cargo.toml
    printf '\n# Quick to compile: mutants are tested for what they do, not for how fast.\n'
    for crate in small wider-clip-data wider-clip-numbers; do
        printf '[profile.dev.package.%s]\nopt-level = 0\n' "$crate"
    done
} > "$copy/Cargo.toml.new"
write "$copy/Cargo.toml"

for part in "$@"; do
    case $part in
        splits) from=(wider-clip-numbers 'src/numbers/splits/*.rs') tests=(splits) ;;
        metrics) from=(wider-clip-numbers 'src/numbers/metrics/*.rs') tests=("${metrics[@]}") ;;
        forecast) from=(wider-clip-numbers 'src/numbers/metrics/forecast/*.rs') tests=(forecast) ;;
        storage) from=(wider-clip-numbers 'src/numbers/storage.rs' 'src/numbers/key.rs') tests=(storage) ;;
        results) from=(small 'small/results/*.rs') tests=("${results[@]}") ;;
        decode) from=(wider-clip-data 'src/data/images/decode.rs') tests=("${decode[@]}") ;;
        hub) from=(wider-clip-data 'src/data/hub/*.rs') tests=("${hub[@]}") ;;
        *) echo "$part: expected splits, metrics, forecast, storage, results, decode or hub" >&2 && exit 2 ;;
    esac
    files=()
    for file in "${from[@]:1}"; do files+=(--file "$file"); done
    # To both of its calls of cargo, the build and the test.
    targets=()
    for test in "${tests[@]}"; do targets+=("--cargo-arg=--test=$test"); done
    case $part in
        decode) targets+=(--cargo-arg=--features=small/data) ;;
        # They mostly wait: for silent servers, and between tries.
        hub) export RUST_TEST_THREADS=16 && targets+=(--cargo-arg=--features=small/data) ;;
        results) targets+=(--cargo-arg=--features=small/rows) ;;
    esac
    mkdir -p "$place/$part"
    # The unchanged project first: cargo-mutants would test the mutated package, which has no tests of its own.
    (cd "$copy" && cargo test --package small "${targets[@]#--cargo-arg=}")
    # What stands under this name afterwards is of this run.
    old=$place/$part/mutants.out
    [ ! -e "$old" ] || { rm -rf "$old.old" && mv "$old" "$old.old"; }
    # Two: mutants survived. Three: one did not end. Both are in the lists. One is a word that it does not know.
    cargo mutants --dir "$copy" --in-place --package "${from[0]}" "${files[@]}" --test-package small --baseline skip \
        --output "$place/$part" --timeout "${LONGEST:-60}" --build-timeout 900 "${targets[@]}" ${MUTANTS:-} ||
        case $? in 2 | 3) ;; *) exit 1 ;; esac
done
