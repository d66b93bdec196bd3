//! Submissions of all kinds, run and marked inside walls: right, half right, wrong, broken and hostile ones.

#[path = "support/require.rs"]
mod require;

use require::require;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Once, OnceLock};
use wider_clip::workbench::course::assignments::{Notebook, assignments, mark, source, student_version};
use wider_clip::workbench::course::command::{Course, run};
use wider_clip::workbench::course::grade::{Options, Points, feedback, grade};
use wider_clip::workbench::course::sandbox::{Limits, Walls};
use wider_clip::workbench::course::{check, folder_of_assignments};
use wider_clip::workbench::{Workbench, setup};

const NAME: &str = "1_rust_for_data";
const TASKS: [&str; 4] = ["accuracy", "recall", "mean-of-some", "checked-accuracy"];

/// What a submission tries to reach beyond its folder.
const CALL: &str = "assert!(std::net::TcpStream::connect_timeout(&\"1.1.1.1:53\".parse().unwrap(), std::time::Duration::from_secs(2)).is_err());\n\
                assert!(std::fs::read_dir(\"/proc\").unwrap().flatten().filter(|e| e.file_name().to_string_lossy().parse::<u32>().is_ok()).count() < 40);";

/// A hub's home with a token, outside the user's own.
fn secret_home() -> &'static Path {
    static HOME: OnceLock<tempfile::TempDir> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(home.path().join("token"), "hf_secret").unwrap();
        home
    })
    .path()
}

fn workbench() -> Workbench {
    static ONCE: Once = Once::new();
    // SAFETY: every test begins here, before anything in it reads the environment.
    ONCE.call_once(|| unsafe {
        std::env::set_var("HF_HOME", secret_home());
        std::env::set_var("KAGGLE_KEY", "kaggle_secret");
        std::env::set_var("GH_PAT", "ghp_secret");
    });
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    setup::ensure(&workbench).unwrap();
    workbench
}

/// The teacher's notebook, with the answers to some tasks replaced.
fn answered(teacher: &Notebook, answers: &[(&str, &str)]) -> Notebook {
    let mut made = teacher.clone();
    for cell in made.json["cells"].as_array_mut().unwrap() {
        let Some(of) = mark(cell) else { continue };
        if let Some((_, answer)) = answers.iter().find(|(task, _)| *task == of.id) {
            cell["source"] = json!(answer);
        }
    }
    made
}

fn put(folder: &Path, student: &str, notebook: &Notebook) {
    let path = folder.join(student).join(format!("{NAME}.ipynb"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, notebook.to_text()).unwrap();
}

/// Points of the tasks that code answers, in the order of [`TASKS`].
fn of<'a>(points: &'a [Points], student: &str) -> Vec<&'a Points> {
    let find = |task: &&str| {
        let name = format!("{task}-points");
        points.iter().find(|one| one.student == student && one.task == name).unwrap()
    };
    TASKS.iter().map(find).collect()
}

const ALL: &str = "fn accuracy(truth: &[u32], predicted: &[u32]) -> Option<f64> ";

