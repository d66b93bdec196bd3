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
//! cargo test --test fuzz -- png tar                        only these readers, or all whose names have such a word
//! WIDER_CLIP_FUZZ_SEED=7 ...                               other mutations (the seed is 1 otherwise)
//! WIDER_CLIP_FUZZ_FOUND=folder ...                         where inputs that fail are put
//! ```
//!
//! On the clock: two readers beside each other on two cores, so that 60 seconds each take eleven minutes. Seven of the 27,
//! short texts read by what reads another one too, have a third of it where nobody names them.
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
use std::sync::atomic::{AtomicUsize, Ordering};
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
    let all = readers::all();
    let is_name = |word: &str| all.iter().any(|reader| reader.name == word);
    let asked = |reader: &&Reader| {
        let means = |word: &str| if is_name(word) { reader.name == word } else { reader.name.contains(word) };
        (words.is_empty() && !reader.own) || words.iter().any(|word| means(word))
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
    let asked: Vec<&Reader> = all.iter().filter(asked).collect();
    let (next, went_wrong) = (AtomicUsize::new(0), AtomicUsize::new(failures));
    // Each in a child of its own, several beside each other: limits are of computing, not of the clock.
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from).min(8) {
            scope.spawn(|| {
                while let Some(reader) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let part = if words.is_empty() { reader.part } else { 1 };
                    let outcome = watch::run(reader, seconds / part, seed, &found.join(reader.name));
                    let (name, n) = (reader.name, outcome.failures.len());
                    let (tried, read) = (outcome.tried, outcome.accepted);
                    let computed = outcome.computed.as_secs();
                    let mut told =
                        format!("fuzz {name:<18} {tried:>9} inputs, {read:>8} read, {n} failures, {computed:>4} s of computing\n");
                    outcome.failures.iter().for_each(|failure| told.push_str(&format!("    {failure}\n")));
                    print!("{told}");
                    went_wrong.fetch_add(n, Ordering::Relaxed);
                }
            });
        }
    });
    match went_wrong.into_inner() {
        0 => ExitCode::SUCCESS,
        n => {
            println!("{n} inputs went wrong: see the files named above");
            ExitCode::FAILURE
        }
    }
}
