//! The command line. `wider-clip --help` lists the commands; each is one function of the library.

use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use wider_clip::datasets::Wanted;
use wider_clip::display::{datasets_table, models_table};
use wider_clip::error::{Error, Result};
use wider_clip::experiments::finetuning::command;
use wider_clip::experiments::work::{self, Ended, What};
use wider_clip::experiments::{representations, shipping};
use wider_clip::manifest::{Method, Tuning};
use wider_clip::models::best_device;
use wider_clip::ops::keep_memory;
use wider_clip::own;
use wider_clip::pretrain::command::{BUDGET, Request};
use wider_clip::progress::thousands;
use wider_clip::project::Project;
use wider_clip::results::{frame, read_rows, shipped_folder, to_csv};
use wider_clip::say;
use wider_clip::storage::{named_folder, write_atomic};
use wider_clip::target::check_kind;
use wider_clip::workbench::course::{self, command::Course};
use wider_clip::workbench::{Workbench, bundle, images, kernel, lab, report, setup};

const EXAMPLES: &str = "\
Examples:
  cargo run -- report                   set up, run the notebooks, make the HTML report
  cargo run -- report --suite full      more label budgets and seeds, resumable
  cargo run -- report --only 01         one notebook
  cargo run -- lab                      the notebooks in JupyterLab

Most stays in the project's folder: .wider-clip/ (Python environment, kernel, caches), results/ and report/. What else is written,
and where, is in environment.md.";

/// CLIP and its rivals as image representations: a study that runs, as notebooks in Rust.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the notebooks and make the HTML report
    Report(Report),
    /// Open the notebooks in JupyterLab
    Lab(Lab),
    /// List the models: parameters, weights, licence, what is on this machine
    Models,
    /// List the data sets: images, classes, source, licence, what is on this machine
    Datasets,
    /// Train pocket models from nothing on the icon corpus; interrupted, it goes on where it was
    Pretrain(Pretrain),
    /// Fine-tune one model on a data set or a folder of your own; interrupted, it goes on where it was
    Finetune(Finetune),
    /// Say what pictures show, by a classifier that finetune has left
    Classify {
        /// The file that finetune wrote
        classifier: PathBuf,
        /// Pictures
        #[arg(required = true)]
        pictures: Vec<PathBuf>,
        /// Classes that are printed for each
        #[arg(long, default_value_t = 3)]
        classes: usize,
    },
    /// Report on images of your own: is the folder sound, which model, how many labels; and leave a classifier
    Images(Images),
    /// Say what pictures show, by a classifier that `images` has left
    Predict {
        /// The folder `classifier` of a report
        classifier: PathBuf,
        /// Pictures, and folders of pictures
        #[arg(required = true)]
        pictures: Vec<PathBuf>,
        /// Write a CSV file instead of printing
        #[arg(long, value_name = "FILE")]
        csv: Option<PathBuf>,
        /// Write the features too, as safetensors
        #[arg(long, value_name = "FILE")]
        features: Option<PathBuf>,
    },
    /// Print what decides a result row, part by part, and which parts are other than in the rows that came with the project
    Key(KeyOf),
    /// Put the rows of suites that were computed here into data_manifests/results/, to come with the project
    Ship {
        /// The suites whose rows are put there, instead of all that are there: rows of others go
        #[arg(long, value_delimiter = ',', default_values = ["full", "default"])]
        suite: Vec<String>,
    },
    /// List what a suite lacks as lines for a scheduler: parts of the work with seconds and memory, JSON line by line
    Plan(PlanOf),
    /// Do parts of the work that plan lists; stopped, the same call goes on. Exit status: 0 done, 75 try again, 65 do not
    Run {
        /// The suite that they are part of
        #[arg(long, default_value = "default")]
        suite: String,
        /// Ids of parts
        #[arg(long, required = true, num_args = 1.., value_name = "ID")]
        cell: Vec<String>,
    },
    /// Bring together what many machines did, and say what is missing. Exit status: 0 all is there, 65 something is not
    Gather {
        /// The suite that is to be whole
        #[arg(long, default_value = "default")]
        suite: String,
    },
    /// Pack program, manifests and data into one file for machines without cargo, Python or network
    Bundle {
        /// The file
        #[arg(long, value_name = "FILE", default_value = "wider-clip.tar.gz")]
        out: PathBuf,
        /// Features to build with, such as cuda
        #[arg(long, value_delimiter = ',')]
        features: Vec<String>,
        /// Leave out embedded pictures, weights and rows, for data sets and models from the hub
        #[arg(long)]
        without_data: bool,
        /// Leave out the program itself and its manifests, for benches alone
        #[arg(long, requires = "benches")]
        without_program: bool,
        /// Programs of benches/ that come along, with the scripts beside them
        #[arg(long, value_delimiter = ',')]
        benches: Vec<String>,
    },
    /// Print the rows of a Parquet file as CSV, without where and when they were made
    Rows {
        /// A file of results/ or of a report's data/
        file: PathBuf,
    },
    /// The course: build what students get, check, mark, write feedback
    #[command(subcommand)]
    Course(Course),
    /// Make the Python environment and compile the notebook kernel (the other commands do so when needed)
    Setup {
        /// Install Snakemake with its Slurm plugin too; it needs Python 3.11
        #[arg(long)]
        workflow: bool,
    },
    /// Become the Rust kernel that serves a connection file; Jupyter calls this
    #[command(hide = true)]
    Kernel { connection_file: PathBuf },
}

