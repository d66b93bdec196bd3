//! Work for many machines: planned, done part by part, gathered; in the end it is what one machine leaves.

#[path = "support/require.rs"]
mod require;
#[path = "support/tiny_project.rs"]
mod tiny_project;
#[path = "support/work.rs"]
mod work;

use require::require;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use tiny_project::files;
use wider_clip::experiments::work::{Ended, Line, What, WorkId, gather, has_parts, plan, run};
use wider_clip::features::{Extraction, extract, extract_part};
use wider_clip::prelude::*;
use wider_clip::results::{Kept, Right, Store};
use wider_clip::storage::FolderLock;
use work::{alone, project, same};

const CPU: Device = Device::Cpu;
/// Longer than anything here takes, and shorter.
const LONG: f64 = 1e6;
const SHORT: f64 = 1e-3;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

/// What the program says and leaves, with the project at `root`.
fn program(root: &Path, arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wider-clip"));
    command.args(arguments).env("WIDER_CLIP_ROOT", root).env("WIDER_CLIP_CACHE", root.join("cache"));
    command.env("WIDER_CLIP_RESULTS", root.join("results")).env_remove("WIDER_CLIP_STATE").output().expect("starts")
}

/// 1 is what a scheduler takes for a kill: it would try again with more memory.
#[test]
fn a_suite_that_is_not_there_is_not_tried_again() {
    let root = folder();
    project(root.path());
    let ended = program(root.path(), &["run", "--suite", "nope", "--cell", "features/good/pixels.raw/0-48"]);
    assert_eq!(ended.status.code(), Some(65));
    assert!(
        String::from_utf8_lossy(&ended.stderr).contains("`nope`")
            || String::from_utf8_lossy(&ended.stderr).contains("'nope'")
    );
}

/// HyperQueue gives a task the environment of its worker, and what it was told of.
#[test]
fn hyperqueue_hands_on_what_was_set() {
    use std::os::unix::fs::PermissionsExt;
    let place = folder();
    let programs = place.path().join("programs");
    fs::create_dir(&programs).expect("a folder");
    let stand_in = |name: &str, text: &str| {
        let path = programs.join(name);
        fs::write(&path, format!("#!/bin/bash\n{text}\n")).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path
    };
    let line = r#"{"cell": "a", "what": "features", "memory_mb": 10}"#;
    let program = stand_in("wider-clip", &format!("[ $1 = gather ] || echo '{line}' > \"${{@: -1}}\""));
    stand_in("hq", r#"printf '%s\n' "$@" "#);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests/workflow/hyperqueue.sh");
    let submitted = |set: &[(&str, &str)]| {
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a path"));
        let mut command = std::process::Command::new("bash");
        command.arg(&script).arg("smoke").env("PATH", path).env("WIDER_CLIP_PROGRAM", &program);
        command.env("WIDER_CLIP_RESULTS", place.path().join("results")).env_remove("RAYON_NUM_THREADS");
        let ran = command.env_remove("WIDER_CLIP_THREADS").envs(set.iter().copied()).output().expect("starts");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).expect("text").lines().map(String::from).collect::<Vec<_>>()
    };
    let set =
        [("HF_HOME", "/with space"), ("HF_HUB_OFFLINE", "1"), ("HF_TOKEN", "hf_secret"), ("WIDER_CLIP_WAIT", "5")];
    let words = submitted(&set);
    let told: Vec<&str> = words.windows(2).filter(|two| two[0] == "--env").map(|two| two[1].as_str()).collect();
    for word in ["HF_HOME=/with space", "HF_HUB_OFFLINE=1", "WIDER_CLIP_WAIT=5", "RAYON_NUM_THREADS=2"] {
        assert!(told.contains(&word), "{word}: {told:?}");
    }
    assert!(words.iter().all(|word| !word.contains("hf_secret")), "{words:?}");
    assert!(words.windows(2).any(|two| two == ["--cpus", "2"]), "{words:?}");
    let words = submitted(&[("WIDER_CLIP_THREADS", "3")]);
    assert!(words.windows(2).any(|two| two == ["--cpus", "3"]), "{words:?}");
    assert!(words.contains(&"RAYON_NUM_THREADS=3".to_string()), "{words:?}");
    assert!(submitted(&[("RAYON_NUM_THREADS", "1")]).contains(&"RAYON_NUM_THREADS=1".to_string()));
}