#[test]
fn every_kind_of_submission_is_marked_and_none_harms_another() {
    if !require("sandbox") {
        return;
    }
    let workbench = workbench();
    let teacher =
        assignments(&folder_of_assignments(&workbench)).unwrap().into_iter().find(|of| of.stem() == NAME).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (target, proof) = (outside.path().join("precious"), outside.path().join("proof"));
    fs::write(&target, "kept").unwrap();

    let solved = [(
        "accuracy",
        format!(
            "{ALL}{{ if truth.is_empty() {{ return None; }} let right = truth.iter().zip(predicted).filter(|(a, b)| a == b).count(); Some(right as f64 / truth.len() as f64) }}"
        ),
    )];
    // Each check of it prints 360,000 characters before it gives its points.
    let loud = "{ for _ in 0..10 { println!(\"{}\", \"x\".repeat(6_000)); } if truth.is_empty()";
    let loud = solved[0].1.replacen("{ if truth.is_empty()", loud, 1);
    assert_ne!(loud, solved[0].1);
    let right =
        answered(&teacher, &[("in-words", "90% and 50%: one never finds class 1."), ("accuracy", loud.as_str())]);
    put(folder.path(), "right", &right);
    put(folder.path(), "empty", &student_version(&teacher).unwrap());
    put(
        folder.path(),
        "half",
        &answered(
            &teacher,
            &[(
                "accuracy",
                &format!(
                    "{ALL}{{ Some(truth.iter().zip(predicted).filter(|(a, b)| a == b).count() as f64 / truth.len() as f64) }}"
                ),
            )],
        ),
    );
    put(
        folder.path(),
        "does not compile",
        &answered(&teacher, &[("accuracy", &format!("{ALL}{{ let x: u32 = \"text\"; None }}"))]),
    );
    put(folder.path(), "panics", &answered(&teacher, &[("accuracy", &format!("{ALL}{{ panic!(\"no\") }}"))]));
    put(
        folder.path(),
        "loops",
        &answered(
            &teacher,
            &[("accuracy", &format!("{ALL}{{ loop {{ std::thread::sleep(std::time::Duration::from_millis(5)); }} }}"))],
        ),
    );
    put(
        folder.path(),
        "aborts",
        &answered(
            &teacher,
            &[("mean-of-some", "fn mean_of_some(n: &[Option<f64>]) -> Option<f64> { std::process::abort() }")],
        ),
    );
    let mut deleted = right.clone();
    deleted.json["cells"].as_array_mut().unwrap().retain(|cell| !mark(cell).is_some_and(|of| of.id == "recall-points"));
    put(folder.path(), "deleted", &deleted);
    put(
        folder.path(),
        "edited",
        &answered(&student_version(&teacher).unwrap(), &[("accuracy-points", "4.0"), ("accuracy", &solved[0].1)]),
    );
    // What harms: each before an answer that is right.
    let harm = |body: &str| format!("fn harm() {{ {body} }}\nharm();\n{}", solved[0].1);
    let delete = format!(
        "let _ = std::fs::remove_file({target:?}); let _ = std::fs::write({proof:?}, \"was here\"); let _ = std::fs::remove_dir_all({root:?});",
        root = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/assignments"),
    );
    put(folder.path(), "deletes", &answered(&teacher, &[("accuracy", &harm(&delete))]));
    let token = secret_home().join("token");
    let head = Path::new(env!("CARGO_MANIFEST_DIR")).join(".git/HEAD");
    let out = tempfile::tempdir().unwrap();
    let empty = [folder.path(), out.path(), Path::new("/run"), Path::new("/var/tmp"), Path::new("/dev/shm")];
    let call = format!(
        "assert!(std::env::vars().all(|(_, value)| !value.contains(\"secret\")) && std::fs::read({token:?}).is_err());\n\
         assert!(std::fs::read({head:?}).is_err());\n\
         for folder in {empty:?} {{\n\
             let mut inside = std::fs::read_dir(folder).into_iter().flatten().flatten();\n\
             assert!(inside.all(|of| [\"current-system\", \"opengl-driver\"].iter().any(|link| of.file_name() == *link)), \"{{folder}}\");\n\
         }}\n\
         assert!(std::fs::read_dir({tmp:?}).into_iter().flatten().count() <= 1);\n{CALL}",
        tmp = std::env::temp_dir(),
    );
    put(folder.path(), "calls out", &answered(&teacher, &[("accuracy", &harm(&call))]));
    // Where the runner writes and this program reads: links to what is not theirs, and what cannot be written.
    let place =
        "let home = std::env::var(\"HOME\").unwrap(); let place = std::path::Path::new(&home).parent().unwrap();";
    let links = format!(
        "{place} for name in [\"log\", \"executed.ipynb\", \"../log\"] {{ let _ = std::os::unix::fs::symlink({target:?}, place.join(name)); }}"
    );
    put(folder.path(), "links", &answered(&teacher, &[("accuracy", &harm(&links))]));
    let blocks = format!(
        "{place} let _ = std::fs::remove_file(place.join(\"executed.ipynb\"));\n\
         std::fs::create_dir_all(place.join(\"executed.ipynb/full\")).unwrap();"
    );
    put(folder.path(), "blocks", &answered(&teacher, &[("accuracy", &harm(&blocks))]));
    put(
        folder.path(),
        "prints",
        &answered(&teacher, &[("accuracy", &harm("for _ in 0..400_000 { println!(\"{}\", \"x\".repeat(100)); }"))]),
    );
    put(
        folder.path(),
        "forks",
        &answered(
            &teacher,
            &[(
                "accuracy",
                &harm("for _ in 0..2000 { let _ = std::process::Command::new(\"sleep\").arg(\"600\").spawn(); }"),
            )],
        ),
    );
    put(
        folder.path(),
        "swallows",
        &answered(
            &teacher,
            &[(
                "mean-of-some",
                "fn mean_of_some(n: &[Option<f64>]) -> Option<f64> { None }\nlet mut all: Vec<Vec<u8>> = Vec::new(); loop { all.push(vec![1; 1 << 26]); std::thread::sleep(std::time::Duration::from_millis(20)); }",
            )],
        ),
    );
    fs::create_dir_all(folder.path().join("broken file")).unwrap();
    fs::write(folder.path().join("broken file").join(format!("{NAME}.ipynb")), "{ no notebook").unwrap();

    let options = Options {
        jobs: 2,
        limits: Limits { memory: 4 << 30, processes: 300, seconds: 200.0, ..Limits::default() },
        cell_seconds: 60.0,
        walls: Walls::find().unwrap(),
        seed: Some(20_261),
    };
    let points = grade(&workbench, folder.path(), out.path(), &options).unwrap();
    let expected: BTreeMap<&str, [f64; 4]> = BTreeMap::from([
        ("right", [4.0, 4.0, 2.0, 4.0]),
        ("empty", [0.0; 4]),
        ("half", [3.0, 4.0, 2.0, 4.0]),
        ("does not compile", [0.0, 4.0, 2.0, 4.0]),
        ("panics", [0.0, 4.0, 2.0, 4.0]),
        ("loops", [0.0, 4.0, 2.0, 4.0]),
        ("deleted", [4.0, 0.0, 2.0, 4.0]),
        ("edited", [4.0, 0.0, 0.0, 0.0]),
        ("deletes", [4.0, 4.0, 2.0, 4.0]),
        ("calls out", [4.0, 4.0, 2.0, 4.0]),
        ("links", [4.0, 4.0, 2.0, 4.0]),
        ("blocks", [0.0; 4]),
        ("forks", [0.0; 4]),
        // What ends all costs no task before it.
        ("swallows", [4.0, 4.0, 0.0, 0.0]),
        ("broken file", [0.0; 4]),
    ]);
    for (student, expected) in expected {
        let found = of(&points, student);
        let given: Vec<f64> = found.iter().map(|one| one.points.unwrap()).collect();
        assert_eq!(given, expected, "{student}: {found:?}");
    }
    // A process that aborts takes its own task along; what was marked before it stays.
    let aborted = of(&points, "aborts");
    assert_eq!(
        (aborted[0].points, aborted[1].points, aborted[2].points),
        (Some(4.0), Some(4.0), Some(0.0)),
        "{aborted:?}"
    );
    assert!(of(&points, "swallows")[2].why.contains("memory"), "{:?}", of(&points, "swallows"));
    assert!(of(&points, "forks")[0].why.contains("processes"), "{:?}", of(&points, "forks"));
    let blocked = of(&points, "blocks");
    assert!(blocked[0].why.contains("executed notebook could not be written"), "{blocked:?}");
    assert!(of(&points, "broken file")[0].why.contains("notebook"), "{:?}", of(&points, "broken file"));
    // A gigabyte of output is nobody's harm.
    let kept = fs::metadata(out.path().join("executed/prints").join(format!("{NAME}.ipynb"))).map_or(0, |of| of.len());
    assert!(kept < 2_000_000, "{kept} bytes kept of what was printed");
    assert_eq!(fs::read_to_string(&target).unwrap(), "kept");
    assert!(!proof.exists() && folder_of_assignments(&workbench).join(format!("{NAME}.ipynb")).exists());

    // What the right one printed is kept in part, beside its points.
    let right = Notebook::read(&out.path().join("executed/right").join(format!("{NAME}.ipynb"))).unwrap();
    let check = right.cells().iter().find(|cell| mark(cell).is_some_and(|of| of.id == "accuracy-points")).unwrap();
    let kinds: Vec<&str> =
        check["outputs"].as_array().unwrap().iter().filter_map(|of| of["output_type"].as_str()).collect();
    assert!(kinds.contains(&"stream") && kinds.contains(&"execute_result"), "{kinds:?}");
    assert!(check.to_string().contains("[the rest of the output was left out]"));

    // What was marked is not run again, and a text that somebody has read keeps its points.
    let grades = out.path().join("grades.csv");
    let text = fs::read_to_string(&grades).unwrap();
    let open = text.lines().find(|line| line.starts_with("right,") && line.contains("to be read")).unwrap();
    fs::write(&grades, text.replace(open, &open.replace(",,2,", ",1.5,2,"))).unwrap();
    // Of somebody who is not among the submissions this time.
    let former = format!("former,{NAME},in-words,2,2,well said\n");
    fs::write(&grades, fs::read_to_string(&grades).unwrap() + &former).unwrap();
    let begun = std::time::Instant::now();
    let again = grade(&workbench, folder.path(), out.path(), &options).unwrap();
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    let read = |all: &[Points]| all.iter().find(|one| one.student == "right" && one.task == "in-words").unwrap().points;
    assert_eq!((read(&points), read(&again)), (None, Some(1.5)));
    let without_texts = |all: &[Points]| all.iter().filter(|one| one.task != "in-words").cloned().collect::<Vec<_>>();
    let former_points: Vec<_> = again.iter().filter(|one| one.student == "former").map(|one| one.points).collect();
    assert_eq!(former_points, [Some(2.0)]);
    let written = fs::read_to_string(&grades).unwrap();
    assert!(written.contains(&former) && written.contains("to be read (text "), "{written}");
    assert_eq!(without_texts(&points), without_texts(&again));

    let (pages, without) = feedback(&workbench, out.path()).unwrap();
    // What ended without a notebook has no page, and is told.
    assert_eq!((pages.len(), without.len()), (16, 2), "{without:.300?}");
    let page = pages.iter().find(|page| page.to_string_lossy().contains("half")).unwrap();
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("13 of 16 points") && html.contains("no label at all"), "points and the titles of cases");
    // Who handed in nothing learns no answer from what comes back.
    let empty = pages.iter().find(|page| page.to_string_lossy().contains("empty")).unwrap();
    let html = fs::read_to_string(empty).unwrap();
    assert!(html.contains("0 of 16 points") && !html.contains("SOLUTION") && !html.contains("truth.len() as f64"));
}