#[derive(Args)]
struct Report {
    /// What the notebooks run: default (minutes), full (more label budgets and seeds, resumable) or smoke (seconds, for tests)
    #[arg(long, default_value = "default")]
    suite: String,
    /// Run only notebooks whose name starts with this, such as 01
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Where the report goes; by default report/ in the project, or in the folder of WIDER_CLIP_STATE
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Put the executed notebooks back into notebooks/, charts with a static picture (needs Chromium)
    #[arg(long)]
    save: bool,
    /// Open every page in headless Chromium with the network refused; fail on any request or console error
    #[arg(long)]
    offline_check: bool,
    /// Compute every result row on this machine; use none that came with the project
    #[arg(long)]
    fresh: bool,
}

#[derive(Args)]
struct Images {
    /// A folder of class folders, of train/val/test, of pictures with metadata.csv, .jsonl or .parquet, of Parquet files; or
    /// one table or Parquet file
    images: PathBuf,
    /// Ids of models (wider-clip models lists them), instead of all on this machine
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
    /// Minutes for the features and classifiers of models, one new model at least; what does not fit is named, and a second call
    /// goes on. Looks at the pictures, a sample per model, checks, curve, map and page come on top
    #[arg(long, value_name = "MINUTES")]
    budget: Option<f64>,
    /// Fetch weights that are not on this machine
    #[arg(long)]
    download: bool,
    /// Decides folds and resamples
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where the report goes; by default your_images/<name>
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// The column with the picture's file, or in Parquet the picture
    #[arg(long, value_name = "COLUMN")]
    image_column: Option<String>,
    /// The column with the class
    #[arg(long, value_name = "COLUMN")]
    label_column: Option<String>,
    /// The column with what belongs together and must not be learned from and tested on at once
    #[arg(long, value_name = "COLUMN")]
    group_column: Option<String>,
    /// The column with where a picture comes from
    #[arg(long, value_name = "COLUMN")]
    domain_column: Option<String>,
    /// The column with the part: train, val, test
    #[arg(long, value_name = "COLUMN")]
    split_column: Option<String>,
    /// Write what was found out as a manifest, to be changed and named in a suite
    #[arg(long, value_name = "FILE")]
    save_manifest: Option<PathBuf>,
}