fn planned(project: &Project, minutes: f64) -> Result<Vec<Line>> {
    let planned = plan(project, &What::ALL, minutes, &CPU)?;
    assert!(planned.left_out.is_empty(), "{:?}", planned.left_out);
    Ok(planned.lines)
}

#[test]
fn many_machines_leave_what_one_leaves() -> Result<()> {
    let (one, many) = (folder(), folder());
    alone(&project(one.path()))?;
    for minutes in [LONG, SHORT] {
        let place = many.path().join(format!("{minutes}"));
        let project = project(&place);
        let lines = planned(&project, minutes)?;
        // What is to be done before stands before; all else may be done in any order, and here it is done from the end.
        let mut waiting: Vec<&Line> = lines.iter().rev().collect();
        let mut done: BTreeSet<&str> = BTreeSet::new();
        while !waiting.is_empty() {
            let ready = |line: &&&Line| line.after.iter().all(|id| done.contains(id.as_str()));
            let now: Vec<&Line> = waiting.iter().filter(ready).copied().collect();
            assert!(!now.is_empty(), "lines wait for each other");
            // Two at a time, as two machines would.
            for pair in now.chunks(2) {
                std::thread::scope(|scope| {
                    let each = pair.iter().map(|line| scope.spawn(|| run(&project, &line.cell, &CPU)));
                    let ended: Vec<_> =
                        each.collect::<Vec<_>>().into_iter().map(|one| one.join().expect("no panic")).collect();
                    for (line, ended) in pair.iter().zip(ended) {
                        assert_eq!(ended.expect("runs"), Ended::Done, "{}", line.cell);
                        assert!(project.results_folder().join(&line.done).exists(), "{}", line.done);
                    }
                });
            }
            done.extend(now.iter().map(|line| line.cell.as_str()));
            waiting.retain(|line| !done.contains(line.cell.as_str()));
        }
        assert!(planned(&project, minutes)?.is_empty(), "what stands in parts counts as done");
        let parts = files(&project.results_folder().join("parts"));
        assert!(parts.keys().any(|path| path.ends_with("rows/good/pixels.raw.parquet")), "{:?}", parts.keys());
        assert!(has_parts(&project));
        let gathered = gather(&project, LONG, &CPU)?;
        assert!(!has_parts(&project));
        assert!(gathered.is_whole() && gathered.failed.is_empty(), "{gathered:?}");
        assert!(gathered.rows > 300 && gathered.parts > 10, "{} rows of {}", gathered.rows, gathered.parts);
        same(one.path(), &place);
        // Once more: nothing is there to take, and nothing is done again.
        let again = gather(&project, LONG, &CPU)?;
        assert_eq!((again.rows, again.parts, again.is_whole()), (0, 0, true));
        assert!(planned(&project, LONG)?.is_empty());
        same(one.path(), &place);
        // What a run of fine-tuning goes on from is no longer needed.
        let under_way = fs::read_dir(project.results_folder().join("runs")).expect("a folder").count();
        assert_eq!(under_way, 0);
        // Nothing is left to compute for one machine either.
        alone(&project)?;
        same(one.path(), &place);
    }
    Ok(())
}

