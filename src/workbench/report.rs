//! The report: notebooks are run, and one folder of pages is made that opens without a network.
//!
//! `index.html`, one page a notebook, `assets/` (style, plotly.js and MathJax as the plotly crate embeds them),
//! `notebooks/` (the executed copies) and `data/` (result rows, and how long the run took). A notebook's page is there as
//! soon as the notebook is done, before the next one runs; until all are, the first page says what is still coming. Pages
//! are made aside, searched for outside addresses, and only then moved into place; what did not change is not made again.
//! Where a notebook fails, its page of an earlier run stays and says so.

use super::course::assignments::Notebook;
use super::course::has_same_cells;
use super::notebooks::{self, Run, stem};
use super::outputs::{self, Output};
use super::page_check::{local_files, outside_addresses, outside_addresses_of_style};
use super::process::{self, Board, failed};
use super::times::Times;
use super::{BETWEEN, Workbench, browser, export, setup};
use crate::display::{json_for_pages, shorten};
use crate::error::{Error, Result};
use crate::experiments::current_keys;
use crate::manifest::{Manifests, ModelRecord};
use crate::models::best_device;
use crate::progress::{duration, thousands};
use crate::project::Project;
use crate::results::{self, ResultRow};
use crate::say;
use crate::storage::{own_state, results_folder, sweep, write_atomic};
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Program, templates and static files, by the name under which they are written out for Python.
const RENDER: &str = include_str!("render.py");
const TEMPLATE: [(&str, &str); 4] = [
    ("index.html.j2", include_str!("template/index.html.j2")),
    ("style.css", include_str!("template/style.css")),
    ("page/conf.json", include_str!("template/page/conf.json")),
    ("page/index.html.j2", include_str!("template/page/index.html.j2")),
];
const CHARTS: &str = include_str!("template/charts.js");
const READER: &str = include_str!("template/reader.js");
const MATHJAX_SETTINGS: &str = include_str!("template/mathjax-settings.js");

/// What the names of folders begin with in which pages are made.
const PAGES: &str = ".pages-";

/// Notebooks that run at the same time.
const AT_ONCE: usize = 2;

/// The largest notebook that is committed: 1 MB.
const MAX_SAVED: u64 = 1_000_000;

/// What a report is made of and where it goes.
#[derive(Debug, Clone)]
pub struct Options {
    /// The suite that the notebooks run: "default", "full" or "smoke".
    pub suite: String,
    /// Run only notebooks whose name starts with this ("01"); pages of others stay.
    pub only: Option<String>,
    /// The folder of the report; that of [`usual_folder`] where none is given.
    pub out: Option<PathBuf>,
    /// Put the executed notebooks, with a static picture of every chart, back into `notebooks/`.
    pub save: bool,
    /// Open every page in headless Chromium with the network refused, and fail where that shows an error.
    pub offline_check: bool,
    /// Compute every row here; use none that came with the project.
    pub fresh: bool,
}

/// Sets up, runs the notebooks and makes the report. Returns the path of its first page.
///
/// # Errors
/// Those of [`setup::ensure`]; [`Error::Notebook`] where a cell fails; [`Error::Data`] where a page would need the
/// network or a saved notebook would be larger than 1 MB; [`Error::Program`] where a browser is needed and missing.
pub fn make(workbench: &Workbench, options: &Options) -> Result<PathBuf> {
    let needs = [
        (options.save, "no browser found, which draws the pictures of saved charts"),
        (options.offline_check, "no browser found, which opens the pages with the network refused"),
    ];
    if let Some((_, without)) = needs.into_iter().find(|(asked, _)| *asked).filter(|_| browser::find().is_none()) {
        return Err(failed("chromium", without, browser::ADVICE));
    }
    let mut times = Times::begin();
    let out = options.out.clone().unwrap_or_else(|| usual_folder(workbench));
    let claimed = outputs::claim(&out, Output::Report)?;
    let out = claimed.folder.clone();
    times.set_up(workbench, setup::ensure(workbench)?);
    // What killed runs have left: of pages here, where nobody else writes now, and of files between programs.
    sweep(&out, PAGES, Duration::ZERO);
    sweep(&workbench.state(), BETWEEN, Duration::from_secs(24 * 3600));
    let chosen = notebooks::list(workbench, options.only.as_deref())?;
    forget_removed(workbench, &out)?;
    let pages = run_all(workbench, options, &chosen, &out, &mut times)?;
    crate::say!("{} pages; none points at a network", pages.len());
    if options.offline_check {
        check_in_browser(workbench, &pages)?;
    }
    let saved = if options.save { save(workbench, &chosen, &out) } else { Ok(()) };
    times.write(&out.join("data").join("times.json"), &options.suite)?;
    crate::say!("{}", times.table().to_text());
    saved.map(|()| out.join("index.html"))
}

