//! The numerics against scikit-learn and umap-learn: the same arrays, turn by turn, on equal threads.
//!
//! ```sh
//! python3 -m venv .wider-clip/reference
//! .wider-clip/reference/bin/pip install -r tests/reference/requirements-numerics.txt
//! WIDER_CLIP_PYTHON=.wider-clip/reference/bin/python cargo bench --profile dev --bench numerics
//! ```
//!
//! `--profile dev` is the optimised profile of this project: nothing is compiled a second time. `-- --only knn` runs the
//! works whose name holds the word and writes nothing. A whole run takes about ten minutes and rewrites
//! benches/results.csv, the measured part of benches/README.md and the charts beside it.

mod data;
mod growth;
#[path = "../report.rs"]
mod report;
#[path = "../twin.rs"]
mod twin;

use clap::Parser;
use data::{Data, features};
use report::{Row, Unit, here, median};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;
use twin::Twin;
use wider_clip::neighbours::{Index, Metric};
use wider_clip::prelude::*;

#[derive(Parser)]
struct Arguments {
    /// Threads of either side.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Pairs a work, after one warm-up.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Only works whose name holds this.
    #[arg(long)]
    only: Option<String>,
    /// Prints the peak memory of a search among 200,000 references and ends.
    #[arg(long)]
    memory: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is to be measured: ours gives a number to compare, theirs is a command.
struct Work<'a> {
    name: &'a str,
    repeats: usize,
    goal: Option<f64>,
    ours: Box<dyn Fn() -> Value + 'a>,
    theirs: Value,
    agreement: fn(&Value, &Value) -> String,
}

fn main() {
    let arguments = Arguments::parse();
    if arguments.memory {
        return println!("{}", peak_memory());
    }
    wider_clip::rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build_global().unwrap();
    let mut twin = Twin::of("numerics.py", "tests/reference/requirements-numerics.txt", arguments.threads);
    let folder = tempfile::tempdir().unwrap();
    let sets = Sets::new(folder.path());
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let works = sets.works(arguments.repeats);
    let mut rows: Vec<Row> =
        works.iter().filter(|work| wanted(work.name)).map(|work| measure(work, &mut twin)).collect();
    if arguments.only.is_some() {
        return;
    }
    let charts = costs();
    for (name, x_name, lines) in &charts {
        for (what, points) in lines {
            for (size, seconds) in points {
                let bench = format!("{what} at {size} {x_name}");
                let none = (None, Vec::new(), None, String::new());
                rows.push(Row {
                    bench,
                    unit: Unit::Seconds,
                    ours: *seconds,
                    reference: none.0,
                    ratios: none.1,
                    goal: none.2,
                    agreement: none.3,
                });
            }
        }
        let svg = growth::chart(&format!("Cost by {x_name}"), x_name, lines);
        std::fs::write(here(&format!("growth_{name}.svg")), svg).unwrap();
    }
    let memory = memory_of_a_child();
    report::put_rows(&here("results.csv"), Unit::Seconds, &rows);
    report::put_between_markers(
        &here("README.md"),
        "numerics",
        &page(&rows, &twin.versions, arguments.threads, &memory),
    );
    println!("written: benches/results.csv, benches/README.md, benches/growth_*.svg");
}

/// Works with as many pairs are short.
const SHORT: usize = 5;

/// Lets the threads of the side that just ended stop waiting for work in a loop, which would cost the other side time.
fn rest() {
    std::thread::sleep(std::time::Duration::from_millis(300));
}