#[derive(Args)]
struct KeyOf {
    /// Id of a data set
    dataset: String,
    /// Id of a model
    model: String,
    /// The suite that decides how many images take part
    #[arg(long, default_value = "default")]
    suite: String,
    /// A method of the suites: knn, lr, ...
    #[arg(long, default_value = "knn")]
    method: String,
    /// A label budget
    #[arg(long, default_value_t = 10)]
    budget: u32,
    /// A seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

#[derive(Args)]
struct PlanOf {
    /// The suite
    #[arg(long, default_value = "default")]
    suite: String,
    /// Kinds of work: features, probes, finetune, drift, clusters
    #[arg(long, value_delimiter = ',', default_values = ["features", "probes", "finetune", "drift", "clusters"])]
    what: Vec<String>,
    /// About how long a part may take where it can be cut so small
    #[arg(long, value_name = "MINUTES", default_value_t = 20.0)]
    minutes: f64,
    /// Write a file instead of printing, whole or not at all
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct Lab {
    /// The suite that cells find in their environment
    #[arg(long, default_value = "default")]
    suite: String,
    /// The folder to open, instead of the project's notebooks
    folder: Option<PathBuf>,
    /// Passed on to JupyterLab, after --
    #[arg(last = true)]
    arguments: Vec<String>,
}

#[derive(Args)]
struct Pretrain {
    /// A pocket model: clip, vit_16, vit_32, convnext_base, convnext_tiny, dino, mae, beit, data2vec, efficientnet; or all. Each
    /// makes <model>_pocket.icons, but vit_16 makes vit_p8_pocket.icons and vit_32 makes vit_p16_pocket.icons
    model: String,
    /// Where it runs: cpu or cuda
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Source images drawn, views not counted
    #[arg(long, default_value_t = BUDGET)]
    images: u64,
    /// Decides weights, order, views and masks
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Stop after so many steps, with a checkpoint
    #[arg(long, value_name = "STEPS")]
    stop_after: Option<u64>,
    /// Seconds between checkpoints: what a kill may cost
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    every: u64,
    /// Folder for checkpoints and curves, one folder per model and run inside; by default pretrain/ in .wider-clip/ of the
    /// project, or in the folder of WIDER_CLIP_STATE
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Put finished weights, curves and cards into data_manifests/embedded/pocket and write their records
    #[arg(long)]
    save: bool,
}

#[derive(Args)]
struct Finetune {
    /// Id of a model (wider-clip models lists them)
    model: String,
    /// Id of a data set, or a folder of class folders; of a folder with parts (train, test) the test is measured on, and no more
    #[arg(long)]
    data: String,
    /// Label budget: so many images of each class, of which 70% are trained on and 20% validate
    #[arg(long, default_value_t = 100)]
    budget: usize,
    /// Decides the split, the head and the order of the images
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// finetune (the study's), finetune_augmented, finetune_tuned, lp_ft or wise
    #[arg(long, default_value = "lp_ft")]
    method: String,
    /// Epochs at most
    #[arg(long, value_name = "EPOCHS", default_value_t = 1000)]
    max_epochs: u64,
    /// Images of a batch that are in memory together, where memory is short
    #[arg(long, value_name = "IMAGES")]
    images_at_once: Option<usize>,
    /// Where it runs: cpu, cuda, or the best there is
    #[arg(long, default_value = "best")]
    device: String,
    /// f32; on a GPU also tf32 and bf16, with weights in f32
    #[arg(long, default_value = "f32")]
    precision: String,
    /// File for the classifier
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    // Before there are other threads.
    keep_memory();
    let_idle_threads_sleep();
    make_folders_absolute();
    match run(Arguments::parse().command) {
        Ok(()) if say::output_failed() => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::aside(&format!("error: {}", error.chain()));
            ExitCode::FAILURE
        }
    }
}

/// .cargo/config.toml says why. cargo sets the same, but a bundle, a job of a cluster or a shell starts this program without it.
fn let_idle_threads_sleep() {
    const LIMIT: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if std::env::var_os(LIMIT).is_none() {
        // SAFETY: there is no other thread yet that could read the environment meanwhile.
        unsafe { std::env::set_var(LIMIT, "0") };
    }
}

/// A notebook's kernel works in another folder than the one that the program was started in; both must mean the same folders.
fn make_folders_absolute() {
    for variable in ["WIDER_CLIP_STATE", "WIDER_CLIP_CACHE", "WIDER_CLIP_RESULTS"] {
        if let Some(folder) = named_folder(variable) {
            // SAFETY: as above.
            unsafe { std::env::set_var(variable, folder) };
        }
    }
    for variable in ["HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH", "XDG_CACHE_HOME"] {
        let named = std::env::var_os(variable).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        // `~` and `$NAME` are read where the hub is spoken to.
        let is_plain = |path: &PathBuf| path.is_relative() && !path.to_string_lossy().starts_with(['~', '$']);
        if let Some(folder) = named.filter(is_plain).and_then(|folder| std::path::absolute(folder).ok()) {
            // SAFETY: as above.
            unsafe { std::env::set_var(variable, folder) };
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workbench = Workbench::find()?;
    match command {
        Command::Report(arguments) => make_report(&workbench, arguments),
        Command::Lab(arguments) => {
            lab::serve(&workbench, &arguments.suite, arguments.folder.as_deref(), &arguments.arguments)
        }
        Command::Models => {
            let project = Project::open(workbench.root(), "default")?;
            wider_clip::say!("{}", models_table(&project).to_text());
            Ok(())
        }
        Command::Datasets => {
            let project = Project::open(workbench.root(), "default")?;
            wider_clip::say!("{}", datasets_table(&project).to_text());
            Ok(())
        }
        Command::Key(arguments) => explain_key(&workbench, &arguments),
        Command::Ship { suite } => {
            let open = |suite: &String| Project::open(workbench.root(), suite);
            let n = shipping::ship(&suite.iter().map(open).collect::<Result<Vec<_>>>()?, &best_device()?)?;
            wider_clip::say!("{} rows in {}", thousands(n), wider_clip::say::path(&shipped_folder(workbench.root())));
            Ok(())
        }
        Command::Plan(arguments) => print_plan(&workbench, &arguments),
        Command::Run { suite, cell } => run_parts(&workbench, &suite, &cell),
        Command::Gather { suite } => gather_parts(&workbench, &suite),
        Command::Bundle { out, features, without_data, without_program, benches } => {
            let asked = bundle::Asked { out: out.clone(), features, without_data, without_program, benches };
            let bundle = bundle::make(&workbench, &asked)?;
            let mb = bundle.size as f64 / 1e6;
            let (path, glibc) = (wider_clip::say::path(&out), bundle.glibc);
            wider_clip::say!("{path}: {mb:.1} MB, for machines of this kind with glibc {glibc} or later");
            if !without_program {
                wider_clip::say!("There: tar xzf <file>, then wider-clip/wider-clip run --suite <suite> --cell <id>");
            }
            Ok(())
        }
        Command::Rows { file } => print_rows(&file),
        Command::Pretrain(arguments) => pretrain(&workbench, arguments),
        Command::Finetune(arguments) => finetune(&workbench, arguments),
        Command::Classify { classifier, pictures, classes } => command::classify(&classifier, &pictures, classes),
        Command::Images(arguments) => report_on_images(&workbench, arguments),
        Command::Predict { classifier, pictures, csv, features } => {
            let project = Project::open(workbench.root(), "default")?;
            own::predict(&project, &classifier, &pictures, csv.as_deref(), features.as_deref())
        }
        Command::Course(asked) => match course::command::run(&workbench, asked)? {
            0 => Ok(()),
            code => std::process::exit(code),
        },
        Command::Setup { workflow } => {
            setup::ensure(&workbench)?;
            if workflow {
                setup::ensure_workflow(&workbench)?;
            }
            wider_clip::say!("ready");
            Ok(())
        }
        Command::Kernel { connection_file } => std::process::exit(kernel::launch(&workbench, &connection_file)?),
    }
}

/// A part that may succeed later without anybody's doing (EX_TEMPFAIL of sysexits.h).
const AGAIN: i32 = 75;
/// A part that cannot be had (EX_DATAERR).
const WRONG: i32 = 65;

fn print_plan(workbench: &Workbench, arguments: &PlanOf) -> Result<()> {
    if arguments.out.is_none() {
        wider_clip::say::keep_output_for_data();
    }
    if let Some(path) = &arguments.out {
        check_kind(path, "a plan", |beginning| beginning.starts_with(b"{\""))?;
    }
    let project = Project::open(workbench.root(), &arguments.suite)?;
    let what = arguments.what.iter().map(|name| What::known(name)).collect::<Result<Vec<What>>>()?;
    let planned = work::plan(&project, &what, arguments.minutes, &best_device()?)?;
    for left in &planned.left_out {
        wider_clip::say::aside(&format!("left out: {}", left.line()));
    }
    let text: String = planned.lines.iter().map(|line| line.json() + "\n").collect();
    match &arguments.out {
        Some(path) => write_atomic(path, text.as_bytes()),
        None => print_data(text.as_bytes()),
    }
}

fn run_parts(workbench: &Workbench, suite: &str, cells: &[String]) -> Result<()> {
    // A scheduler knows this program by its status: 1 is what a kill for want of memory looks like to some.
    let begun = Project::open(workbench.root(), suite).and_then(|project| Ok((project, best_device()?)));
    let (project, device) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            wider_clip::say::aside(&format!("error: {}", error.chain()));
            std::process::exit(if error.is_passing() { AGAIN } else { WRONG });
        }
    };
    let mut code = 0;
    for cell in cells {
        let ended = work::run(&project, cell, &device).unwrap_or_else(|error| match error.is_passing() {
            true => Ended::Again(vec![error.chain()]),
            false => Ended::Wrong(vec![error.chain()]),
        });
        let (status, reasons) = match ended {
            Ended::Done => {
                wider_clip::say!("{cell}: done");
                continue;
            }
            Ended::Again(reasons) => (AGAIN, reasons),
            Ended::Wrong(reasons) => (WRONG, reasons),
        };
        reasons.iter().for_each(|reason| wider_clip::say::aside(&format!("{cell}: {reason}")));
        // What may succeed later is worth another try of all: what is done is not done again.
        code = if code == AGAIN { AGAIN } else { status };
    }
    if code == 0 { Ok(()) } else { std::process::exit(code) }
}

fn gather_parts(workbench: &Workbench, suite: &str) -> Result<()> {
    const SHOWN: usize = 20;
    let gathered = work::gather(&Project::open(workbench.root(), suite)?, 20.0, &best_device()?)?;
    wider_clip::say!("{} rows of {} parts gathered", thousands(gathered.rows), thousands(gathered.parts));
    let missing = &gathered.missing;
    let mut lines: Vec<String> = Vec::new();
    lines.extend(gathered.busy.iter().map(|id| format!("under way: {id}")));
    lines.extend(gathered.broken.iter().map(|line| format!("cannot be read: {line}")));
    lines.extend(missing.left_out.iter().map(|left| format!("left out: {}", left.line())));
    for (id, reasons) in &gathered.failed {
        lines.extend(reasons.iter().map(|reason| format!("failed: {id}: {reason}")));
    }
    for line in missing.lines.iter().take(SHOWN) {
        lines.push(format!("missing: {} ({} cells, about {} s)", line.cell, thousands(line.count), line.seconds));
    }
    if missing.lines.len() > SHOWN {
        lines.push(format!("and {} more; wider-clip plan --suite {suite} lists them", missing.lines.len() - SHOWN));
    }
    lines.iter().for_each(|line| wider_clip::say!("{line}"));
    match gathered.is_whole() {
        true => {
            wider_clip::say!("all of {suite} is there");
            Ok(())
        }
        false => std::process::exit(WRONG),
    }
}

/// All that two runs on one machine must agree in.
fn print_rows(file: &Path) -> Result<()> {
    let frame = frame(&read_rows(file)?)?.drop_many(["machine", "date", "version"]);
    let csv = to_csv(&frame)?;
    print_data(&csv)
}

/// Data for whoever reads standard output; who goes away has read enough.
fn print_data(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "writing to")(error))
        }
        _ => Ok(()),
    }
}