/// Where a report goes that nobody gave a place: `report` in the folder of `WIDER_CLIP_STATE`, else in the project's.
pub fn usual_folder(workbench: &Workbench) -> PathBuf {
    own_state().unwrap_or_else(|| workbench.root().to_path_buf()).join("report")
}

/// Removes the copies and pages of notebooks that the project no longer has.
fn forget_removed(workbench: &Workbench, out: &Path) -> Result<()> {
    let copies = out.join("notebooks");
    fs::create_dir_all(&copies).map_err(Error::io(&copies, "creating the folder"))?;
    for copy in notebooks::numbered_notebooks(&copies)? {
        if !workbench.notebooks().join(copy.file_name().unwrap_or_default()).exists() {
            fs::remove_file(&copy).map_err(Error::io(&copy, "removing"))?;
            let page = out.join(format!("{}.html", stem(&copy)));
            if page.exists() {
                fs::remove_file(&page).map_err(Error::io(&page, "removing"))?;
            }
        }
    }
    Ok(())
}

/// A notebook of the run that has no page of this run yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    /// The notebook.
    pub source: PathBuf,
    /// Where it stands.
    pub state: State,
}

/// Where a notebook of the run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Its turn will come.
    Waiting,
    /// It is being run.
    Running,
    /// It failed, with the cell and the message.
    Failed(String),
}

/// Runs the notebooks, the first alone and then two at a time. Before each, the pages of those that are done are made.
/// Where one fails, no other is begun.
fn run_all(
    workbench: &Workbench,
    options: &Options,
    chosen: &[PathBuf],
    out: &Path,
    times: &mut Times,
) -> Result<Vec<PathBuf>> {
    let run = |(number, source): (usize, &PathBuf)| Run {
        source: source.clone(),
        executed: out.join("notebooks").join(source.file_name().unwrap_or_default()),
        folder: workbench.notebooks(),
        suite: options.suite.clone(),
        fresh: options.fresh,
        images: None,
        position: Some((number + 1, chosen.len())),
    };
    let runs: Vec<Run> = chosen.iter().enumerate().map(run).collect();
    // What did not change has its page from the start.
    let mut coming = Vec::new();
    for run in &runs {
        if !notebooks::is_unchanged(workbench, run)? {
            coming.push(Coming { source: run.source.clone(), state: State::Waiting });
        }
    }
    let changed = coming.len();
    let board = Board::new();
    let suite = options.suite.as_str();
    let pages = Pages { board: &board, workbench, suite, out, chosen, told: false, spent: Duration::ZERO };
    let going = Mutex::new(Going { coming, pages, times, error: None });
    let next = AtomicUsize::new(0);
    let one = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        runs.get(number).is_some_and(|run| run_one(&board, workbench, run, &going))
    };
    // The first alone, for the first page; then several, as none of them keeps all processors busy all the time.
    if one() {
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(AT_ONCE);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| while one() {});
            }
        });
    }
    let Going { mut pages, times, error, .. } = going.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = error {
        return Err(error);
    }
    let took = format!(
        "The last run took {}; {changed} of {} notebooks had changed.",
        duration(times.so_far().as_secs_f64()),
        runs.len()
    );
    let written = pages.write(&[], Some(took), times)?;
    times.note("pages", Some(pages.spent));
    Ok(written)
}

/// A run of several notebooks.
struct Going<'a> {
    /// What has no page of this run yet.
    coming: Vec<Coming>,
    pages: Pages<'a>,
    times: &'a mut Times,
    /// What the first notebook that failed failed with.
    error: Option<Error>,
}