#[test]
fn a_plan_has_each_cell_once_and_no_part_finer_than_it_must() -> Result<()> {
    let root = folder();
    let project = project(root.path());
    let (coarse, fine) = (planned(&project, LONG)?, planned(&project, SHORT)?);
    let ids = |lines: &[Line]| lines.iter().map(|line| line.cell.clone()).collect::<BTreeSet<_>>();
    assert_eq!(ids(&coarse).len(), coarse.len());
    assert_eq!(ids(&fine).len(), fine.len());
    let kinds: BTreeSet<&str> = coarse.iter().map(|line| line.what).collect();
    assert_eq!(kinds, What::ALL.map(What::as_str).into_iter().collect());
    for line in &coarse {
        let depth = line.cell.split('/').count();
        assert_eq!(depth, if line.what == "features" { 4 } else { 3 }, "{}", line.cell);
        let id = WorkId::read(&line.cell)?;
        assert_eq!(id.to_string(), line.cell);
        // The fine ones hold the same cells.
        let beneath = fine.iter().filter(|other| other.cell.starts_with(&format!("{}/", line.cell)));
        if line.what != "features" {
            assert_eq!(beneath.map(|other| other.count).sum::<usize>(), line.count, "{}", line.cell);
        }
    }
    assert!(fine.iter().filter(|line| line.what != "features").all(|line| line.cell.split('/').count() == 6));
    // What goes on from another run comes after it, with its budget and seed.
    let wise =
        fine.iter().find(|line| line.cell == "finetuning/good/vit_p16_pocket.random/wise/10/1").expect("planned");
    assert_eq!(
        wise.after,
        ["features/good/vit_p16_pocket.random/0-48", "finetuning/good/vit_p16_pocket.random/lp_ft/10/1"]
    );
    assert!(wise.gpu && !fine.iter().any(|line| line.model == "pixels.raw" && line.gpu));
    // Without features of their own, parts compute what they need.
    let probes = plan(&project, &[What::Probes], LONG, &CPU)?.lines;
    assert!(!probes.is_empty() && probes.iter().all(|line| line.what == "probes" && line.after.is_empty()));
    let features = plan(&project, &[What::Features], LONG, &CPU)?.lines;
    assert_eq!(features.len(), 4);
    // Nothing was done for any of it.
    assert!(!project.results_folder().join("parts").exists());
    for (what, minutes) in [(&[][..], LONG), (&[What::Probes][..], 0.0), (&[What::Probes][..], f64::NAN)] {
        let error = plan(&project, what, minutes, &CPU).expect_err("no plan").to_string();
        assert!(error.contains("a kind of work, and minutes above 0"), "{error}");
    }
    Ok(())
}

#[test]
fn estimates_follow_what_was_measured() -> Result<()> {
    let root = folder();
    let project = project(root.path());
    let of = |lines: &[Line], id: &str| lines.iter().find(|line| line.cell == id).cloned().expect("planned");
    let (knn, other) = ("representations/good/pixels.raw", "representations/drift/pixels.raw");
    let before = planned(&project, LONG)?;
    assert!(before.iter().all(|line| !line.measured && line.seconds >= 3.0 && line.memory_mb >= 500));
    assert_eq!(run(&project, knn, &CPU)?, Ended::Done);
    // A part that has nothing to do says nothing of rates.
    assert_eq!(run(&project, knn, &CPU)?, Ended::Done);
    gather(&project, LONG, &CPU)?;
    let after = of(&planned(&project, LONG)?, other);
    assert!(after.measured && after.memory_mb > 0, "{after:?}");
    let rates = fs::read_to_string(project.results_folder().join("rates.json")).expect("rates");
    gather(&project, LONG, &CPU)?;
    assert_eq!(fs::read_to_string(project.results_folder().join("rates.json")).expect("rates"), rates, "counted once");
    fs::write(project.results_folder().join("rates.json"), "no rates").expect("writes");
    let error = plan(&project, &[What::Probes], LONG, &CPU).expect_err("no rates").to_string();
    assert!(error.contains("rates.json") && error.contains("may be removed"), "{error}");
    Ok(())
}

#[test]
fn what_is_no_part_of_the_work_is_said_and_leaves_nothing() -> Result<()> {
    let root = folder();
    let project = project(root.path());
    let wrong = [
        "",
        "representations",
        "representations/good",
        "representations//pixels.raw",
        "representations/good/../pixels.raw",
        "../../good/pixels.raw",
        "nothing/good/pixels.raw",
        "representations/good/pixels.raw/knn/ten",
        "representations/good/pixels.raw/knn/10/zero",
        "representations/good/pixels.raw/knn/10/0/more",
        "features/good/pixels.raw",
        "features/good/pixels.raw/48",
        "features/good/pixels.raw/48-0",
        "features/good/pixels.raw/0-48/1",
    ];
    for id in wrong {
        let error = run(&project, id, &CPU).expect_err("no part").to_string();
        assert!(
            error.starts_with("cell: expected features/<data set>/<model>/<from>-<to>, or <experiment>"),
            "{error}"
        );
        assert!(error.contains(&format!("found `{id}`")), "{error}");
    }
    let nothing = [
        "representations/good/efficientnet_pocket.random",
        "representations/elsewhere/pixels.raw",
        "representations/good/pixels.raw/zero_shot",
        "representations/good/pixels.raw/knn/7",
        "finetuning/drift/vit_p16_pocket.random",
        "features/good/pixels.raw/0-49",
    ];
    for id in nothing {
        let error = run(&project, id, &CPU).expect_err("nothing").to_string();
        assert!(error.contains(&format!("a part of the suite's work, not `{id}`")), "{error}");
    }
    assert!(run(&project, "features/elsewhere/pixels.raw/0-48", &CPU).is_err());
    assert!(!project.results_folder().join("parts").exists());
    Ok(())
}