/// Ours and theirs in turn; the first pair warms up.
fn measure(work: &Work, twin: &mut Twin) -> Row {
    let (mut ours, mut theirs, mut agreement) = (Vec::new(), Vec::new(), String::new());
    // A short work is done once unmeasured before each measured time: threads that slept wake up slowly.
    let short = work.repeats >= SHORT;
    for turn in 0..=work.repeats {
        rest();
        if short {
            (work.ours)();
        }
        let start = Instant::now();
        let answer = (work.ours)();
        let seconds = start.elapsed().as_secs_f64();
        rest();
        if short {
            twin.ask(&work.theirs);
        }
        let reference = twin.ask(&work.theirs);
        agreement = (work.agreement)(&answer, &reference);
        if turn > 0 {
            ours.push(seconds);
            theirs.push(reference["seconds"].as_f64().unwrap());
        }
    }
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| theirs / ours).collect();
    println!("{}: {:.3} s against {:.3} s, {agreement}", work.name, median(&ours), median(&theirs));
    let reference = Some(median(&theirs));
    let (bench, goal) = (work.name.into(), work.goal);
    Row { bench, unit: Unit::Seconds, ours: median(&ours), reference, ratios, goal, agreement }
}

/// All data sets of the table.
struct Sets {
    small: Data,
    middle: Data,
    val: Data,
    queries: Data,
    large: Data,
    grid: Data,
    splits: Vec<(Vec<usize>, Vec<usize>)>,
}

impl Sets {
    fn new(folder: &Path) -> Sets {
        let data = |name, n, k, seed| Data::new(folder, name, n, 768, k, seed);
        let grid = data("grid", 2000, 38, 5);
        Sets {
            small: data("small", 1081, 47, 0),
            middle: data("middle", 2812, 38, 1),
            val: data("val", 400, 47, 2),
            queries: data("queries", 26_638, 38, 3),
            large: data("large", 20_000, 38, 4),
            splits: splits(&grid.labels),
            grid,
        }
    }

    fn works(&self, repeats: usize) -> Vec<Work<'_>> {
        let command = |work: &str, data: &Data| json!({ "work": work, "x": data.files[0], "y": data.files[1] });
        let with = |mut command: Value, more: Value| {
            command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            command
        };
        let logistic = |data: &Data| {
            let train = data.labelled();
            let fit = move || json!({ "objective": Logistic::params(1.0).fit(&train).unwrap().objective });
            (Box::new(fit) as Box<dyn Fn() -> Value>, with(command("lr", data), json!({ "c": 1.0 })))
        };
        let (small, small_twin) = logistic(&self.small);
        let (middle, middle_twin) = logistic(&self.middle);
        let (train, val) = (self.small.labelled(), self.val.labelled());
        let cs: Vec<f64> = (0..45).map(|i| 10f64.powf(-6.0 + 11.0 * f64::from(i) / 44.0)).collect();
        let sweep = with(
            command("lr_sweep", &self.small),
            json!({ "xv": self.val.files[0], "yv": self.val.files[1], "cs": cs }),
        );
        let references = self.middle.labelled();
        let large = self.large.rows.clone().into_shared();
        let clustered = DatasetBase::from(large.clone());
        let splits: Vec<Value> =
            self.splits.iter().map(|(train, test)| json!({ "train": train, "test": test })).collect();
        vec![
            Work {
                name: "LR, 1081 x 768, 47 classes, C = 1",
                repeats,
                goal: Some(2.0),
                ours: small,
                theirs: small_twin,
                agreement: objectives,
            },
            Work {
                name: "LR, 2812 x 768, 38 classes, C = 1",
                repeats,
                goal: Some(2.0),
                ours: middle,
                theirs: middle_twin,
                agreement: objectives,
            },
            Work {
                name: "LR sweep of 45 C with refit, 1081 x 768, 47 classes",
                repeats: repeats.min(2),
                goal: Some(5.0),
                ours: Box::new(move || {
                    let swept = CSweep::dinov2().fit(&train, &val).unwrap();
                    let accuracy = swept.tried.iter().map(|tried| tried.val_accuracy).fold(0.0, f64::max);
                    json!({ "accuracy": accuracy, "c": swept.c })
                }),
                theirs: sweep,
                agreement: sweeps,
            },
            Work {
                name: "kNN, 2812 references, 26,638 queries, 768-d",
                repeats,
                goal: Some(3.0),
                ours: Box::new(move || {
                    let model = Knn::params(5).fit(&references).unwrap();
                    json!({ "predicted": model.try_predict(self.queries.rows.view()).unwrap().to_vec() })
                }),
                theirs: with(command("knn", &self.middle), json!({ "q": self.queries.files[0], "k": 5 })),
                agreement: predictions,
            },
            Work {
                name: "k-means, 20,000 x 768, k = 38, 10 starts",
                repeats: repeats.min(3),
                goal: Some(1.5),
                ours: Box::new(move || json!({ "inertia": KMeans::params(38).fit(&clustered).unwrap().inertia })),
                theirs: with(command("kmeans", &self.large), json!({ "k": 38, "n_init": 10, "seed": 0 })),
                agreement: inertias,
            },
            Work {
                name: "UMAP, 20,000 x 768",
                repeats: repeats.min(3),
                goal: Some(1.5),
                ours: Box::new(move || {
                    let map = Umap::params(0).map(&large).unwrap();
                    json!({ "map": map.iter().copied().collect::<Vec<f32>>(), "labels": self.large.labels })
                }),
                theirs: command("umap", &self.large),
                agreement: maps,
            },
            Work {
                name: "all kNN and LR of a data set, 4 budgets x 5 seeds",
                repeats,
                goal: Some(3.0),
                ours: Box::new(|| json!({ "accuracy": self.probes() })),
                theirs: with(command("probes", &self.grid), json!({ "splits": splits })),
                agreement: accuracies,
            },
        ]
    }

    /// Mean accuracy of both probes over all splits.
    fn probes(&self) -> f64 {
        let rows = |chosen: &[usize]| self.grid.rows.select(wider_clip::ndarray::Axis(0), chosen);
        let labels = |chosen: &[usize]| chosen.iter().map(|&i| self.grid.labels[i]).collect::<Vec<u32>>();
        let mut total = 0.0;
        for (train, test) in &self.splits {
            let (train, queries, truth) = (labelled(rows(train), labels(train)).unwrap(), rows(test), labels(test));
            let near = Knn::params(5).fit(&train).unwrap().try_predict(queries.view()).unwrap();
            let far = Logistic::params(1.0).fit(&train).unwrap().try_predict(queries.view()).unwrap();
            total += accuracy(&near.to_vec(), &truth).unwrap() + accuracy(&far.to_vec(), &truth).unwrap();
        }
        total / (2 * self.splits.len()) as f64
    }
}

