//! Every reader of strangers' bytes, given what nobody meant to write.
//!
//! Seeds (tests/fuzz/seeds, the golden images, the project's own manifests) must be read; inputs that once went wrong
//! (tests/fuzz/regressions/<reader>) and fresh mutations of the seeds must be read or refused: without a panic or an
//! abort, in 5 seconds of computing and 1 GB of memory, and with the relations that tests/fuzz/readers.rs states. A child
//! process reads, so that one that dies or hangs is seen; each input follows from a seed and a number alone.
//!
//! ```text
//! cargo test --test fuzz                                   replays all, then 2 seconds of mutations a reader
//! WIDER_CLIP_FUZZ_SECONDS=60 cargo test --test fuzz        longer; 0 only replays
//! cargo test --test fuzz -- png tar                        only the readers whose names have one of these words
//! WIDER_CLIP_FUZZ_SEED=7 ...                               other mutations (the seed is 1 otherwise)
//! WIDER_CLIP_FUZZ_FOUND=folder ...                         where inputs that fail are put
//! ```
//!
//! What only this project writes (`rows`) is read where it is named.
//!
//! An input that fails is written to a file beside one that says how; once mended, it belongs in the regressions.

#[path = "fuzz/child.rs"]
mod child;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "fuzz/oracles.rs"]
mod oracles;
#[path = "fuzz/readers.rs"]
mod readers;
#[path = "fuzz/watch.rs"]
mod watch;
#[path = "fuzz/words.rs"]
mod words;

use readers::Reader;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A variable's number.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.trim().parse().ok()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(ticket) = std::env::var_os(child::TICKET) {
        child::run(&PathBuf::from(ticket));
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let words: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let asked = |reader: &&Reader| {
        (words.is_empty() && !reader.own) || words.iter().any(|word| reader.name.contains(word.as_str()))
    };
    let seconds = Duration::from_secs(number("WIDER_CLIP_FUZZ_SECONDS").unwrap_or(2));
    let seed = number("WIDER_CLIP_FUZZ_SEED").unwrap_or(1);
    let found = std::env::var_os("WIDER_CLIP_FUZZ_FOUND")
        .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("fuzz"), PathBuf::from);
    let mut failures = 0;
    if words.is_empty() || words.iter().any(|word| "harness".contains(word.as_str())) {
        let outcome = watch::run(&readers::faulty(), Duration::ZERO, seed, &found.join("harness"));
        if outcome.failures.len() != readers::FAULTS {
            println!(
                "the harness sees {} of {} faults: {:#?}",
                outcome.failures.len(),
                readers::FAULTS,
                outcome.failures
            );
            failures += 1;
        }
    }
    for reader in readers::all().iter().filter(asked) {
        let outcome = watch::run(reader, seconds, seed, &found.join(reader.name));
        println!(
            "fuzz {:<18} {:>9} inputs, {:>8} read, {} failures",
            reader.name,
            outcome.tried,
            outcome.accepted,
            outcome.failures.len()
        );
        for failure in &outcome.failures {
            println!("    {failure}");
        }
        failures += outcome.failures.len();
    }
    match failures {
        0 => ExitCode::SUCCESS,
        n => {
            println!("{n} inputs went wrong: see the files named above");
            ExitCode::FAILURE
        }
    }
}