/// Runs one notebook, if it changed and none failed before; whether others may follow.
fn run_one(board: &Board, workbench: &Workbench, run: &Run, going: &Mutex<Going>) -> bool {
    // A thread that panicked ends the whole run.
    let lock = || going.lock().unwrap_or_else(PoisonError::into_inner);
    let name = say::plain(&stem(&run.source)).into_owned();
    let head = run.position.map_or_else(|| name.clone(), |(number, of)| format!("notebook {number}/{of} {name}"));
    {
        let mut guard = lock();
        let Going { coming, pages, times, error } = &mut *guard;
        if error.is_some() {
            return false;
        }
        let Some(now) = coming.iter_mut().find(|item| item.source == run.source) else {
            board.say(&format!("{head}: nothing changed since its last run"));
            times.note(name, None);
            return true;
        };
        now.state = State::Running;
        board.say(&format!("{head}: suite {}", run.suite));
        if let Err(failed) = pages.write(coming, None, times) {
            *error = Some(failed);
            return false;
        }
    }
    let begun = Instant::now();
    let outcome = notebooks::execute_on(board, workbench, run);
    let mut guard = lock();
    let Going { coming, pages, times, error } = &mut *guard;
    match outcome {
        Ok(_) => {
            board.say(&format!("{head}: done in {}", duration(begun.elapsed().as_secs_f64())));
            times.note(name, Some(begun.elapsed()));
            coming.retain(|item| item.source != run.source);
            true
        }
        Err(failed) => {
            board.say(&format!("{head}: failed"));
            pages.tell_failure(coming, &run.source, &failed);
            error.get_or_insert(failed);
            false
        }
    }
}

/// The pages of a run as they are written again and again.
struct Pages<'a> {
    board: &'a Board,
    workbench: &'a Workbench,
    suite: &'a str,
    out: &'a Path,
    chosen: &'a [PathBuf],
    /// Whether it was said that the first page is ready.
    told: bool,
    /// How long all the writing took.
    spent: Duration,
}

impl Pages<'_> {
    /// Brings the pages up to date, and says so when the first one is there.
    fn write(&mut self, coming: &[Coming], took: Option<String>, times: &mut Times) -> Result<Vec<PathBuf>> {
        let begun = Instant::now();
        let standing = Standing { suite: self.suite, coming, took, ended: None };
        let written = match write_standing(self.workbench, self.out, &standing) {
            Ok(written) => written,
            Err(error) => {
                self.tell_end(coming, &error);
                return Err(error);
            }
        };
        self.spent += begun.elapsed();
        let done = |source: &&PathBuf| !coming.iter().any(|item| item.source == **source);
        if let Some(first) = self.chosen.iter().find(done).filter(|_| !self.told) {
            self.told = true;
            times.first_page();
            let page = self.out.join(format!("{}.html", stem(first)));
            self.board.say(&format!("the first page is ready: {}", say::path(&page)));
        }
        Ok(written)
    }

    /// Says on the first page, and on the page of an earlier run, that the notebook whose turn it was failed. What failed
    /// counts more than whether that can be written.
    fn tell_failure(&self, coming: &mut [Coming], source: &Path, error: &Error) {
        if let Some(failed) = coming.iter_mut().find(|item| item.source == source) {
            failed.state = State::Failed(in_short(error));
        }
        let standing = Standing { suite: self.suite, coming, took: None, ended: None };
        if let Err(second) = write_standing(self.workbench, self.out, &standing) {
            self.tell_end(coming, error);
            self.board.say(&format!("the pages were not brought up to date: {}", second.chain()));
        }
    }

    /// Says on the first page that nothing more is coming, where pages could not be made.
    fn tell_end(&self, coming: &[Coming], error: &Error) {
        let not_run = |item: &Coming| match item.state {
            State::Running => Coming { source: item.source.clone(), state: State::Waiting },
            _ => item.clone(),
        };
        let coming: Vec<Coming> = coming.iter().map(not_run).collect();
        let standing = Standing { suite: self.suite, coming: &coming, took: None, ended: Some(in_short(error)) };
        if let Err(second) = write_standing(self.workbench, self.out, &standing) {
            self.board.say(&format!("the first page was not brought up to date: {}", second.chain()));
        }
    }
}

/// A failure in a line: the cell, and how the message begins.
fn in_short(error: &Error) -> String {
    /// Lines and characters of a message.
    const MOST: (usize, usize) = (3, 240);
    let (head, message) = match error {
        Error::Notebook { cell: 0, message, .. } => (String::new(), message.clone()),
        Error::Notebook { cell, message, .. } => (format!("code cell {cell}: "), message.clone()),
        other => (String::new(), other.to_string()),
    };
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    shorten(&say::visible(&format!("{head}{}", lines.take(MOST.0).collect::<Vec<_>>().join(" "))), MOST.1)
}