/// What the teacher has written in all eight.
#[test]
fn every_solution_has_all_points() {
    let workbench = workbench();
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let all = assignments(&folder_of_assignments(&workbench)).unwrap();
    assert_eq!(all.len(), 8);
    let own = folder.path().join("teacher");
    fs::create_dir_all(&own).unwrap();
    for notebook in &all {
        fs::copy(&notebook.path, own.join(notebook.path.file_name().unwrap())).unwrap();
    }
    let walls = Walls::find().unwrap_or(Walls::None);
    let options = Options { jobs: 2, limits: Limits::default(), cell_seconds: 60.0, walls, seed: Some(7) };
    let points = grade(&workbench, folder.path(), out.path(), &options).unwrap();
    // A text is left to be read, or is nobody's yet.
    let by_code = points.iter().filter(|one| one.task.ends_with("-points")).collect::<Vec<_>>();
    assert!(by_code.iter().all(|one| one.points == Some(one.of)), "{by_code:#?}");
    assert_eq!(by_code.iter().map(|one| one.of).sum::<f64>(), 14.0 + 7.0 * 18.0);
}

/// A folder of a submission, as one leaves it that was interrupted two days ago.
fn left_behind() -> PathBuf {
    let user = std::os::unix::fs::MetadataExt::uid(&fs::metadata(secret_home()).unwrap());
    let prefix = format!("wider-clip-submission-{user}-");
    let left = tempfile::Builder::new().prefix(&prefix).tempdir().unwrap().keep();
    fs::write(left.join("nothing"), "").unwrap();
    let then = std::time::SystemTime::now() - std::time::Duration::from_secs(48 * 3600);
    fs::File::open(&left).unwrap().set_modified(then).unwrap();
    left
}

