//! The board: every published number beside ours, or the reason why there is none here.

use super::ResultRow;
use super::table::write_frame;
use crate::error::{Error, Result};
use crate::manifest::{DatasetRecord, ModelRecord, SuiteRecord};
use crate::metrics::{Interval, mean_t_interval};
use crate::project::Project;
use crate::published::audit::Audit;
use crate::published::{PublishedResult, PublishedTable};
use polars::prelude::{Column, DataFrame};
use std::collections::BTreeMap;
use std::path::Path;

/// A published number and ours.
#[derive(Debug, Clone, PartialEq)]
pub struct BoardLine {
    /// The study's.
    pub published: PublishedResult,
    /// On how many test images it was measured, as far as that is known; `None` for clusters.
    pub n: Option<usize>,
    /// The 95% interval of its test images.
    pub interval: Option<(f64, f64)>,
    /// Our id of the data set, where a record says which it is.
    pub dataset: Option<String>,
    /// Our id of the model.
    pub model: Option<String>,
    /// Ours: mean over seeds, with the 95% t-interval where there are several.
    pub ours: Option<Interval>,
    /// Ours less the study's.
    pub difference: Option<f64>,
    /// Why there is none here.
    pub missing: Option<String>,
}

impl BoardLine {
    /// Whether the difference lies within both intervals together: the root of the sum of the squares of their half-widths. `None`
    /// where one of the intervals is not known.
    pub fn agrees(&self) -> Option<bool> {
        let half = |(low, high): (f64, f64)| (high - low) / 2.0;
        let ours = self.ours.and_then(|ours| Some((ours.low?, ours.high?)))?;
        Some(self.difference?.abs() <= half(self.interval?).hypot(half(ours)))
    }

    /// The notebook that asks what the number answers.
    pub fn notebook(&self) -> &'static str {
        match (self.published.key.table, self.published.key.method.as_str()) {
            (PublishedTable::Clustering, _) => "04_clustering",
            (_, "finetune") => "02_fine_tuning",
            (PublishedTable::DriftProbe | PublishedTable::DriftFinetune, _) => "03_drift",
            _ => "01_representations",
        }
    }
}

/// What decides which of our rows stand beside a published number: data set, split, model, method and budget; and the metric.
type Place = (String, String, String, String, Option<usize>, String);

/// Every published number, in the order of the tables, beside the mean of `rows` over seeds. Only rows drawn by the study's rule
/// are taken, and of runs of fine-tuning the last weights, which the study most likely measured.
///
/// # Errors
/// A published table that cannot be read; a suite that is not known.
pub fn board(project: &Project, rows: &[ResultRow]) -> Result<Vec<BoardLine>> {
    let audit = Audit::read(project.root())?;
    let suite = project.suite()?;
    let mut ours: BTreeMap<Place, Vec<f64>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.cell.protocol != "leaky" && matches!(row.weights.as_str(), "" | "last")) {
        let cell = &row.cell;
        let budget = cell.budget.map(|budget| budget as usize);
        let place = (
            cell.dataset.clone(),
            row.split.clone(),
            cell.model.clone(),
            cell.method.clone(),
            budget,
            row.metric.clone(),
        );
        ours.entry(place).or_default().extend(row.value);
    }
    let datasets: BTreeMap<&str, &DatasetRecord> =
        project.manifests.datasets().filter_map(|record| Some((record.published_as.as_deref()?, record))).collect();
    let models: BTreeMap<&str, &ModelRecord> =
        project.manifests.models().filter_map(|record| Some((record.published_as.as_deref()?, record))).collect();
    let line = |published: &PublishedResult| {
        let key = &published.key;
        let column = audit.all.iter().find(|column| {
            column.table == key.table
                && Some(column.budget) == key.budget
                && column.is(&key.dataset, &key.split, &key.method, column.budget)
        });
        let column = column.filter(|_| published.metric == "accuracy");
        let (dataset, model) = (datasets.get(key.dataset.as_str()), models.get(key.model.as_str()));
        let found = dataset.zip(model).and_then(|(dataset, model)| {
            let (dataset, model) = (dataset.id.clone(), model.id.clone());
            let place = (dataset, key.split.clone(), model, key.method.clone(), key.budget, published.metric.clone());
            ours.get(&place).filter(|values| !values.is_empty())
        });
        let ours = found.map(|values| mean_t_interval(values, 0.95)).transpose()?;
        let missing = match ours {
            Some(_) => None,
            None => Some(why(&suite, dataset.copied(), model.copied(), published)),
        };
        Ok(BoardLine {
            n: column.map(|column| column.n),
            interval: column.map(|column| column.interval(published.value)).transpose()?,
            dataset: dataset.map(|record| record.id.clone()),
            model: model.map(|record| record.id.clone()),
            difference: ours.map(|ours| ours.mean - published.value),
            ours,
            missing,
            published: published.clone(),
        })
    };
    audit.results.iter().map(line).collect()
}

