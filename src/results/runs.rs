//! One row per run of fine-tuning: how it was trained and how it ended.

use super::table::{Columns, write_frame};
use crate::error::{Error, Result};
use polars::prelude::*;
use std::path::Path;

/// A run of fine-tuning.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Key of the cell.
    pub key: String,
    /// Data set id.
    pub dataset: String,
    /// Model id, `arch.tag`.
    pub model: String,
    /// `finetune`, `lp_ft`, ...
    pub method: String,
    /// Label budget.
    pub budget: u32,
    /// Seed of the split, the head and the order of the images.
    pub seed: u64,
    /// Whose mean and standard deviation the images had: `study` or `own`.
    pub input: String,
    /// Learning rate at its highest; the one that was chosen where there was a choice.
    pub rate: f64,
    /// What was chosen on validation images, in words; empty where nothing was.
    pub chosen: String,
    /// Why it ended, in words.
    pub ended: String,
    /// Epochs, of all runs of a choice.
    pub epochs: u64,
    /// Steps of the run that counts.
    pub steps: u64,
    /// The epoch with the lowest validation loss, counted from 1; `None` where none was finite.
    pub best_epoch: Option<u64>,
    /// Lowest validation loss, in nats.
    pub best_val_loss: Option<f64>,
    /// Training images that were drawn, of all runs of a choice.
    pub images: u64,
    /// Seconds of training, of all runs of a choice; validation, tests and interruptions left out.
    pub seconds: f64,
    /// The largest memory of the whole process so far, in MB; `None` where the system does not say.
    pub peak_memory: Option<f64>,
    /// Distance of the encoder's last weights from where they began, as a part of their length.
    pub moved: f64,
    /// Threads that the run had.
    pub threads: u32,
    /// `cpu`, `cuda` or `metal`.
    pub device: String,
    /// The processor by name.
    pub machine: String,
    /// `YYYY-MM-DD`, UTC.
    pub date: String,
}

impl Run {
    /// Training images per second.
    pub fn images_per_second(&self) -> f64 {
        self.images as f64 / self.seconds.max(1e-9)
    }
}

/// Runs as a table, one row each.
///
/// # Errors
/// Whatever polars says.
pub fn runs_frame(runs: &[Run]) -> Result<DataFrame> {
    let text = |name: &str, of: fn(&Run) -> &str| Column::new(name.into(), runs.iter().map(of).collect::<Vec<_>>());
    let count = |name: &str, of: fn(&Run) -> u64| Column::new(name.into(), runs.iter().map(of).collect::<Vec<_>>());
    let number =
        |name: &str, of: fn(&Run) -> Option<f64>| Column::new(name.into(), runs.iter().map(of).collect::<Vec<_>>());
    let columns = vec![
        text("dataset", |run| &run.dataset),
        text("model", |run| &run.model),
        text("method", |run| &run.method),
        count("budget", |run| u64::from(run.budget)),
        count("seed", |run| run.seed),
        text("input", |run| &run.input),
        number("rate", |run| Some(run.rate)),
        text("chosen", |run| &run.chosen),
        text("ended", |run| &run.ended),
        count("epochs", |run| run.epochs),
        count("steps", |run| run.steps),
        Column::new("best_epoch".into(), runs.iter().map(|run| run.best_epoch).collect::<Vec<_>>()),
        number("best_val_loss", |run| run.best_val_loss),
        count("images", |run| run.images),
        number("seconds", |run| Some(run.seconds)),
        number("images_per_second", |run| Some(run.images_per_second())),
        number("peak_memory_mb", |run| run.peak_memory),
        number("moved", |run| Some(run.moved)),
        count("threads", |run| u64::from(run.threads)),
        text("device", |run| &run.device),
        text("machine", |run| &run.machine),
        text("date", |run| &run.date),
        text("key", |run| &run.key),
    ];
    DataFrame::new_infer_height(columns).map_err(Error::table("runs"))
}

/// Writes runs as Parquet, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write_runs(path: &Path, runs: &[Run]) -> Result<()> {
    write_frame(path, runs_frame(runs)?)
}

/// Reads runs as [`write_runs`] wrote them.
///
/// # Errors
/// A file that is no Parquet or lacks a column, named.
pub fn read_runs(path: &Path) -> Result<Vec<Run>> {
    let columns = Columns::read(path)?;
    let (text, count, number) =
        (|name: &str| columns.text(name), |name: &str| columns.whole(name), |name: &str| columns.number(name));
    let [dataset, model, method, input, chosen, ended] =
        ["dataset", "model", "method", "input", "chosen", "ended"].map(text);
    let (dataset, model, method, input, chosen, ended) = (dataset?, model?, method?, input?, chosen?, ended?);
    let (device, machine, date, key) = (text("device")?, text("machine")?, text("date")?, text("key")?);
    let (budget, seed, epochs, steps) = (count("budget")?, count("seed")?, count("epochs")?, count("steps")?);
    let (images, threads, best_epoch) = (count("images")?, count("threads")?, columns.maybe_whole("best_epoch")?);
    let (rate, best_val_loss, seconds) = (number("rate")?, number("best_val_loss")?, number("seconds")?);
    let (peak_memory, moved) = (number("peak_memory_mb")?, number("moved")?);
    let run = |i: usize| Run {
        key: key[i].clone(),
        dataset: dataset[i].clone(),
        model: model[i].clone(),
        method: method[i].clone(),
        budget: budget[i] as u32,
        seed: seed[i],
        input: input[i].clone(),
        rate: rate[i].unwrap_or(f64::NAN),
        chosen: chosen[i].clone(),
        ended: ended[i].clone(),
        epochs: epochs[i],
        steps: steps[i],
        best_epoch: best_epoch[i],
        best_val_loss: best_val_loss[i],
        images: images[i],
        seconds: seconds[i].unwrap_or(f64::NAN),
        peak_memory: peak_memory[i],
        moved: moved[i].unwrap_or(f64::NAN),
        threads: threads[i] as u32,
        device: device[i].clone(),
        machine: machine[i].clone(),
        date: date[i].clone(),
    };
    Ok((0..columns.height()).map(run).collect())
}
