//! Our side of the GPU check (README.md here): one command per line on standard input, answered by rows of cells between
//! tabs and a last line `done`, or `failed` and why. `check.py` drives it, beside `twin.py`, which does the same in PyTorch.
//!
//! ```text
//! facts                                what the device and the program are
//! tf32 on|off                          whether f32 products may round to TF32
//! keep on|off                          whether freed memory stays with the process
//! depthwise                            the convolution and its gradients against the processor
//! family NAME                          a small model of a family against the processor (correct.rs)
//! parity ARCHITECTURE POOLING FOLDER   weights and features that PyTorch wrote
//! load ARCHITECTURE POOLING SIZE       random weights
//! forward|train BATCH DTYPE SECONDS    seconds of one pass, and the most bytes that were used
//! operation NAME BATCH DTYPE SECONDS   one operation at the sizes of a network
//! knn FILE K ROUNDS                    neighbours by the device, from arrays to classes
//! free
//! ```
//!
//! Without `--serve` it runs `facts`, `depthwise` and every `family`, prints them, and ends with 1 where a case failed:
//! `cargo bench --profile dev --features cuda --bench gpu`.

mod correct;
mod knn;
mod memory;
mod operations;
mod parity;
#[path = "../../tests/golden/backbones/random.rs"]
mod random;
mod speed;

#[path = "../../tests/support/compare.rs"]
mod compare;

use clap::Parser;
use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use wider_clip::candle_core::{DType, Device};
use wider_clip::error::{Error, Result};
use wider_clip::models::{allow_tf32, best_device, describe_device};

#[derive(Parser)]
struct Arguments {
    /// `cuda`, or `cpu` to try the check itself.
    #[arg(long, default_value = "cuda")]
    device: String,
    /// Answers commands.
    #[arg(long)]
    serve: bool,
    /// Small sizes.
    #[arg(long)]
    quick: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Rows of an answer, each of cells.
pub type Rows = Vec<Vec<String>>;

struct Session {
    device: Device,
    quick: bool,
    loaded: Option<speed::Loaded>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let device = match open(&arguments.device) {
        Ok(device) => device,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(69);
        }
    };
    let mut session = Session { device, quick: arguments.quick, loaded: None };
    if arguments.serve { serve(&mut session) } else { alone(&mut session) }
}

fn open(name: &str) -> Result<Device> {
    match name {
        "cpu" => Ok(Device::Cpu),
        "cuda" => {
            let device = best_device()?;
            let built = cfg!(feature = "cuda");
            let found =
                if built { "no GPU that the driver knows" } else { "a program built without the feature `cuda`" };
            if device.is_cuda() { Ok(device) } else { Err(Error::argument("device", "a CUDA device", found)) }
        }
        other => Err(Error::argument("device", "cuda or cpu", other)),
    }
}

fn serve(session: &mut Session) -> ExitCode {
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split_whitespace().collect();
        let (rows, end) = match caught(|| session.answer(&words)) {
            Ok(rows) => (rows, "done".to_string()),
            Err(reason) => (Rows::new(), format!("failed\t{reason}")),
        };
        let rows: String = rows.iter().map(|row| format!("{}\n", row.join("\t"))).collect();
        if out.write_all(format!("{rows}{end}\n").as_bytes()).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    ExitCode::SUCCESS
}

fn alone(session: &mut Session) -> ExitCode {
    let mut sound = true;
    let families = correct::FAMILIES.map(|name| vec!["family", name]);
    for command in [vec!["facts"], vec!["depthwise"]].into_iter().chain(families) {
        match caught(|| session.answer(&command)) {
            Ok(rows) => {
                rows.iter().for_each(|row| println!("{}", row.join("  ")));
                sound &= !rows.iter().any(|row| row.iter().any(|cell| cell == correct::FAIL));
            }
            Err(reason) => {
                println!("{}: {reason}", command.join(" "));
                sound = false;
            }
        }
    }
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What `work` gives, or in one line why it gave nothing.
pub fn caught<T>(work: impl FnOnce() -> Result<T>) -> std::result::Result<T, String> {
    let line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(line(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| text.to_string()));
            Err(line(text.unwrap_or_else(|| "it panicked".into())))
        }
    }
}

impl Session {
    fn answer(&mut self, words: &[&str]) -> Result<Rows> {
        let device = &self.device;
        match *words {
            ["facts"] => Ok(facts(device)),
            ["tf32", choice] => {
                allow_tf32(choice == "on");
                Ok(Rows::new())
            }
            ["keep", choice] => Ok(vec![vec![memory::keep(device, choice == "on").to_string()]]),
            ["depthwise"] => correct::depthwise(device, self.quick),
            ["family", name] => correct::family(name, device),
            ["parity", architecture, pooling, folder] => parity::held(architecture, pooling, folder.as_ref(), device),
            ["load", architecture, pooling, size] => {
                // What was loaded goes before there is something new.
                self.loaded = None;
                self.loaded = Some(speed::Loaded::new(architecture, pooling, whole(size)?, device)?);
                Ok(Rows::new())
            }
            ["free"] => {
                self.loaded = None;
                device.synchronize()?;
                Ok(Rows::new())
            }
            [work @ ("forward" | "train"), batch, dtype, seconds] => {
                let none = || Error::argument("command", "`load` before it", work);
                let loaded = self.loaded.as_mut().ok_or_else(none)?;
                let (batch, dtype, seconds) = (whole(batch)?, dtype_of(dtype)?, number(seconds)?);
                if work == "train" {
                    loaded.train(batch, dtype, seconds)
                } else {
                    loaded.forward(batch, dtype, seconds)
                }
            }
            ["operation", name, batch, dtype, seconds] => {
                operations::measured(name, whole(batch)?, dtype_of(dtype)?, number(seconds)?, device)
            }
            ["knn", file, k, rounds] => knn::measured(file.as_ref(), whole(k)?, whole(rounds)?, device),
            _ => Err(Error::argument("command", "one of those that the program's first lines list", words.join(" "))),
        }
    }
}

fn facts(device: &Device) -> Rows {
    let mut rows = vec![vec!["wider-clip".to_string(), env!("CARGO_PKG_VERSION").to_string()]];
    rows.push(vec!["wider-clip's device".into(), describe_device(device)]);
    rows.extend(memory::facts(device).into_iter().map(|(name, value)| vec![name.to_string(), value]));
    rows
}

fn whole(word: &str) -> Result<usize> {
    word.parse().map_err(|_| Error::argument("command", "a whole number", word))
}

fn number(word: &str) -> Result<f64> {
    word.parse().map_err(|_| Error::argument("command", "a number", word))
}

fn dtype_of(word: &str) -> Result<DType> {
    match word {
        "f32" | "tf32" => Ok(DType::F32),
        "bf16" => Ok(DType::BF16),
        "f16" => Ok(DType::F16),
        _ => Err(Error::argument("command", "f32, tf32, f16 or bf16", word)),
    }
}