#[test]
fn what_cannot_be_had_is_told_by_its_part_and_costs_no_other() -> Result<()> {
    let root = folder();
    let project = project(root.path());
    // A budget of which nothing is left to learn from.
    let suite = root.path().join("data_manifests/suites/default.toml");
    let text = fs::read_to_string(&suite).expect("reads");
    fs::write(&suite, text.replace("budgets = [5, 10]", "budgets = [1, 5]")).expect("writes");
    let project = Project::open(project.root(), "default")?.with_cache(root.path().join("cache"));
    let id = "representations/good/pixels.raw";
    let Ended::Wrong(reasons) = run(&project, id, &CPU)? else { panic!("it cannot be had") };
    assert!(reasons.iter().any(|reason| reason.contains("at budget 1")), "{reasons:?}");
    assert_eq!(run(&project, "representations/good/pixels.raw/knn/5", &CPU)?, Ended::Done);
    let gathered = gather(&project, LONG, &CPU)?;
    assert!(!gathered.is_whole());
    assert_eq!(gathered.failed, [(id.to_string(), reasons)]);
    let missing = |part: &str| gathered.missing.lines.iter().find(|line| line.cell == part).map(|line| line.count);
    assert_eq!(missing(id), Some(4), "two methods, two seeds");
    Ok(())
}

/// The project with a small suite: `models` on the data set `good` under the name `dataset`.
fn small(root: &Path, dataset: &str, models: &str) -> Project {
    project(root);
    let manifests = root.join("data_manifests");
    let record = fs::read_to_string(manifests.join("datasets/good.toml")).expect("reads");
    let record = record.replacen("id = \"good\"", &format!("id = \"{dataset}\""), 1);
    fs::write(manifests.join(format!("datasets/{dataset}.toml")), record).expect("writes");
    let suite = format!(
        "id = \"default\"\ndescription = \"A test's.\"\ndatasets = [\"{dataset}\"]\nmodels = {models}\n\
         methods = [\"knn\"]\nbudgets = [5]\nseeds = [0]\n"
    );
    fs::write(manifests.join("suites/default.toml"), suite).expect("writes");
    Project::open(root, "default").expect("opens").with_cache(root.join("cache"))
}

/// As the folder of rows in a part is called.
#[test]
fn a_data_set_called_rows_is_gathered() -> Result<()> {
    let root = folder();
    let project = small(root.path(), "rows", "[\"pixels.raw\"]");
    assert_eq!(run(&project, "representations/rows/pixels.raw", &CPU)?, Ended::Done);
    assert!(has_parts(&project));
    let gathered = gather(&project, LONG, &CPU)?;
    assert!(gathered.parts == 1 && gathered.rows > 0 && !has_parts(&project), "{gathered:?}");
    let kept = Store::new(project.results_folder().join("representations"));
    assert_eq!(kept.rows("rows", "pixels.raw")?.len(), gathered.rows);
    assert!(project.results_folder().join("rates.json").exists(), "what the part took is counted");
    Ok(())
}

/// A shared disk may show a folder before the rows in it.
#[test]
fn a_part_whose_rows_are_not_seen_stays() -> Result<()> {
    let root = folder();
    let project = small(root.path(), "good", "[\"pixels.raw\"]");
    let id = "representations/good/pixels.raw";
    assert_eq!(run(&project, id, &CPU)?, Ended::Done);
    let rows = project.results_folder().join("parts").join(id).join("rows/good");
    let (there, aside) = (rows.join("pixels.raw.parquet"), rows.join("pixels.raw.parquet.later"));
    fs::rename(&there, &aside).expect("moves");
    let gathered = gather(&project, LONG, &CPU)?;
    assert!(gathered.parts == 0 && gathered.broken.len() == 1 && gathered.broken[0].starts_with(id), "{gathered:?}");
    fs::rename(&aside, &there).expect("moves back");
    let gathered = gather(&project, LONG, &CPU)?;
    assert!(gathered.parts == 1 && gathered.rows > 0 && gathered.broken.is_empty(), "{gathered:?}");
    Ok(())
}