/// Why there is no row of ours.
fn why(
    suite: &SuiteRecord,
    dataset: Option<&DatasetRecord>,
    model: Option<&ModelRecord>,
    published: &PublishedResult,
) -> String {
    let key = &published.key;
    let Some(dataset) = dataset else { return format!("no record says which data set {} is", key.dataset) };
    let Some(model) = model else { return format!("no record says which model {} is", key.model) };
    if !suite.datasets.contains(&dataset.id) {
        return format!("{} has to be downloaded; the suite `study` asks for it", dataset.id);
    }
    if !suite.models.contains(&model.id) {
        return format!("the suite `{}` does not ask for {}", suite.id, model.id);
    }
    let asked = key.budget.is_none_or(|budget| suite.budgets.contains(&budget));
    match asked {
        true => "not computed yet".into(),
        false => format!("the suite `{}` does not ask for the budget {}", suite.id, key.budget.unwrap_or_default()),
    }
}

/// The board as a table: the study's columns first, then `n`, the ends of its interval, ours with ends and seeds, the difference,
/// whether they agree, and the reason why there is none.
///
/// # Errors
/// Whatever polars says.
pub fn board_frame(lines: &[BoardLine]) -> Result<DataFrame> {
    let text = |name: &str, of: &dyn Fn(&BoardLine) -> String| {
        Column::new(name.into(), lines.iter().map(of).collect::<Vec<String>>())
    };
    let number = |name: &str, of: &dyn Fn(&BoardLine) -> Option<f64>| {
        Column::new(name.into(), lines.iter().map(of).collect::<Vec<Option<f64>>>())
    };
    let count = |name: &str, of: &dyn Fn(&BoardLine) -> Option<u32>| {
        Column::new(name.into(), lines.iter().map(of).collect::<Vec<_>>())
    };
    let key = |of: fn(&PublishedResult) -> String| move |line: &BoardLine| of(&line.published);
    let columns = vec![
        text("table", &key(|published| published.key.table.as_str().into())),
        text("dataset", &key(|published| published.key.dataset.clone())),
        text("split", &key(|published| published.key.split.clone())),
        text("model", &key(|published| published.key.model.clone())),
        text("method", &key(|published| published.key.method.clone())),
        count("budget", &|line| line.published.key.budget.map(|budget| budget as u32)),
        text("metric", &key(|published| published.metric.clone())),
        number("published", &|line| Some(line.published.value)),
        count("n_test", &|line| line.n.map(|n| n as u32)),
        number("published_low", &|line| line.interval.map(|(low, _)| low)),
        number("published_high", &|line| line.interval.map(|(_, high)| high)),
        number("ours", &|line| line.ours.map(|ours| ours.mean)),
        number("ours_low", &|line| line.ours.and_then(|ours| ours.low)),
        number("ours_high", &|line| line.ours.and_then(|ours| ours.high)),
        count("n_seeds", &|line| line.ours.map(|ours| ours.n as u32)),
        number("difference", &|line| line.difference),
        Column::new("agrees".into(), lines.iter().map(BoardLine::agrees).collect::<Vec<Option<bool>>>()),
        text("missing", &|line| line.missing.clone().unwrap_or_default()),
    ];
    DataFrame::new_infer_height(columns).map_err(Error::table("board"))
}

/// Writes the board as Parquet, whole or not at all.
///
/// # Errors
/// A file that cannot be written.
pub fn write_board(path: &Path, lines: &[BoardLine]) -> Result<()> {
    write_frame(path, board_frame(lines)?)
}