fn explain_key(workbench: &Workbench, arguments: &KeyOf) -> Result<()> {
    let project = Project::open(workbench.root(), &arguments.suite)?;
    let method = Method::known(&arguments.method)?;
    let KeyOf { dataset, model, budget, seed, .. } = arguments;
    let key = representations::key(&project, dataset, model, (method, *budget, *seed), &best_device()?)?;
    wider_clip::say!("{key}");
    for line in shipping::differences(&project, dataset, model, &key)? {
        wider_clip::say!("{line}");
    }
    Ok(())
}

fn make_report(workbench: &Workbench, arguments: Report) -> Result<()> {
    let project = Project::open(workbench.root(), &arguments.suite)?;
    if work::has_parts(&project) {
        wider_clip::say!(
            "Parts of the work of other machines are there; `wider-clip gather --suite {}` takes them",
            arguments.suite
        );
    }
    let options = report::Options {
        suite: arguments.suite,
        only: arguments.only,
        out: arguments.out,
        save: arguments.save,
        offline_check: arguments.offline_check,
        fresh: arguments.fresh,
    };
    let index = report::make(workbench, &options)?;
    wider_clip::say!("The report is at {}", wider_clip::say::path(&index));
    Ok(())
}

fn report_on_images(workbench: &Workbench, arguments: Images) -> Result<()> {
    let wanted = Wanted {
        image: arguments.image_column,
        label: arguments.label_column,
        group: arguments.group_column,
        domain: arguments.domain_column,
        split: arguments.split_column,
    };
    let asked = images::Asked {
        images: arguments.images,
        models: arguments.models,
        minutes: arguments.budget,
        download: arguments.download,
        seed: arguments.seed,
        out: arguments.out,
        wanted,
        save_manifest: arguments.save_manifest,
    };
    images::serve(workbench, &asked)
}

fn finetune(workbench: &Workbench, arguments: Finetune) -> Result<()> {
    let project = Project::open(workbench.root(), "default")?;
    let request = command::Request {
        model: arguments.model,
        data: arguments.data,
        budget: arguments.budget,
        seed: arguments.seed,
        method: Tuning::known(&arguments.method)?,
        max_epochs: arguments.max_epochs,
        images_at_once: arguments.images_at_once,
        precision: arguments.precision,
        device: arguments.device,
        out: arguments.out,
    };
    command::serve(project, &request)
}

fn pretrain(workbench: &Workbench, arguments: Pretrain) -> Result<()> {
    let request = Request {
        models: if arguments.model == "all" { Vec::new() } else { vec![arguments.model] },
        device: arguments.device,
        images: arguments.images,
        seed: arguments.seed,
        stop_after: arguments.stop_after,
        every: Duration::from_secs(arguments.every),
        out: arguments.out.unwrap_or_else(|| workbench.state().join("pretrain")),
        save: arguments.save,
    };
    wider_clip::pretrain::command::serve(workbench.root(), &request)
}