/// The student's own machine: no walls, the same points.
#[test]
fn a_student_sees_the_points_that_marking_gives() {
    let workbench = workbench();
    let teacher =
        assignments(&folder_of_assignments(&workbench)).unwrap().into_iter().find(|of| of.stem() == NAME).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("mine.ipynb");
    let wrong = "fn recall(a: &[u32], b: &[u32], n: usize) -> Vec<Option<f64>> { Vec::new() }";
    let mine = answered(&teacher, &[("recall", wrong)]);
    fs::write(&path, mine.to_text()).unwrap();
    let left = left_behind();
    let points = check(&workbench, &path, 60.0, true).unwrap();
    assert!(!left.exists());
    let given: Vec<f64> = of(&points, "you").iter().map(|one| one.points.unwrap()).collect();
    assert_eq!(given, [4.0, 0.0, 2.0, 4.0]);
    // The cells stay, and hold what they gave.
    let saved = Notebook::read(&path).unwrap();
    let sources = |of: &Notebook| of.cells().iter().map(source).collect::<Vec<_>>();
    assert_eq!(sources(&saved), sources(&mine));
    assert!(saved.to_text().contains("lengths that differ, both ways"), "the cases of a check");
    let stranger = folder.path().join("stranger.ipynb");
    fs::write(&stranger, r#"{ "cells": [] }"#).unwrap();
    assert!(check(&workbench, &stranger, 60.0, false).unwrap_err().to_string().contains(NAME));
}

/// What hinders this machine is no fault of a submission: nothing is kept of it, and the next run marks again.
#[test]
fn what_this_machine_could_not_run_is_marked_again() {
    let workbench = workbench();
    let teacher =
        assignments(&folder_of_assignments(&workbench)).unwrap().into_iter().find(|of| of.stem() == NAME).unwrap();
    let (folder, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A name that a line of the grades does not show as it is: its points must come back all the same.
    let student = "right ";
    put(folder.path(), student, &answered(&teacher, &[("in-words", "90% and 50%: one never finds class 1.")]));
    let out = place.path().join("new/grades");
    let options = |seconds| Options {
        jobs: 1,
        limits: Limits { seconds, ..Limits::default() },
        cell_seconds: 60.0,
        walls: Walls::None,
        seed: None,
    };
    // No kernel is ready so soon.
    let left = left_behind();
    let points = grade(&workbench, folder.path(), &out, &options(0.0)).unwrap();
    assert!(!left.exists());
    assert!(points.iter().all(|one| one.points == Some(0.0) && one.why.starts_with("not marked: ")), "{points:?}");
    assert!(!out.join("executed").exists());
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&out).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o700);
    let (_, without) = feedback(&workbench, &out).unwrap();
    assert!(without.len() == 1 && without[0].starts_with(&format!("{student} {NAME}: ")), "{without:?}");
    // A person gives points meanwhile; the program's zeros go, the text is to be read.
    let grades = out.join("grades.csv");
    let text = fs::read_to_string(&grades).unwrap().replace("recall-points,0,", "recall-points,3,");
    fs::write(&grades, text).unwrap();
    let points = grade(&workbench, folder.path(), &out, &options(600.0)).unwrap();
    let given: Vec<f64> = of(&points, student).iter().map(|one| one.points.unwrap()).collect();
    assert_eq!(given, [4.0, 3.0, 2.0, 4.0]);
    assert!(of(&points, student).iter().all(|one| one.why.is_empty()), "{points:?}");
    let read = points.iter().find(|one| one.task == "in-words").unwrap();
    assert!(points.iter().all(|one| one.student == student), "no line is left for a student without a folder");
    assert!(read.points.is_none() && read.why.starts_with("to be read"), "{read:?}");
}

