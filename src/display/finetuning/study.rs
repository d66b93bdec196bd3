//! The study's fine-tuning and what it says of it, beside ours.

use super::reported;
use crate::display::accuracy::published_columns;
use crate::display::{Cell, Table};
use crate::error::{Error, Result};
use crate::experiments::finetuning::Gain;
use crate::manifest::Tuning;
use crate::project::Project;
use crate::published::{self, PublishedKey, PublishedResult, PublishedTable};
use std::collections::{BTreeMap, BTreeSet};

/// The study's own table of fine-tuning for one of its data sets, in percent, in its order; drift sets have both tests.
///
/// # Errors
/// A published table that cannot be read.
pub fn published_finetuning_table(project: &Project, dataset: &str) -> Result<Table> {
    let tables = [PublishedTable::GeneralFinetune, PublishedTable::DriftFinetune];
    let wanted = |key: &PublishedKey| tables.contains(&key.table) && key.dataset == dataset && key.method == "finetune";
    let caption =
        format!("{dataset}: fine-tuned, accuracy in percent as the study published it (one run, no interval)");
    let name = |(split, budget): &(String, Option<usize>)| {
        let budget = budget.map_or_else(String::new, |budget| budget.to_string());
        format!("{split}, budget {budget}")
    };
    let results = published::results(project.root())?;
    Ok(published_columns(&results, caption, wanted, |key| (key.split.clone(), key.budget), name))
}

/// What the study says of fine-tuning, how often its own numbers bear it out, and what the runs here say.
///
/// # Errors
/// A published table that cannot be read.
pub fn finetuning_claims(project: &Project, gains: &[Gain]) -> Result<Table> {
    let results = published::results(project.root())?;
    let study = Study::of(&results);
    let mut table = Table {
        caption: "The study's claims on fine-tuning: its own numbers (points, without intervals), and ours (paired, after Holm)"
            .into(),
        header: ["claim", "the study's numbers", "here"].map(String::from).to_vec(),
        rows: Vec::new(),
    };
    let mut push = |claim: &str, theirs: String, ours: String| {
        table.rows.push([claim.into(), theirs, ours].into_iter().map(Cell::from).collect());
    };
    let largest = gains.iter().map(|gain| gain.budget).max().unwrap_or(0);
    let smallest = gains.iter().map(|gain| gain.budget).min().unwrap_or(0);
    push("With 100 images fine-tuning is better than LR", study.ahead(100), ahead(gains, largest));
    push(
        "With 10 images simple learners on DINO or CLIP features are better",
        study.behind(10),
        behind(gains, smallest),
    );
    push(
        "ConvNeXt is best when fine-tuned",
        study.first("convnext_", "finetune")?,
        "not asked here: the pocket models are another comparison".into(),
    );
    push("More images help fine-tuning", study.rising(), rising(gains));
    Ok(table)
}

/// The study's accuracies by what they are of.
struct Study<'a> {
    values: BTreeMap<(PublishedTable, &'a str, &'a str, &'a str, &'a str, usize), f64>,
}

