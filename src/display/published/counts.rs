//! On how many images the study's numbers are, and how many labels its budgets stand for.

use super::method;
use crate::display::{Cell, Table};
use crate::error::Result;
use crate::progress::thousands;
use crate::project::Project;
use crate::published::audit::Audit;
use crate::published::audit::columns::Counted;

/// The columns whose printed fractions do not fit the number of test images of the study's own split table: what fits instead.
///
/// # Errors
/// A published table that cannot be read.
pub fn counts_table(project: &Project) -> Result<Table> {
    let audit = Audit::read(project.root())?;
    let as_in_table = audit.all.iter().filter(|column| column.counted == Counted::AsInTable).count();
    // Probes and fine-tuning of a data set and budget, each once, with the methods and tables that say the same.
    let mut lines: Vec<([String; 4], Vec<String>)> = Vec::new();
    for column in audit.all.iter().filter(|column| column.counted != Counted::AsInTable) {
        let fits = match column.counted {
            Counted::AsInTable => String::new(),
            Counted::Runs(runs) => format!("{} x {runs}: means of {runs} runs", thousands(column.n_table)),
            Counted::Otherwise => thousands(column.n),
            Counted::Unexplained => "none: averaged, or rounded on the way".into(),
        };
        let place = [column.dataset.clone(), column.budget.to_string(), thousands(column.n_table), fits];
        let name = method(&column.method).to_string();
        match lines.iter_mut().find(|(known, _)| *known == place) {
            Some((_, methods)) if methods.contains(&name) => {}
            Some((_, methods)) => methods.push(name),
            None => lines.push((place, vec![name])),
        }
    }
    let row = |([dataset, budget, table, fits], methods): ([String; 4], Vec<String>)| {
        [dataset, budget, methods.join(", "), table, fits].map(Cell::from).to_vec()
    };
    Ok(Table {
        caption: format!(
            "On how many test images? Of {} published columns {as_in_table} fit the study's split table; these do not",
            audit.all.len()
        ),
        header: ["data set", "budget", "methods", "split table", "what fits every fraction"].map(String::from).to_vec(),
        rows: lines.into_iter().map(row).collect(),
    })
}

/// The images per class that the study's label budgets stand for: fitted, and kept for validation.
///
/// # Errors
/// A published table that cannot be read.
pub fn fitted_table(project: &Project) -> Result<Table> {
    let audit = Audit::read(project.root())?;
    let row = |split: &crate::published::PublishedSplit| {
        let per_class = |images: usize| format!("{:.1}", images as f64 / split.classes as f64);
        let cells = [
            split.dataset.clone(),
            split.budget.to_string(),
            split.classes.to_string(),
            per_class(split.train),
            per_class(split.val),
        ];
        cells.map(Cell::from).to_vec()
    };
    Ok(Table {
        caption: "What the study's label budgets stand for: images per class, by its split table".into(),
        header: ["data set", "budget", "classes", "fitted per class", "validation per class"]
            .map(String::from)
            .to_vec(),
        rows: audit.splits.iter().map(row).collect(),
    })
}