/// A marker from before the plan is of rows that were removed since; one that came meanwhile is of rows that the plan did not
/// see.
#[test]
fn what_ended_while_a_plan_was_made_stays_done() -> Result<()> {
    let root = folder();
    let project = small(root.path(), "good", "[\"pixels.raw\"]");
    let id = "representations/good/pixels.raw";
    let line = || -> Result<Line> {
        let lines = plan(&project, &[What::Probes], LONG, &CPU)?.lines;
        Ok(lines.into_iter().find(|line| line.cell == id).expect("planned"))
    };
    let done = project.results_folder().join(line()?.done);
    assert_eq!(run(&project, id, &CPU)?, Ended::Done);
    fs::remove_dir_all(project.results_folder().join("parts").join(id).join("rows")).expect("removes");
    let stamped = |time: SystemTime| {
        let file = fs::File::options().write(true).open(&done).expect("opens");
        file.set_modified(time).expect("stamps");
    };
    stamped(SystemTime::now() + Duration::from_secs(3600));
    line()?;
    assert!(done.exists(), "it ended after the plan began");
    stamped(SystemTime::now() - Duration::from_secs(3600));
    line()?;
    assert!(!done.exists(), "its rows were removed before");
    let left = fs::read_dir(project.results_folder().join("parts")).expect("a folder").flatten();
    assert!(left.into_iter().all(|entry| entry.path().is_dir()), "the plan leaves no file");
    Ok(())
}

/// The part does not know what is noted where rows are gathered.
#[test]
fn images_that_can_be_used_again_are_noted_when_parts_are_gathered() -> Result<()> {
    const MODEL: &str = "vit_p16_pocket.random";
    let root = folder();
    let project = project(root.path());
    let id = format!("finetuning/good/{MODEL}/lp_ft/10/0");
    assert_eq!(run(&project, &id, &CPU)?, Ended::Done);
    let part = Store::new(project.results_folder().join("parts").join(&id).join("rows"));
    let note = |right: Vec<bool>| -> Result<Right> {
        let key = part.right("good", MODEL)?[0].key.clone();
        Ok(Right { key, split: String::new(), weights: "usable images".into(), right })
    };
    let kept = Store::new(project.results_folder().join("finetuning"));
    let noted = || -> Result<Vec<Right>> {
        let all = kept.right("good", MODEL)?;
        Ok(all.into_iter().filter(|right| right.weights == "usable images").collect())
    };
    let (before, none_aside) = (note(vec![true, false])?, note(Vec::new())?);
    let rows = part.rows("good", MODEL)?;
    kept.add("good", MODEL, Kept { rows, right: vec![before.clone()], ..Kept::default() })?;
    assert_eq!(noted()?, [before]);
    assert_eq!(gather(&project, LONG, &CPU)?.parts, 1);
    assert_eq!(noted()?, [none_aside]);
    Ok(())
}