/// What the first page says of the run that writes it.
struct Standing<'a> {
    /// The suite whose rows are told of.
    suite: &'a str,
    /// What has no page of this run yet.
    coming: &'a [Coming],
    /// How long the run took, where it is over.
    took: Option<String>,
    /// Why the run ended before its time; then the first page alone is written.
    ended: Option<String>,
}

/// Makes the pages of all executed notebooks under `out`, and returns them. A page that was made from the same notebook
/// is not made again.
///
/// # Errors
/// [`Error::Program`] where nbconvert fails; [`Error::Data`] where a page would ask a network for something or lead
/// to a file that is not there. The pages of an earlier run then stay as they were.
pub fn write_pages(workbench: &Workbench, suite: &str, out: &Path) -> Result<Vec<PathBuf>> {
    write_pages_so_far(workbench, suite, out, &[])
}

/// The same while notebooks are `coming`, of which the first page tells.
///
/// # Errors
/// As [`write_pages`].
pub fn write_pages_so_far(workbench: &Workbench, suite: &str, out: &Path, coming: &[Coming]) -> Result<Vec<PathBuf>> {
    write_standing(workbench, out, &Standing { suite, coming, took: None, ended: None })
}

fn write_standing(workbench: &Workbench, out: &Path, standing: &Standing) -> Result<Vec<PathBuf>> {
    let executed = notebooks::numbered_notebooks(&out.join("notebooks"))?;
    let current = results_folder(workbench.root()).join("current").join(standing.suite);
    // While notebooks are coming their rows are; when all are done, or none is begun any more, what counts no more is left out.
    let failed = standing.coming.iter().any(|item| matches!(item.state, State::Failed(_)));
    let keys = match standing.ended.is_some() {
        true => keys_that_count(workbench, standing.suite, &current).ok(),
        false if failed || standing.coming.is_empty() => Some(keys_that_count(workbench, standing.suite, &current)?),
        false => None,
    };
    let counts = |row: &ResultRow| keys.as_ref().is_none_or(|keys| keys.contains(&row.cell.key));
    let mut rows = results::export(&current, &out.join("data"), counts)?;
    let (origin, disagreeing) = describe_origin(&results::standing(&current, counts)?);
    rows.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    write_libraries(workbench, &out.join("assets"))?;
    let staging = tempfile::Builder::new()
        .prefix(PAGES)
        .tempdir_in(out)
        .map_err(Error::io(out, "creating a temporary folder"))?;
    let information = serde_json::json!({
        "versions": versions(),
        "forms": export::FORMS,
        "tools": setup::requirements_hash(),
        "rows": describe_rows(&rows),
        "origin": origin,
        "disagreeing": disagreeing,
        "left_out": results::left_out_in(&current)?.iter().map(results::LeftOut::line).collect::<Vec<_>>(),
        "coming": standing.coming.iter().map(describe_coming).collect::<Vec<_>>(),
        "took": standing.took,
        "ended": standing.ended,
        "alone": false,
        "code": true,
    });
    render(workbench, &information, out, staging.path(), &executed, standing.ended.is_some())?;
    let mut names: Vec<String> = Vec::new();
    if standing.ended.is_none() {
        names.extend(executed.iter().map(|path| format!("{}.html", stem(path))));
    }
    names.push("index.html".into());
    let project = Project::open(workbench.root(), standing.suite)?;
    let counted: Vec<ResultRow> = results::rows_in(&current)?.into_iter().filter(&counts).collect();
    let lines = results::board(&project, &counted)?;
    let anchors = names.iter().map(|name| {
        let page = Some(staging.path().join(name)).filter(|path| path.exists()).unwrap_or_else(|| out.join(name));
        let html = fs::read_to_string(&page).map_err(Error::io(&page, "reading"))?;
        Ok(super::board::Anchors::of(name, &html))
    });
    let anchors = anchors.collect::<Result<Vec<_>>>()?;
    super::board::write(&lines, standing.suite, &versions(), &anchors, staging.path(), &out.join("data"))?;
    names.push(super::board::PAGE.into());
    for name in &names {
        check_page(staging.path(), name, &names, out)?;
    }
    check_style(&staging.path().join("assets").join("style.css"))?;
    for name in names.iter().map(String::as_str).chain(["assets/style.css"]) {
        // What is not in the staging folder is right as it is.
        let path = staging.path().join(name);
        if path.exists() {
            fs::rename(&path, out.join(name)).map_err(Error::io(&path, "moving into place"))?;
        }
    }
    Ok(names.iter().map(|name| out.join(name)).collect())
}

