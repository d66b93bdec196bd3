#!/bin/sh
# What the notebook kernel runs in place of cargo.
#
# The kernel rebuilds one small crate for every cell and calls `cargo build` for it. Cargo would compile the support
# crate and its 300 dependencies a second time for the kernel's own workspace. They are compiled already: cargo built
# them for the program that started this kernel. So a cell goes straight to rustc, which links it against that very
# library; `cargo metadata`, from which the kernel learns the types of variables, is
# trimmed to the crates that matter; every other request goes to the real cargo.
#
# The kernel answers "ok" to a cell whose panic it caught and to one that returned an error. The two notices
# below make such a cell known on its standard output, where the runner of the notebooks looks for them. Behind the text of
# an error stands the place of the `?` that met it.
#
# What a cell prints is read by the kernel line by line, commands among them; a name that a stranger gave must not be
# one. So `println!` and `print!` of a cell go through src/display/text.rs, all on the first line, that no other moves;
# the kernel's own stay what they are. `std::println!` is still there for who wants it. Words that read like a notice are none:
# notices carry a secret, made for this kernel (src/proxy/notices.rs).
#
# Environment, set by `wider-clip kernel`: WIDER_CLIP_REAL_CARGO, WIDER_CLIP_RUSTC, WIDER_CLIP_PYTHON and
# WIDER_CLIP_TRIM (crates_for_types.py), WIDER_CLIP_TARGET, WIDER_CLIP_NOTICE_SECRET,
# WIDER_CLIP_LIB (folder with the support library and the interfaces of its inner crates), WIDER_CLIP_SUFFIX (".so" or ".dylib"), WIDER_CLIP_DEPS and
# WIDER_CLIP_HOST_DEPS (compiled dependencies, and their procedural macros). linker_for_cells.sh says more.
set -eu

verb=
target=
while [ $# -gt 0 ]; do
    case $1 in
        --offline) ;;
        build | check | clean)
            verb=$1
            shift
            break
            ;;
        *)
            if [ "$1" = metadata ]; then
                shift
                whole=$(mktemp)
                trap 'rm -f "$whole"' EXIT
                "$WIDER_CLIP_REAL_CARGO" metadata --filter-platform "$WIDER_CLIP_TARGET" "$@" > "$whole"
                "$WIDER_CLIP_PYTHON" "$WIDER_CLIP_TRIM" < "$whole"
                exit
            fi
            exec "$WIDER_CLIP_REAL_CARGO" "$@"
            ;;
    esac
    shift
done
[ "$verb" != clean ] || exit 0

# Lines under [dependencies] that name anything but the support crate.
others=$(sed -n '/^\[dependencies\]/,$p' Cargo.toml | sed '1d; /^[[:space:]]*$/d; /^wider-clip[[:space:]]*=/d')
if [ -n "$others" ]; then
    # The kernel shows a line of this form to the reader.
    echo "error: no matching package named among those that wider-clip re-exports: $others." \
        "Add it to Cargo.toml, re-export it in src/lib.rs, run \`cargo build\` and restart the kernel" >&2
    exit 101
fi
set --
shadow=
begin=
value=
if grep -q '^wider-clip[[:space:]]*=' Cargo.toml; then
    set -- --extern "wider_clip=$WIDER_CLIP_LIB/libwider_clip$WIDER_CLIP_SUFFIX" \
        --extern "wider_clip=$WIDER_CLIP_LIB/libwider_clip.rlib"
    shadow=' #[allow(unused_macros)] macro_rules! println { () => { ::wider_clip::display::from_cell("", ::std::format_args!(""), true) }; ($($t:tt)+) => { ::wider_clip::display::from_cell(::std::stringify!($($t)+), ::std::format_args!($($t)+), true) } }'
    shadow="$shadow"' #[allow(unused_macros)] macro_rules! print { ($($t:tt)+) => { ::wider_clip::display::from_cell(::std::stringify!($($t)+), ::std::format_args!($($t)+), false) } }'
    begin='::wider_clip::display::line_is_open();'
    value='if ::wider_clip::display::line_is_open() { ::std::println!(); }'
fi

level=$(sed -n 's/^opt-level = "\{0,1\}\([0-9sz]\)"\{0,1\}$/\1/p' Cargo.toml)
# A folder for each cell, which stays: a panic names line and file, and src/proxy/places.rs looks there what the line says.
number=$(sed -n 's/.*fn run_user_code_\([0-9]*\)(.*/\1/p' src/lib.rs | head -n 1)
out=target/cell/${number:-0}
emit=link
[ "$verb" = build ] || emit=metadata
mkdir -p "$out"
# The end of a cell, on both ways. Not of the first, which the kernel runs for itself before it reads what cells print.
cell="[cell ${WIDER_CLIP_NOTICE_SECRET:+$WIDER_CLIP_NOTICE_SECRET }"
end=
grep -q 'fn run_user_code_0(' src/lib.rs || end="::std::println!(\"${cell}ended]\"); ::std::eprintln!(\"${cell}ended]\");"
sed -e 's|println!("EVCXR_PANIC_NOTIFICATION");|::std::println!("'"$cell"'failed: panic]"); ::std::&|' \
    -e 's|println!("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED);|::std::println!("'"$cell"'failed: error]"); ::std::&|' \
    -e 's|println!("{VARIABLE_CHANGED_TYPE}{name}");|::std::&|' \
    -e 's|eprintln!("\({[:?]*}\)", error);|::std::eprintln!("'"$cell"'failed: error]"); ::std::eprintln!("\1", error); ::std::eprintln!("at {}", ::std::panic::Location::caller());|' \
    -e 's|fn from(error: T) -> Self {|#[track_caller] &|' \
    -e "s|^evcxr_variable_store: \*mut u8) -> \*mut u8 {\$|& $begin|" \
    -e "s|^  -> \*mut evcxr_internal_runtime::VariableStore {\$|& $begin|" \
    -e "s|let stdout = io::stdout(); let mut output = stdout.lock();|$value &|" \
    -e "s|^evcxr_variable_store\$|$end evcxr_variable_store|" \
    -e "1s|^#!\[.*\]\$|&$shadow|" \
    src/lib.rs > "$out/lib.rs"
"$WIDER_CLIP_RUSTC" --crate-name ctx --edition=2024 "$out/lib.rs" --crate-type cdylib --emit="$emit" \
    --error-format=json --out-dir "$out" --target "$WIDER_CLIP_TARGET" \
    -C "opt-level=${level:-2}" -C codegen-units=16 -C prefer-dynamic -C rpath -C debuginfo=line-tables-only \
    -L "dependency=$WIDER_CLIP_LIB" -L "dependency=$WIDER_CLIP_DEPS" -L "dependency=$WIDER_CLIP_HOST_DEPS" "$@"
[ "$verb" = build ] || exit 0
printf %s "$PWD/$out/libctx$WIDER_CLIP_SUFFIX" > "${EVCXR_EXECUTION_SO_PATH:-$out/path}"