#[test]
fn failures_are_of_parts_as_they_are_today() -> Result<()> {
    let root = folder();
    let models = root.path().join("data_manifests/models");
    small(root.path(), "good", "[\"pixels.raw\"]");
    let record = fs::read_to_string(models.join("pixels.raw.toml")).expect("reads");
    let record = record.replacen("\"pixels.raw\"", "\"pixels.raws\"", 1).replacen("size = 32", "size = 4", 1);
    fs::write(models.join("pixels.raws.toml"), record).expect("writes");
    let project = small(root.path(), "good", "[\"pixels.raw\", \"pixels.raws\"]");
    let (done, other) = ("representations/good/pixels.raw", "representations/good/pixels.raws");
    let lines = plan(&project, &[What::Probes], LONG, &CPU)?.lines;
    let fail = |id: &str| {
        let line = lines.iter().find(|line| line.cell == id).expect("planned");
        let path = project.results_folder().join(line.done.replace(".done.", ".failed."));
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
        fs::write(&path, format!("{{\"cell\": \"{id}\", \"reasons\": [\"as it was\"]}}")).expect("writes");
        path
    };
    // Done by now, and its id begins as that of a part that is not.
    assert_eq!(run(&project, done, &CPU)?, Ended::Done);
    fail(done);
    let failed = gather(&project, LONG, &CPU)?.failed;
    assert!(failed.is_empty(), "{failed:?}");
    let path = fail(other);
    assert_eq!(gather(&project, LONG, &CPU)?.failed, [(other.to_string(), vec!["as it was".to_string()])]);
    // Of other keys: something was mended since.
    fs::rename(&path, path.with_file_name("0123456789abcdef.failed.json")).expect("moves");
    let failed = gather(&project, LONG, &CPU)?.failed;
    assert!(failed.is_empty(), "{failed:?}");
    // A machine without the images could not even tell the cells.
    let (images, hidden) = (root.path().join("good"), root.path().join("hidden"));
    fs::rename(&images, &hidden).expect("moves");
    assert!(matches!(run(&project, other, &CPU)?, Ended::Wrong(_)));
    fs::rename(&hidden, &images).expect("moves");
    let failed = gather(&project, LONG, &CPU)?.failed;
    assert!(matches!(&failed[..], [(id, _)] if id == other), "{failed:?}");
    Ok(())
}

/// Gigabytes may be behind it.
#[test]
fn a_data_set_that_does_not_open_is_asked_for_once_per_plan() -> Result<()> {
    let server = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = server.local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for mut stream in server.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nno archive");
        }
    });
    let root = folder();
    let manifests = root.path().join("data_manifests");
    let project = project(root.path());
    let record = fs::read_to_string(manifests.join("datasets/good.toml")).expect("reads");
    let source = format!(
        "[[source.archive.downloads]]\nurl = \"http://{address}/far.tar.gz\"\n[source.archive.layout.lists]\n\
         images = \"far\"\nlabel = \"folder\"\nlists.all = \"far.txt\""
    );
    let record = record.replace("[source.folder]\npath = \"good\"", &source).replace("\"good\"", "\"far\"");
    fs::write(manifests.join("datasets/far.toml"), record).expect("writes");
    let suite = fs::read_to_string(manifests.join("suites/default.toml")).expect("reads");
    fs::write(
        manifests.join("suites/default.toml"),
        suite.replace("[\"good\", \"drift\"]", "[\"far\", \"good\", \"drift\"]"),
    )
    .expect("writes");
    let project = Project::open(project.root(), "default")?.with_cache(root.path().join("cache"));
    assert!(project.images("far").is_err());
    let once = asked.swap(0, Ordering::SeqCst);
    let planned = plan(&project, &What::ALL, LONG, &CPU)?;
    assert_eq!((asked.load(Ordering::SeqCst), planned.left_out.len()), (once, 1), "{:?}", planned.left_out);
    assert!(
        once > 0 && planned.left_out[0].dataset == "far" && planned.lines.iter().any(|line| line.dataset == "good")
    );
    Ok(())
}