/// What made a page.
fn versions() -> String {
    format!("Wider CLIP {}, evcxr 0.22.0.", env!("CARGO_PKG_VERSION"))
}

/// Makes one page of an executed notebook that needs no other file, at `page`: styles and scripts stand in it. Code is folded, or
/// shown where `code` says so.
///
/// # Errors
/// As [`write_pages`].
pub fn write_one_page(workbench: &Workbench, executed: &Path, page: &Path, code: bool) -> Result<()> {
    let out = page.parent().unwrap_or(Path::new("."));
    let staging = tempfile::Builder::new()
        .prefix(PAGES)
        .tempdir_in(out)
        .map_err(Error::io(out, "creating a temporary folder"))?;
    write_libraries(workbench, &staging.path().join("assets"))?;
    let information = serde_json::json!({
        "versions": versions(),
        "forms": export::FORMS,
        "tools": setup::requirements_hash(), "rows": [], "origin": "", "disagreeing": [], "left_out": [], "coming": [],
        "took": null, "ended": null, "alone": true, "code": code,
    });
    render(workbench, &information, out, staging.path(), &[executed.to_path_buf()], false)?;
    let made = staging.path().join(format!("{}.html", stem(executed)));
    let html = fs::read_to_string(&made).map_err(Error::io(&made, "reading"))?;
    match outside_addresses(&without_libraries(&html)).into_iter().next() {
        Some(address) => Err(Error::data(page, "a page that needs no network", address)),
        None => fs::rename(&made, page).map_err(Error::io(page, "moving into place")),
    }
}

/// A page that stands alone without the libraries in it, which hold addresses that nothing here asks for.
fn without_libraries(html: &str) -> String {
    let mut rest = html;
    let mut kept = String::new();
    while let Some((before, after)) = rest.split_once("<script data-library>") {
        kept.push_str(before);
        rest = after.split_once("</script>").map_or("", |(_, after)| after);
    }
    kept + rest
}

/// Runs the program that makes pages.
fn render(
    workbench: &Workbench,
    information: &serde_json::Value,
    report: &Path,
    staging: &Path,
    executed: &[PathBuf],
    only_index: bool,
) -> Result<()> {
    let template = workbench.state().join("scripts").join("template");
    for (name, text) in TEMPLATE {
        write_atomic(&template.join(name), text.as_bytes())?;
    }
    let mut command = workbench.python_script("render.py", RENDER)?;
    command.arg("--template").arg(&template).arg("--report").arg(report).arg("--out").arg(staging);
    // In a file: a command line has an end.
    let told = workbench.file_between()?;
    fs::write(told.path(), information.to_string()).map_err(Error::io(told.path(), "writing"))?;
    command.arg("--information").arg(told.path());
    if only_index {
        command.arg("--only-index");
    }
    command.args(executed);
    process::output("render.py", &mut command, "A notebook or the template is broken; the lines above say where")?;
    Ok(())
}

/// The keys under which rows in the folder `current` count today. Rows of a notebook that was not run after a change have
/// others.
fn keys_that_count(workbench: &Workbench, suite: &str, current: &Path) -> Result<HashSet<String>> {
    let rows = results::rows_in(current)?;
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    current_keys(&Project::open(workbench.root(), suite)?, &rows, &best_device()?)
}

/// A page must not need the network, nor lead to a page or file of the report that is not there.
fn check_page(staging: &Path, name: &str, pages: &[String], out: &Path) -> Result<()> {
    let staged = staging.join(name);
    let path = if staged.exists() { staged } else { out.join(name) };
    let html = fs::read_to_string(&path).map_err(Error::io(&path, "reading"))?;
    if let Some(address) = outside_addresses(&html).into_iter().next() {
        return Err(Error::data(name, "a page that needs no network", address));
    }
    let there = |file: &String| pages.contains(file) || out.join(file).exists() || staging.join(file).exists();
    match local_files(&html).into_iter().find(|file| !there(file)) {
        Some(missing) => Err(Error::data(name, "links to files of the report", format!("`{missing}`, no such file"))),
        None => Ok(()),
    }
}