/// Who sends the pages out has to learn that some are missing, from the status too; those that can be made are there.
#[test]
fn feedback_without_a_page_for_somebody_ends_with_an_error() {
    let workbench = workbench();
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("grades");
    let executed = out.join("executed/ada ");
    fs::create_dir_all(&executed).unwrap();
    fs::write(executed.join(format!("{NAME}.ipynb")), r#"{ "cells": [], "metadata": {} }"#).unwrap();
    let write = |students: &[&str]| {
        let lines: String = students.iter().map(|student| format!("{student},{NAME},in-words,1,2,good\n")).collect();
        fs::write(out.join("grades.csv"), format!("student,assignment,task,points,of,why\n{lines}")).unwrap();
    };
    let made = || run(&workbench, Course::Feedback { grades: out.clone() });
    // The line of a folder whose name ends with a space finds it.
    write(&["ada"]);
    assert_eq!(made().unwrap(), 0);
    let page = out.join("feedback/ada ").join(format!("{NAME}.html"));
    fs::remove_file(&page).unwrap();
    for (students, missing) in [(["ada", "zoe"], "zoe"), (["aaron", "ada"], "aaron")] {
        write(&students);
        let said = made().unwrap_err().to_string();
        let expected = ["grades", "a page for every submission", "none for 1 of 2, such as", missing];
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        fs::remove_file(&page).unwrap();
    }
}