impl<'a> Study<'a> {
    fn of(results: &'a [PublishedResult]) -> Study<'a> {
        let values = results.iter().filter_map(|result| {
            let key = &result.key;
            let place = (key.table, key.dataset.as_str(), key.split.as_str(), key.model.as_str(), key.method.as_str());
            Some(((place.0, place.1, place.2, place.3, place.4, key.budget?), result.value))
        });
        Study { values: values.collect() }
    }

    /// Fine-tuned minus LR for every model (of some), data set and part of a budget that has both. The drift sets' probes stand in a table
    /// of their own.
    fn differences(&self, budget: usize, models: &[&str]) -> Vec<f64> {
        let probes = |table| match table {
            PublishedTable::DriftFinetune => PublishedTable::DriftProbe,
            other => other,
        };
        let of = |((table, dataset, split, model, method, at), value): (&(_, &str, &str, &str, &str, usize), &f64)| {
            let lr = self.values.get(&(probes(*table), *dataset, *split, *model, "lr", *at))?;
            let asked = models.is_empty() || models.contains(model);
            (*method == "finetune" && *at == budget && asked).then(|| value - lr)
        };
        self.values.iter().filter_map(of).collect()
    }

    fn ahead(&self, budget: usize) -> String {
        let all = self.differences(budget, &[]);
        format!("higher than LR in {} of {}", all.iter().filter(|difference| **difference > 0.0).count(), all.len())
    }

    fn behind(&self, budget: usize) -> String {
        let all = self.differences(budget, &["DINO", "CLIP"]);
        format!("LR higher in {} of {}", all.iter().filter(|difference| **difference < 0.0).count(), all.len())
    }

    /// In how many columns a model whose published name begins so is first.
    fn first(&self, name: &str, method: &str) -> Result<String> {
        let mut columns: BTreeMap<(PublishedTable, &str, &str, usize), (&str, f64)> = BTreeMap::new();
        for ((table, dataset, split, model, of, budget), value) in &self.values {
            if *of == method {
                let best = columns.entry((*table, dataset, split, *budget)).or_insert((model, *value));
                if *value > best.1 {
                    *best = (model, *value);
                }
            }
        }
        // A name that no column knows would be first in none of them.
        if !self.values.keys().any(|(.., model, of, _)| *of == method && model.starts_with(name)) {
            let names: BTreeSet<&str> = self.values.keys().map(|(.., model, _, _)| *model).collect();
            return Err(Error::argument("name", format!("one of {names:?}"), name.to_string()));
        }
        let first = columns.values().filter(|(model, _)| model.starts_with(name)).count();
        Ok(format!("first in {first} of {} columns", columns.len()))
    }

    /// How many steps to the next larger budget go up.
    fn rising(&self) -> String {
        let mut curves: BTreeMap<(PublishedTable, &str, &str, &str), Vec<f64>> = BTreeMap::new();
        for ((table, dataset, split, model, method, _), value) in &self.values {
            // Budgets come in rising order.
            if *method == "finetune" {
                curves.entry((*table, dataset, split, model)).or_default().push(*value);
            }
        }
        steps(curves.into_values())
    }
}

fn steps(curves: impl Iterator<Item = Vec<f64>>) -> String {
    let steps: Vec<f64> = curves.flat_map(|curve| curve.windows(2).map(|w| w[1] - w[0]).collect::<Vec<_>>()).collect();
    format!("{} of {} steps up", steps.iter().filter(|step| **step > 0.0).count(), steps.len())
}

/// Those that count: every arm by the weights that are reported.
fn counted(gains: &[Gain], budget: u32) -> Vec<&Gain> {
    let reported = |gain: &&Gain| gain.budget == budget && gain.weights == reported(&gain.method);
    gains.iter().filter(reported).collect()
}

fn ahead(gains: &[Gain], budget: u32) -> String {
    by_method(gains, budget, "clearly ahead", |gain| gain.holm <= 0.05 && gain.paired.difference > 0.0)
}

fn behind(gains: &[Gain], budget: u32) -> String {
    by_method(gains, budget, "clearly behind", |gain| gain.holm <= 0.05 && gain.paired.difference < 0.0)
}

fn by_method(gains: &[Gain], budget: u32, what: &str, is: impl Fn(&Gain) -> bool) -> String {
    let counted = counted(gains, budget);
    let of = |method: Tuning| {
        let of_method: Vec<_> = counted.iter().filter(|gain| gain.method == method.as_str()).collect();
        let n = of_method.iter().filter(|gain| is(gain)).count();
        (!of_method.is_empty()).then(|| format!("{} {n} of {}", method.as_str(), of_method.len()))
    };
    let parts: Vec<String> = Tuning::ALL.iter().copied().filter_map(of).collect();
    format!("budget {budget}, {what} of LR: {}", parts.join(", "))
}

fn rising(gains: &[Gain]) -> String {
    let mut curves: BTreeMap<(&str, &str, &str, &str), BTreeMap<u32, f64>> = BTreeMap::new();
    for gain in gains.iter().filter(|gain| gain.weights == reported(&gain.method)) {
        let place = (gain.dataset.as_str(), gain.split.as_str(), gain.model.as_str(), gain.method.as_str());
        curves.entry(place).or_default().insert(gain.budget, gain.paired.difference);
    }
    let gaining = steps(curves.into_values().map(|curve| curve.into_values().collect()));
    format!("the lead over LR: {gaining}")
}