fn check_style(path: &Path) -> Result<()> {
    let css = fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    match outside_addresses_of_style(&css).into_iter().next() {
        Some(address) => Err(Error::data(path, "a style sheet that needs no network", address)),
        None => Ok(()),
    }
}

/// plotly.js and MathJax, as the plotly crate embeds them.
pub(super) fn libraries() -> [String; 2] {
    let opening = "<script type=\"text/javascript\">";
    let both = plotly::Plot::offline_js_sources();
    let (first, second) = both.rsplit_once(opening).unwrap_or((&both, ""));
    [first, second].map(|part| {
        let part = part.trim().trim_start_matches(opening);
        part.strip_suffix("</script>").unwrap_or(part).to_string()
    })
}

/// plotly.js and MathJax as the plotly crate carries them, and the scripts that use them.
fn write_libraries(workbench: &Workbench, assets: &Path) -> Result<()> {
    let [plotly, mathjax] = libraries();
    let files = [
        ("plotly.min.js", plotly),
        ("mathjax.js", mathjax),
        ("charts.js", CHARTS.to_string()),
        ("reader.js", READER.to_string()),
        ("models.js", models_script(&Manifests::load(workbench.root())?)),
        ("mathjax-settings.js", MATHJAX_SETTINGS.to_string()),
    ];
    for (name, text) in files {
        let path = assets.join(name);
        if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
            write_atomic(&path, text.as_bytes())?;
        }
    }
    Ok(())
}

/// The models' records, which a page shows at their names: facts in the order in which they are read.
fn models_script(manifests: &Manifests) -> String {
    let of = |record: &ModelRecord| {
        let mut facts = vec![("id", record.id.clone()), ("architecture", record.architecture.clone())];
        facts.extend(record.params.map(|params| ("parameters", thousands(params as usize))));
        facts.push(("feature", format!("{}, {} numbers", record.features.default, thousands(record.features.dim))));
        facts.push(("input", format!("{0} x {0} pixels", record.input.size)));
        facts.push(("licence", record.licence.clone()));
        facts.extend(record.notes.clone().map(|notes| ("note", notes)));
        facts.extend(record.papers.first().cloned().map(|paper| ("paper", paper)));
        serde_json::json!({ "id": record.id, "name": record.name, "facts": facts })
    };
    let models = serde_json::Value::from(manifests.models().map(of).collect::<Vec<_>>());
    format!("window.widerClipModels = {};\n", json_for_pages(&models.to_string()))
}

/// What the index page says of a notebook that is still to come.
fn describe_coming(coming: &Coming) -> serde_json::Value {
    let (state, message) = match &coming.state {
        State::Waiting => ("waiting", ""),
        State::Running => ("running", ""),
        State::Failed(message) => ("failed", message.as_str()),
    };
    serde_json::json!({ "source": coming.source, "stem": stem(&coming.source), "state": state, "message": message })
}

/// What the index page says of where rows come from, with a line for each number that does not agree with the one that
/// came.
fn describe_origin(standing: &results::Standing) -> (String, Vec<String>) {
    let results::Standing { rows, computed, checks } = standing;
    let (of, here) = (thousands(*rows), thousands(*computed));
    let disagreeing = standing.disagreeing();
    let origin = match (computed == rows, checks.len()) {
        (true, 0) => format!("All {of} rows were computed on this machine."),
        (_, 0) => format!(
            "Of {of} rows {here} were computed on this machine; the others came with the project, and none was computed \
             again to be held against them."
        ),
        (_, n) => {
            let agreement = match disagreeing.len() {
                0 if standing.widest() == 0.0 => "all are the same to the last digit".into(),
                0 => format!("all agree within {:.4}", standing.widest()),
                few => format!("{few} do not agree, all others do within {:.3}", results::AGREEMENT),
            };
            format!(
                "Of {of} rows {here} were computed on this machine, and {} of these came with the project too: {agreement}.",
                thousands(n)
            )
        }
    };
    let line = |check: &&results::Check| {
        let row = &check.computed;
        let budget = row.cell.budget.map_or_else(String::new, |budget| format!(" budget {budget},"));
        let number = |value: Option<f64>| value.map_or_else(|| "undefined".into(), |value| format!("{value:.4}"));
        let line = format!(
            "{} on {}, {}, {},{budget} seed {}, {}: {} of {} here, {} as it came",
            row.cell.model,
            row.cell.dataset,
            row.split,
            row.cell.method,
            row.cell.seed,
            row.cell.pooling,
            row.metric,
            number(row.value),
            number(check.shipped)
        );
        say::visible(&line).into_owned()
    };
    (origin, disagreeing.iter().map(line).collect())
}