/// Five seeds of each budget: so many rows a class to train on, 800 others to test.
fn splits(labels: &[u32]) -> Vec<(Vec<usize>, Vec<usize>)> {
    let mut splits = Vec::new();
    for budget in [5, 10, 20, 30] {
        for seed in 0..5 {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            wider_clip::random::Random::new("bench splits", seed, budget as u64).shuffle(&mut order);
            let mut taken = [0; 38];
            let (train, rest): (Vec<usize>, Vec<usize>) = order.into_iter().partition(|&row| {
                taken[labels[row] as usize] += 1;
                taken[labels[row] as usize] <= budget
            });
            splits.push((train, rest[..800].to_vec()));
        }
    }
    splits
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

fn objectives(ours: &Value, theirs: &Value) -> String {
    let ratio = number(ours, "objective") / number(theirs, "objective");
    format!("objective {:+.1e} relative", ratio - 1.0)
}

fn sweeps(ours: &Value, theirs: &Value) -> String {
    let of = |value: &Value| format!("{:.1}% at C = {:.0e}", 100.0 * number(value, "accuracy"), number(value, "c"));
    format!("val accuracy {} / {}", of(ours), of(theirs))
}

fn predictions(ours: &Value, theirs: &Value) -> String {
    let pairs = ours["predicted"].as_array().unwrap().iter().zip(theirs["predicted"].as_array().unwrap());
    let (mut n, mut n_equal) = (0, 0);
    pairs.for_each(|(a, b)| (n, n_equal) = (n + 1, n_equal + usize::from(a == b)));
    format!("{n_equal} of {n} predictions equal")
}

fn inertias(ours: &Value, theirs: &Value) -> String {
    format!("inertia {:+.2}%", 100.0 * (number(ours, "inertia") / number(theirs, "inertia") - 1.0))
}

fn maps(ours: &Value, theirs: &Value) -> String {
    let places: Vec<f32> = serde_json::from_value(ours["map"].clone()).unwrap();
    let labels: Vec<u32> = serde_json::from_value(ours["labels"].clone()).unwrap();
    let map = Array2::from_shape_vec((labels.len(), 2), places).unwrap().into_shared();
    let clusters = KMeans::params(38).fit(&DatasetBase::from(map)).unwrap();
    let ari = adjusted_rand(&clusters.labels, &labels).unwrap();
    format!("ARI {ari:.3} / {:.3}", number(theirs, "ari"))
}

fn accuracies(ours: &Value, theirs: &Value) -> String {
    format!("mean accuracy {:.4} / {:.4}", number(ours, "accuracy"), number(theirs, "accuracy"))
}

/// Seconds of ours alone as one size grows and the others stay.
fn costs() -> Vec<(&'static str, &'static str, Vec<growth::Line>)> {
    let time = |n: usize, d: usize, k: usize| {
        let (rows, labels) = features(n, d, k, 9);
        let train = labelled(rows.clone(), labels).unwrap();
        let shared = rows.into_shared();
        let seconds = |work: &dyn Fn()| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        };
        println!("growth: {n} x {d}, {k} classes");
        [
            seconds(&|| drop(Index::new(shared.clone(), Metric::Euclidean).unwrap().within(5).unwrap())),
            seconds(&|| drop(Logistic::params(1.0).fit(&train).unwrap())),
            seconds(&|| drop(KMeans::params(k).n_init(1).fit(&DatasetBase::from(shared.clone())).unwrap())),
            seconds(&|| drop(Umap::params(0).map(&shared).unwrap())),
        ]
    };
    time(1000, 64, 10);
    let names = ["kNN, all rows", "LR, C = 1", "k-means, one start", "UMAP"];
    let lines = |sizes: &[usize], time: &dyn Fn(usize) -> [f64; 4]| {
        let times: Vec<(f64, [f64; 4])> = sizes.iter().map(|&size| (size as f64, time(size))).collect();
        let line = |(number, name): (usize, &'static str)| (name, times.iter().map(|(x, t)| (*x, t[number])).collect());
        names.into_iter().enumerate().map(line).collect::<Vec<growth::Line>>()
    };
    vec![
        ("n", "rows", lines(&[1000, 2000, 4000, 8000, 16_000], &|n| time(n, 256, 20))),
        ("d", "features a row", lines(&[64, 128, 256, 512, 1024], &|d| time(4000, d, 20))),
        ("classes", "classes", lines(&[5, 10, 20, 50, 100], &|k| time(4000, 256, k))),
    ]
}

/// Peak memory of a search among 200,000 x 768 references over the size of these, in this process.
fn peak_memory() -> f64 {
    let (n, d) = (200_000, 768);
    let mut random = wider_clip::random::Random::new("bench memory", 0, 0);
    let rows = Array2::from_shape_fn((n, d), |_| random.unit() as f32);
    let queries = rows.slice(s![..64, ..]).to_owned();
    let train = labelled(rows, (0..n as u32).map(|i| i % 100).collect()).unwrap();
    let predicted = Knn::params(5).fit(&train).unwrap().try_predict(queries.view()).unwrap();
    assert_eq!(predicted.len(), 64);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("VmHWM: 0 kB");
    let kilobytes: f64 = line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    kilobytes * 1024.0 / (n * d * 4) as f64
}

fn memory_of_a_child() -> String {
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program).arg("--memory").output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_string()
}

/// The measured part of the page.
fn page(rows: &[Row], versions: &Value, threads: usize, memory: &str) -> String {
    let memory: f64 = memory.parse().unwrap_or(f64::NAN);
    format!(
        "{}; {threads} threads for either side; {}.\n\n{}\n\
         Peak memory of a kNN search among 200,000 x 768 references, everything in the process included: {memory:.2} x the \
         features themselves (goal: below 1.5).\n",
        report::machine(),
        report::versions(versions),
        report::table(Unit::Seconds, rows),
    )
}
