//! `wider-clip course`: what is typed, and what it does.

use super::grade::{self, Options};
use super::sandbox::{Limits, Walls};
use super::{build, check};
use crate::error::{Error, Result};
use crate::workbench::Workbench;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// The course: eight assignments, and what marks them.
#[derive(Debug, Subcommand)]
pub enum Course {
    /// Write what students get, and a folder for nbgrader
    Build {
        /// Where it goes
        #[arg(long, value_name = "FOLDER", default_value = "course")]
        out: PathBuf,
    },
    /// Run a notebook of yours as it would be marked, and show the points
    Check {
        /// The notebook
        notebook: PathBuf,
        /// Seconds that a cell may take
        #[arg(long, default_value_t = 120.0)]
        cell_seconds: f64,
        /// Put what its cells gave into the notebook
        #[arg(long)]
        save: bool,
    },
    /// Mark a folder with one folder per student; every submission runs by itself, inside walls
    Grade(Grade),
    /// Write a page per submission from a folder that `grade` made, with the points that grades.csv has by now
    Feedback {
        /// The folder
        grades: PathBuf,
    },
    /// Start nbgrader so that it finds the kernel: wider-clip course nbgrader -- generate_assignment 1_rust_for_data
    Nbgrader {
        /// What nbgrader is told
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// How to mark.
#[derive(Debug, Args)]
pub struct Grade {
    /// <student>/<assignment>.ipynb, or <student>/<assignment>/<assignment>.ipynb as nbgrader collects them
    submissions: PathBuf,
    /// Where grades.csv, totals.csv and the executed notebooks go
    #[arg(long, value_name = "FOLDER", default_value = "grades")]
    out: PathBuf,
    /// Submissions that run at the same time
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Seconds that a cell may take
    #[arg(long, default_value_t = 120.0)]
    cell_seconds: f64,
    /// Seconds that a submission may take
    #[arg(long, default_value_t = Limits::default().seconds)]
    seconds: f64,
    /// Megabytes of memory that a submission may use
    #[arg(long, default_value_t = Limits::default().memory >> 20)]
    memory: u64,
    /// Seed of the inputs of hidden cases: a number that no student knows (without it they are those that students try)
    #[arg(long)]
    seed: Option<u64>,
    /// Run submissions with all that you can do yourself; only for those that you have read
    #[arg(long)]
    no_walls: bool,
}

/// Does what was typed; the number is what the program ends with.
///
/// # Errors
/// Whatever the parts of the course give; submissions without a page, after the others' pages were written.
pub fn run(workbench: &Workbench, asked: Course) -> Result<i32> {
    match asked {
        Course::Build { out } => {
            let built = build::build(workbench, &out)?;
            for (name, points) in &built.assignments {
                crate::say!("{name}: {points} points");
            }
            crate::say!("{}: release/ for students, nbgrader/ for nbgrader", built.folder.display());
        }
        Course::Check { notebook, cell_seconds, save } => show(&check(workbench, &notebook, cell_seconds, save)?),
        Course::Grade(grade) => {
            let walls = if grade.no_walls { Walls::None } else { Walls::find()? };
            let limits = Limits { seconds: grade.seconds, memory: grade.memory << 20, ..Limits::default() };
            let Grade { jobs, cell_seconds, seed, .. } = grade;
            let options = Options { jobs, limits, cell_seconds, walls, seed };
            let points = grade::grade(workbench, &grade.submissions, &grade.out, &options)?;
            let open = points.iter().filter(|one| one.points.is_none()).count();
            crate::say!(
                "{0}: grades.csv, totals.csv, executed/. {open} texts have to be read: put their points into grades.csv, then \
                 `wider-clip course feedback {0}`",
                grade.out.display()
            );
        }
        Course::Feedback { grades } => {
            let (pages, without) = grade::feedback(workbench, &grades)?;
            without.iter().for_each(|line| crate::say!("no page: {line}"));
            crate::say!("{} pages in {}", pages.len(), grades.join("feedback").display());
            if let Some(first) = without.first() {
                let found = format!("none for {} of {}, such as {first}", without.len(), pages.len() + without.len());
                return Err(Error::data(&grades, "a page for every submission in grades.csv", found));
            }
        }
        Course::Nbgrader { arguments } => return super::nbgrader(workbench, &arguments),
    }
    Ok(0)
}

fn show(points: &[grade::Points]) {
    for one in points {
        let given = one.points.map_or_else(|| "–".into(), |points| points.to_string());
        let why = if one.why.is_empty() { String::new() } else { format!("  ({})", one.why) };
        crate::say!("{given:>5} of {:<4} {}{why}", one.of, one.task);
    }
    let earned: f64 = points.iter().filter_map(|one| one.points).sum();
    crate::say!("{earned} of {} points, and what has to be read", points.iter().map(|one| one.of).sum::<f64>());
}