/// What the index page says of the row files.
fn describe_rows(copies: &[PathBuf]) -> serde_json::Value {
    let file = |path: &Path, kind: &str| {
        let bytes = fs::metadata(path).map_or(0, |metadata| metadata.len());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        serde_json::json!({ "name": name, "kind": kind, "size": format!("{:.1} kB", bytes as f64 / 1e3) })
    };
    let rows = copies.iter().map(|path| {
        let files = [file(&path.with_extension("csv"), "CSV"), file(path, "Parquet")];
        serde_json::json!({ "name": stem(path), "files": files })
    });
    rows.collect()
}

/// Opens every page in headless Chromium with the network refused.
///
/// # Errors
/// [`Error::Data`] with the first page that asked the network for something, wrote an error to the console, left a
/// chart undrawn, shows no image under the pointer on a map, or does not fit a phone; [`Error::Program`] where no
/// browser is found.
pub fn check_in_browser(workbench: &Workbench, pages: &[PathBuf]) -> Result<()> {
    for visit in browser::visit(workbench, pages, None)? {
        let complaints = visit.complaints();
        if !complaints.is_empty() {
            return Err(Error::data(&visit.page, "a page that opens without network or error", complaints.join("; ")));
        }
    }
    crate::say!("{} pages opened with the network refused: no request, no error", pages.len());
    Ok(())
}

/// Puts the executed copies of `sources` back in their place, with a static picture beside every chart and without the
/// sprite sheets.
fn save(workbench: &Workbench, sources: &[PathBuf], out: &Path) -> Result<()> {
    let staging = tempfile::Builder::new().prefix(BETWEEN).tempdir_in(workbench.state());
    let staging = staging.map_err(Error::io(workbench.state(), "creating a temporary folder"))?;
    let name = |source: &PathBuf| source.file_name().unwrap_or_default().to_os_string();
    let copies: Vec<PathBuf> = sources.iter().map(|source| out.join("notebooks").join(name(source))).collect();
    let plotly = out.join("assets").join("plotly.min.js");
    browser::with_static_images(workbench, &plotly, &copies, staging.path())?;
    put_back(sources, staging.path())
}

/// Puts the executed copies in `folder` over the notebooks of their names, but for those whose cells are others by now: somebody
/// edited them while they ran.
///
/// # Errors
/// [`Error::Data`] with a notebook that was edited, after all others are saved, or one that is larger than 1 MB; [`Error::Io`] for what
/// cannot be read or written.
pub fn put_back(sources: &[PathBuf], folder: &Path) -> Result<()> {
    let mut edited = Vec::new();
    for source in sources {
        let saved = folder.join(source.file_name().unwrap_or_default());
        let bytes = fs::read(&saved).map_err(Error::io(&saved, "reading"))?;
        if bytes.len() as u64 > MAX_SAVED {
            let found = format!("{:.2} MB with its outputs", bytes.len() as f64 / 1e6);
            return Err(Error::data(source, "a notebook of 1 MB or less", found));
        }
        let now = fs::read(source).map_err(Error::io(source, "reading"))?;
        if !has_same_cells(&Notebook::of(source, &now)?, &Notebook::of(&saved, &bytes)?) {
            edited.push(source);
            continue;
        }
        write_atomic(source, &bytes)?;
        crate::say!("saved {} ({:.0} kB)", say::path(source), bytes.len() as f64 / 1e3);
    }
    let Some((first, others)) = edited.split_first() else { return Ok(()) };
    let others = others.iter().map(|path| stem(path)).collect::<Vec<_>>().join(", ");
    let others = if others.is_empty() { others } else { format!("; so were {others}") };
    let found = format!("others: it was edited meanwhile, and is not saved{others}");
    Err(Error::data(first, "the cells that were run", found))
}