#[test]
fn a_part_that_is_damaged_or_under_way_stays_and_the_others_are_taken() -> Result<()> {
    let root = folder();
    let project = project(root.path());
    for id in ["knn/5", "knn/10", "lr/5", "lr/10"] {
        assert_eq!(run(&project, &format!("representations/good/pixels.raw/{id}"), &CPU)?, Ended::Done);
    }
    let part = |id: &str| project.results_folder().join("parts/representations/good/pixels.raw").join(id);
    let rows = |id: &str| part(id).join("rows/good/pixels.raw.parquet");
    let whole = fs::read(rows("lr/5")).expect("reads");
    // A bit of a number.
    let mut flipped = whole.clone();
    flipped[whole.len() / 4] ^= 1;
    fs::write(rows("lr/5"), &flipped).expect("writes");
    // Another part's rows, as a copy by hand would leave.
    fs::copy(rows("knn/5"), rows("lr/10")).expect("copies");
    let held = FolderLock::acquire(&part("knn/10"), || ())?;
    let gathered = gather(&project, LONG, &CPU)?;
    assert_eq!(
        (gathered.parts, gathered.busy.as_slice()),
        (1, ["representations/good/pixels.raw/knn/10".to_string()].as_slice())
    );
    assert_eq!(gathered.broken.len(), 2, "{:?}", gathered.broken);
    assert!(gathered.broken[0].contains("a row of good under pixels.raw, knn"), "{:?}", gathered.broken);
    // Where the bit lies depends on the machine's name, a column: in what is packed it is noticed when that is unpacked.
    let noticed = ["other bytes than were written", "a whole Parquet file of results, found another, or a damaged one"];
    assert!(noticed.iter().any(|words| gathered.broken[1].contains(words)), "{:?}", gathered.broken);
    assert!(rows("lr/5").exists() && rows("lr/10").exists() && rows("knn/10").exists() && !rows("knn/5").exists());
    drop(held);
    fs::write(rows("lr/5"), &whole).expect("writes");
    fs::remove_file(rows("lr/10")).expect("removes");
    assert_eq!(gather(&project, LONG, &CPU)?.parts, 3);
    // What was lost is planned again, although a file says that it was done, and that file is gone.
    let lines = plan(&project, &[What::Probes], LONG, &CPU)?.lines;
    let again = lines.iter().find(|line| line.cell == "representations/good/pixels.raw").expect("planned");
    assert_eq!(again.count, 2);
    let gone = planned(&project, SHORT)?;
    assert!(gone.iter().all(|line| !project.results_folder().join(&line.done).exists()));
    Ok(())
}

#[test]
fn features_in_parts_are_those_of_one_run() -> Result<()> {
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default")?;
    let (whole, cut) = (folder(), folder());
    let set = project.images("icons")?;
    let model = models::load(project.root(), project.manifests.model("pixels.raw")?, &CPU)?;
    let rows: Vec<usize> = (0..set.len()).step_by(3).collect();
    let what = |cache| Extraction { cache, rows: Some(&rows), verbose: false, within: None };
    let table = extract(&model, &set, what(whole.path()))?;
    let n = rows.len();
    // Two take the same part, and one takes all.
    let parts = [0..512, 512..1024, 512..1024, 1024..n, 0..n];
    std::thread::scope(|scope| {
        let each: Vec<_> = parts.map(|part| scope.spawn(|| extract_part(&model, &set, what(cut.path()), part))).into();
        each.into_iter().for_each(|one| one.join().expect("no panic").expect("extracts"));
    });
    let left = |root: &Path| -> BTreeMap<PathBuf, Vec<u8>> {
        let named = files(root)
            .into_iter()
            .map(|(path, bytes)| (path.strip_prefix(root).expect("inside").to_path_buf(), bytes));
        named.filter(|(path, _)| !path.to_string_lossy().contains("/.lock")).collect()
    };
    let (one, other) = (left(whole.path()), left(cut.path()));
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    assert!(one == other && one.len() > n / 256);
    assert_eq!(extract(&model, &set, what(cut.path()))?.poolings, table.poolings);
    for part in [0..0, 0..n + 1, n..n + 1] {
        let error = extract_part(&model, &set, what(cut.path()), part).expect_err("not there").to_string();
        assert!(error.contains(&format!("a part of 0 to {n}")), "{error}");
    }
    Ok(())
}

#[test]
fn parts_are_computed_in_what_the_suite_says() -> Result<()> {
    if !require("bf16") {
        return Ok(());
    }
    let root = folder();
    let project = project(root.path());
    let suite = root.path().join("data_manifests/suites/default.toml");
    let text = fs::read_to_string(&suite).expect("reads");
    let (text, _) = text.split_once("[[finetuning]]").expect("it fine-tunes");
    fs::write(&suite, format!("dtype = \"bf16\"\n{text}")).expect("writes");
    let project = Project::open(project.root(), "default")?.with_cache(root.path().join("cache"));
    let cell = "features/good/vit_p16_pocket.random/0-48";
    let features = || -> Result<bool> {
        let planned = plan(&project, &[What::Features, What::Probes], LONG, &CPU)?;
        Ok(planned.lines.iter().any(|line| line.cell == cell))
    };
    assert!(features()?, "planned");
    assert_eq!(run(&project, cell, &CPU)?, Ended::Done);
    assert!(!features()?, "done");
    Ok(())
}
