//! The course without a kernel: what marks an answer, what students get, what is put back before marking.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use wider_clip::course::{Case, Marks, Outcome, rust_for_data};
use wider_clip::workbench::Workbench;
use wider_clip::workbench::course::assignments::{
    Notebook, STUB, TEXT_STUB, assignments, mark, source, student_version, to_be_marked,
};
use wider_clip::workbench::course::build::build;
use wider_clip::workbench::course::grade::{
    Points, Submission, points_of, shown_notebook, submissions, sweep_left_behind,
};
use wider_clip::workbench::course::grades::{Added, Folders, Marking, csv_of, read_grades, read_table, together};
use wider_clip::workbench::course::has_same_cells;
use wider_clip::workbench::course::links::safe_links;
use wider_clip::workbench::course::sandbox::layers;

fn all() -> Vec<Notebook> {
    assignments(&Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks/assignments")).unwrap()
}

fn outcomes(marks: &Marks) -> Vec<&Outcome> {
    marks.cases.iter().map(|case: &Case| &case.outcome).collect()
}

#[test]
fn accuracy_is_marked_case_by_case() {
    fn right(truth: &[u32], predicted: &[u32]) -> Option<f64> {
        let right = truth.iter().zip(predicted).filter(|(a, b)| a == b).count();
        (!truth.is_empty()).then(|| right as f64 / truth.len() as f64)
    }
    fn zero_for_nothing(truth: &[u32], predicted: &[u32]) -> Option<f64> {
        right(truth, predicted).or(Some(0.0))
    }
    fn hard_coded(_: &[u32], _: &[u32]) -> Option<f64> {
        Some(0.5)
    }
    fn panics(truth: &[u32], _: &[u32]) -> Option<f64> {
        Some(f64::from(truth[0]))
    }
    fn unwritten(_: &[u32], _: &[u32]) -> Option<f64> {
        todo!()
    }
    fn hangs(truth: &[u32], predicted: &[u32]) -> Option<f64> {
        while truth.is_empty() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        right(truth, predicted)
    }
    assert_eq!(rust_for_data::accuracy(right).points(), 4.0);
    assert_eq!(rust_for_data::accuracy(zero_for_nothing).points(), 3.0);
    assert_eq!(rust_for_data::accuracy(hard_coded).points(), 0.0);
    let marks = rust_for_data::accuracy(panics);
    assert_eq!(marks.points(), 0.0);
    assert!(matches!(outcomes(&marks)[3], Outcome::Panicked(why) if why.contains("index out of bounds")), "{marks:?}");
    assert!(outcomes(&rust_for_data::accuracy(unwritten)).iter().all(|outcome| **outcome == Outcome::NotWritten));
    let marks = rust_for_data::accuracy(hangs);
    assert_eq!((outcomes(&marks)[3], marks.points()), (&Outcome::TookTooLong, 3.0));
    // A visible case says what it expected; a hidden one only that it failed.
    let wrong = rust_for_data::accuracy(|_, _| Some(0.25));
    assert!(matches!(outcomes(&wrong)[0], Outcome::Wrong(said) if said.contains("0.5") && said.contains("0.25")));
    assert_eq!(outcomes(&wrong)[1], &Outcome::Wrong(String::new()));
}

#[test]
fn recall_mean_and_errors_are_marked_case_by_case() {
    fn recall(truth: &[u32], predicted: &[u32], classes: usize) -> Vec<Option<f64>> {
        let of = |class: u32| {
            let n = truth.iter().filter(|label| **label == class).count();
            let right = truth.iter().zip(predicted).filter(|(a, b)| **a == class && a == b).count();
            (n > 0).then(|| right as f64 / n as f64)
        };
        (0..classes as u32).map(of).collect()
    }
    fn zero_recall(truth: &[u32], predicted: &[u32], classes: usize) -> Vec<Option<f64>> {
        recall(truth, predicted, classes).into_iter().map(|recall| recall.or(Some(0.0))).collect()
    }
    fn precision(truth: &[u32], predicted: &[u32], classes: usize) -> Vec<Option<f64>> {
        recall(predicted, truth, classes)
    }
    assert_eq!(rust_for_data::recall(recall).points(), 4.0);
    assert_eq!(rust_for_data::recall(zero_recall).points(), 2.0);
    assert_eq!(rust_for_data::recall(precision).points(), 1.0, "right where there is nothing to swap");
    fn mean(numbers: &[Option<f64>]) -> Option<f64> {
        let there: Vec<f64> = numbers.iter().flatten().copied().collect();
        (!there.is_empty()).then(|| there.iter().sum::<f64>() / there.len() as f64)
    }
    fn gaps_as_zero(numbers: &[Option<f64>]) -> Option<f64> {
        Some(numbers.iter().map(|number| number.unwrap_or(0.0)).sum::<f64>() / numbers.len() as f64)
    }
    assert_eq!(rust_for_data::mean_of_some(mean).points(), 2.0);
    assert_eq!(rust_for_data::mean_of_some(gaps_as_zero).points(), 0.0);
    fn checked(truth: &[u32], predicted: &[u32]) -> Result<f64, String> {
        if truth.len() != predicted.len() || truth.is_empty() {
            return Err(format!("{} and {}", truth.len(), predicted.len()));
        }
        Ok(truth.iter().zip(predicted).filter(|(a, b)| a == b).count() as f64 / truth.len() as f64)
    }
    fn says_nothing(truth: &[u32], predicted: &[u32]) -> Result<f64, String> {
        checked(truth, predicted).map_err(|_| "wrong".into())
    }
    assert_eq!(rust_for_data::checked(checked).points(), 4.0);
    assert_eq!(rust_for_data::checked(says_nothing).points(), 3.0);
    assert_eq!(rust_for_data::checked(|_, _| Err("13 and 29".into())).points(), 0.0, "an error whatever comes");
}

#[test]
fn the_checks_of_the_page_for_python_readers() {
    fn rises(numbers: &[f64]) -> Result<Vec<f64>, String> {
        if numbers.len() < 2 {
            Err("too few".into())
        } else {
            Ok(numbers.windows(2).map(|two| two[1] - two[0]).collect())
        }
    }
    assert_eq!(
        rust_for_data::count(|labels, wanted| labels.iter().filter(|label| **label == wanted).count()).points(),
        2.0
    );
    assert_eq!(rust_for_data::count(|_, _| 0).points(), 0.0);
    assert_eq!(rust_for_data::count(|labels, _| labels.iter().filter(|label| **label == 1).count()).points(), 0.0);
    assert_eq!(rust_for_data::rises(rises).points(), 2.0);
    assert_eq!(
        rust_for_data::rises(|numbers| Ok(numbers.windows(2).map(|two| two[1] - two[0]).collect())).points(),
        1.0
    );
    assert_eq!(rust_for_data::rises(|_| Err("no".into())).points(), 0.0);
}

fn cell(id: &str, kind: &str, text: &str, of: Value) -> Value {
    let mut marks = json!({ "grade_id": id, "schema_version": 3, "grade": false, "solution": false, "locked": false });
    marks.as_object_mut().unwrap().extend(of.as_object().unwrap().clone());
    let mut cell = json!({ "cell_type": kind, "id": id, "metadata": { "nbgrader": marks }, "source": text });
    if kind == "code" {
        cell["outputs"] = json!([]);
    }
    cell
}

fn notebook(cells: Vec<Value>) -> Notebook {
    Notebook {
        path: "made.ipynb".into(),
        json: json!({ "cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5 }),
    }
}

#[test]
fn solutions_and_hidden_tests_are_taken_out() {
    let teacher = notebook(vec![
        cell(
            "f",
            "code",
            "fn f() -> u32 {\n    // BEGIN SOLUTION\n    7\n    // END SOLUTION\n}",
            json!({ "solution": true }),
        ),
        cell(
            "t",
            "code",
            "assert_eq!(f(), 7);\n// BEGIN HIDDEN TESTS\nassert!(secret());\n// END HIDDEN TESTS\n1.0",
            json!({ "grade": true }),
        ),
        cell("w", "markdown", "What a teacher would write", json!({ "grade": true, "solution": true })),
        cell("v", "markdown", "Why?\nBEGIN SOLUTION\nSo.\nEND SOLUTION", json!({ "solution": true })),
    ]);
    let student = student_version(&teacher).unwrap();
    let texts: Vec<String> = student.cells().iter().map(source).collect();
    assert_eq!(texts[2..], [TEXT_STUB, "Why?\n*Your text here.*"], "a text without a region is all answer");
    assert_eq!(texts[0], "fn f() -> u32 {\n    // YOUR CODE HERE\n    todo!()\n}");
    assert_eq!(texts[1], "assert_eq!(f(), 7);\n1.0");
    for broken in
        ["// BEGIN SOLUTION\n7", "7\n// END SOLUTION", "// BEGIN SOLUTION\n// BEGIN SOLUTION\n// END SOLUTION", "7"]
    {
        let made = notebook(vec![cell("f", "code", broken, json!({ "solution": true }))]);
        assert!(student_version(&made).is_err(), "{broken}");
    }
}

#[test]
fn what_is_locked_is_put_back_and_what_was_written_stays() {
    let teacher = notebook(vec![
        cell("f", "code", "// BEGIN SOLUTION\nfn f() {}\n// END SOLUTION", json!({ "solution": true })),
        cell("t", "code", "check(f)", json!({ "grade": true, "locked": true, "points": 2 })),
        cell("u", "code", "check(u)", json!({ "grade": true, "locked": true, "points": 1 })),
    ]);
    let handed_in = notebook(vec![
        json!({ "cell_type": "code", "id": "own", "metadata": {}, "source": "let scratch = 1;", "outputs": [] }),
        cell("f", "code", "fn f() { mine() }", json!({ "solution": true })),
        cell("t", "code", "3.0", json!({ "grade": true, "points": 100 })),
        cell("t", "code", "2.0", json!({ "grade": true, "locked": false, "points": 100 })),
        cell("new", "code", "1", json!({ "grade": true, "points": 5 })),
    ]);
    let marked = to_be_marked(&teacher, &handed_in);
    let texts: Vec<String> = marked.cells().iter().map(source).collect();
    assert_eq!(texts, ["let scratch = 1;", "fn f() { mine() }", "3.0", "check(f)", "1"]);
    let ids: Vec<Option<String>> = marked.cells().iter().map(|cell| mark(cell).map(|mark| mark.id)).collect();
    assert_eq!(
        ids,
        [None, Some("f".into()), None, Some("t".into()), None],
        "the first of a name and new names count nothing"
    );
    assert_eq!(mark(&marked.cells()[3]).unwrap().points, 2.0);
    let submission = Submission { student: "a".into(), assignment: "made".into(), path: "made.ipynb".into() };
    let points = points_of(&teacher, &submission, &marked, "");
    assert_eq!(points.iter().map(|one| one.points).collect::<Vec<_>>(), [Some(0.0), Some(0.0)]);
    assert!(points[1].why.contains("missing"), "{points:?}");
    // A cell that was made one of another kind is one of code again, with what the student wrote.
    let handed_in = notebook(vec![cell("f", "markdown", "fn f() { mine() }", json!({ "solution": true }))]);
    let marked = to_be_marked(&teacher, &handed_in);
    let back = &marked.cells()[0];
    assert_eq!((source(back).as_str(), back["cell_type"].as_str()), ("fn f() { mine() }", Some("code")));
}

#[test]
fn points_are_the_last_value_and_nothing_where_something_failed() {
    let teacher = notebook(vec![
        cell("t", "code", "check(f)", json!({ "grade": true, "locked": true, "points": 2 })),
        cell("w", "markdown", "What a teacher would write", json!({ "grade": true, "solution": true, "points": 2 })),
    ]);
    let submission = Submission { student: "a".into(), assignment: "made".into(), path: "made.ipynb".into() };
    let value = |text: &str| json!({ "output_type": "execute_result", "data": { "text/plain": text }, "metadata": {}, "execution_count": 1 });
    let with = |outputs: Value, text: &str| {
        let mut ran = teacher.clone();
        ran.json["cells"][0]["outputs"] = outputs;
        ran.json["cells"][1]["source"] = json!(text);
        points_of(&teacher, &submission, &ran, "").into_iter().map(|one| (one.points, one.why)).collect::<Vec<_>>()
    };
    assert_eq!(with(json!([value("1.5")]), "mine"), [(Some(1.5), String::new()), (None, "to be read".into())]);
    assert_eq!(with(json!([value("1.5")]), TEXT_STUB)[1], (Some(0.0), "nothing was written".into()));
    for (outputs, why) in [
        (json!([value("3")]), "3 is no number of points from 0 to 2"),
        (json!([value("-1")]), "-1 is no number of points from 0 to 2"),
        (json!([value("NaN")]), "NaN is no number of points from 0 to 2"),
        (json!([value("two")]), "the cell gave no points"),
        (json!([]), "the cell gave no points"),
        (
            json!([value("2"), { "output_type": "error", "ename": "E0425", "evalue": "no `f`", "traceback": [] }]),
            "E0425: no `f`",
        ),
        (
            json!([{ "output_type": "stream", "name": "stderr", "text": "x" }, value("2")]),
            "the cell wrote to standard error",
        ),
    ] {
        assert_eq!(with(outputs, "mine")[0], (Some(0.0), why.to_string()));
    }
}

#[test]
fn every_assignment_is_whole_and_its_solutions_are_in_no_file_that_students_get() {
    let folder = tempfile::tempdir().unwrap();
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    let built = build(&workbench, folder.path()).unwrap();
    assert!(built.assignments.iter().all(|(_, points)| *points >= 10.0), "{built:?}");
    for notebook in all() {
        let release = folder.path().join("release").join(format!("{}.ipynb", notebook.stem()));
        let text = std::fs::read_to_string(&release).unwrap();
        assert!(!text.contains("SOLUTION") && !text.contains("HIDDEN TESTS"), "{}", notebook.stem());
        let mut ids = BTreeSet::new();
        for cell in notebook.cells() {
            let code = source(cell);
            assert!(code.lines().all(|line| cell["cell_type"] != "code" || line.chars().count() <= 120), "{code}");
            let Some(of) = mark(cell) else { continue };
            assert!(ids.insert(of.id.clone()), "{} {}", notebook.stem(), of.id);
            if !of.solution || cell["cell_type"] != "code" {
                continue;
            }
            let inside = code.split("BEGIN SOLUTION").nth(1).and_then(|rest| rest.split("END SOLUTION").next());
            for line in inside.unwrap().lines().map(str::trim).filter(|line| line.len() > 48) {
                assert!(!text.contains(&line.replace('"', "\\\"")), "{}: {line}", notebook.stem());
            }
            assert!(text.contains(STUB[0]));
        }
        let page = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("notebooks/assignments/instructors")
            .join(format!("{}.md", notebook.stem()));
        assert!(page.is_file(), "{}", page.display());
    }
    assert!(folder.path().join("nbgrader/nbgrader_config.py").is_file());
    // The page that JupyterLab opens with leads to all of them, and to every notebook.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("notebooks");
    let start = std::fs::read_to_string(root.join("START.md")).unwrap();
    for (name, points) in &built.assignments {
        let line = start.lines().find(|line| line.contains(&format!("(assignments/{name}.ipynb)")));
        assert!(line.is_some_and(|line| line.ends_with(&format!("| {points} |"))), "{name}: {points} points");
    }
    for notebook in wider_clip::workbench::notebooks::numbered_notebooks(&root).unwrap() {
        let name = notebook.file_name().unwrap().to_string_lossy().into_owned();
        assert!(start.contains(&format!("({name})")), "{name}");
    }
}

/// A copy of the project may have what students get where the assignments are: who checks a notebook there needs no solution.
#[test]
fn what_students_get_is_enough_to_mark_by() {
    let folder = tempfile::tempdir().unwrap();
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    build(&workbench, folder.path()).unwrap();
    let released = assignments(&folder.path().join("release")).unwrap();
    let teachers = all();
    assert_eq!(released.len(), teachers.len());
    for (teacher, released) in teachers.iter().zip(&released) {
        assert_eq!(teacher.stem(), released.stem());
        let submission = Submission { student: "you".into(), assignment: teacher.stem(), path: "mine.ipynb".into() };
        // All is written, and nothing.
        for handed_in in [teacher, released] {
            let run = to_be_marked(released, handed_in);
            assert_eq!(run.json, to_be_marked(teacher, handed_in).json, "{}", teacher.stem());
            let mut ran = run.clone();
            for cell in ran.json["cells"].as_array_mut().unwrap().iter_mut().filter(|cell| cell["cell_type"] == "code")
            {
                let data = json!({ "text/plain": "1.5" });
                cell["outputs"] = json!([{ "output_type": "execute_result", "data": data, "metadata": {} }]);
            }
            let points = points_of(released, &submission, &ran, "");
            assert!(points.iter().any(|one| one.points == Some(1.5)), "{points:?}");
            assert_eq!(points, points_of(teacher, &submission, &ran, ""));
        }
    }
}

#[test]
fn submissions_are_found_in_both_forms_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let known = all();
    let name = known[0].stem();
    let put = |path: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, known[0].to_text()).unwrap();
    };
    put(&format!("ada/{name}.ipynb"));
    put(&format!("bob/{name}/{name}.ipynb"));
    put("bob/other.ipynb");
    std::os::unix::fs::symlink("/etc", folder.path().join("eve")).unwrap();
    let (found, others) = submissions(folder.path(), &known).unwrap();
    assert_eq!(found.iter().map(|one| one.student.as_str()).collect::<Vec<_>>(), ["ada", "bob"]);
    assert_eq!(others.len(), 1);
    // Which of two would count?
    put(&format!("ada/{name}/{name}.ipynb"));
    let said = submissions(folder.path(), &known).unwrap_err().to_string();
    assert!(said.contains("one notebook per student") && said.matches("ada").count() >= 2, "{said}");
    let empty = tempfile::tempdir().unwrap();
    assert!(submissions(empty.path(), &known).unwrap_err().to_string().contains(&name));
}

#[test]
fn grades_that_were_filled_in_by_hand_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grades.csv");
    let header = "student,assignment,task,points,of,why\n";
    std::fs::write(&path, format!("{header}ada,1,text,1.5,2,to be read\nada,1,f,,2,\n")).unwrap();
    let points: Vec<Option<f64>> =
        read_grades(&path, &Folders::default()).unwrap().into_iter().map(|one| one.points).collect();
    assert_eq!(points, [Some(1.5), None]);
    // A name that a spreadsheet would take for a formula is written with a mark, and read without.
    std::fs::write(&path, format!("{header}'-ada,1,text,1,2,\n'bob,1,text,1,2,\n")).unwrap();
    let names: Vec<String> =
        read_grades(&path, &Folders::default()).unwrap().into_iter().map(|one| one.student).collect();
    assert_eq!(names, ["-ada", "'bob"]);
    // As a spreadsheet saves it where commas are in numbers.
    let saved = "\u{feff}student;assignment;task;points;of;why\nada;1;text;1,5;2;\"a; b\"\n";
    std::fs::write(&path, saved).unwrap();
    let read = read_grades(&path, &Folders::default()).unwrap();
    assert_eq!((read[0].points, read[0].of, read[0].why.as_str()), (Some(1.5), 2.0, "a; b"));
    for wrong in ["3", "-1", "NaN", "good"] {
        std::fs::write(&path, format!("{header}ada,1,text,{wrong},2,\n")).unwrap();
        let said = read_grades(&path, &Folders::default()).unwrap_err().to_string();
        assert!(said.contains("line 2") && said.contains(wrong), "{said}");
    }
}

/// What a person wrote into the grades stays as long as what was handed in is the same; what is handed in anew is read anew.
#[test]
fn marking_again_takes_nothing_of_a_person_away() {
    let line = |student: &str, task: &str, points: Option<f64>, why: &str| Points {
        student: student.into(),
        assignment: "1".into(),
        task: task.into(),
        points,
        of: 4.0,
        why: why.into(),
    };
    let machine = |code: f64| vec![line("ada", "code", Some(code), ""), line("ada", "text", None, "to be read")];
    let first = || Marking { points: machine(3.0), before: Vec::new(), anew: true };
    let again = || Marking { points: machine(3.0), before: machine(3.0), anew: false };
    let anew = |code| Marking { points: machine(code), before: machine(3.0), anew: true };
    let with = |marking: Marking, former: &[Points], text: &str| {
        together(vec![marking], former.to_vec(), |_| Some(text.to_string()))
    };
    let told = |all: &[Points]| all.iter().map(|one| (one.points, one.why.clone())).collect::<Vec<_>>();
    let written = with(first(), &[], "11");
    assert_eq!(told(&written), [(Some(3.0), String::new()), (None, "to be read (text 11)".into())]);
    assert_eq!(with(again(), &written, "11"), written);

    // Read, and the code looked at too.
    let mut filled = written.clone();
    (filled[0].points, filled[0].why, filled[1].points) = (Some(3.5), "nearly".into(), Some(2.0));
    assert_eq!(with(again(), &filled, "11"), filled);
    // A reason of the reader's own stays too, and the text is still known.
    filled[1].why = "well said".into();
    let kept = with(again(), &filled, "11");
    assert_eq!((kept[1].points, kept[1].why.as_str()), (Some(2.0), "well said (text 11)"));

    // Another text, other code: neither has points that were given to the former ones, and both say so.
    let later = with(anew(1.0), &kept, "22");
    assert_eq!(
        told(&later),
        [
            (Some(1.0), "3.5 points were given by hand to what was handed in before".into()),
            (None, "to be read again, 2 points were for another text (text 22)".into()),
        ]
    );
    assert_eq!(with(Marking { before: machine(1.0), ..again() }, &later, "22")[1], later[1]);
    let mut read = later.clone();
    read[1].points = Some(4.0);
    let marking = Marking { points: machine(1.0), before: machine(1.0), anew: false };
    assert_eq!(with(marking, &read, "22")[1], read[1]);
    // Code that changed beside a text that did not.
    let same_text = with(anew(3.0), &kept, "11");
    assert_eq!((same_text[0].points, same_text[1].points), (Some(3.0), Some(2.0)));
    assert!(same_text[0].why.starts_with("3.5 points were given by hand"), "{}", same_text[0].why);

    // A run that was killed after the grades were written and before it noted what it had found.
    let killed = with(Marking { points: machine(1.0), before: machine(3.0), anew: true }, &machine(1.0), "11");
    assert_eq!((killed[0].points, killed[0].why.as_str()), (Some(1.0), ""));
    // One that was killed before: the old line is no person's.
    let killed = with(Marking { points: machine(1.0), before: machine(3.0), anew: true }, &machine(3.0), "11");
    assert_eq!((killed[0].points, killed[0].why.as_str()), (Some(1.0), ""));

    // Lines of those that are not marked this time, and of an earlier version without a mark.
    let former = [line("zoe", "text", Some(1.0), "to be read"), line("ada", "text", Some(2.5), "to be read")];
    let all = with(anew(3.0), &former, "33");
    assert_eq!(all.iter().map(|one| one.student.as_str()).collect::<Vec<_>>(), ["ada", "ada", "zoe"]);
    assert_eq!((all[1].points, all[1].why.as_str(), &all[2]), (Some(2.5), "to be read (text 33)", &former[0]));
}

/// Marks one task again: what the program finds now and found before, and what its line says.
fn marked_again(now: Points, before: Option<Points>, line: Points, anew: bool) -> Points {
    let marking = Marking { points: vec![now], before: before.into_iter().collect(), anew };
    together(vec![marking], vec![line], |_| Some("11".into())).remove(0)
}

fn task(points: Option<f64>, why: &str) -> Points {
    let (student, assignment, task) = ("ada".into(), "1".into(), "task".into());
    Points { student, assignment, task, points, of: 4.0, why: why.into() }
}

/// A text that was not there, and is handed in now, is to be read.
#[test]
fn a_zero_of_the_program_is_no_reading() {
    let unread = || task(None, "to be read");
    for why in ["nothing was written", "the cell is missing", "the run ended with 1: x", "it took more than 900 s"] {
        let zero = || task(Some(0.0), why);
        for before in [Some(zero()), None] {
            let said = marked_again(unread(), before, zero(), true);
            assert_eq!((said.points, said.why.as_str()), (None, "to be read (text 11)"), "{why}");
        }
    }
    // A person's: other points than the program's, a text that the program left to be read, a reason of their own.
    let zero = || task(Some(0.0), "nothing was written");
    assert_eq!(marked_again(unread(), Some(zero()), task(Some(1.0), "on paper"), true).points, Some(1.0));
    assert_eq!(marked_again(unread(), Some(unread()), task(Some(0.0), "copied"), false).points, Some(0.0));
    assert_eq!(marked_again(unread(), None, task(Some(0.0), "copied"), true).points, Some(0.0));
    // A zero for this very text stays, also where the machine could not mark it the last time.
    let read = task(Some(0.0), "to be read (text 11)");
    assert_eq!(marked_again(unread(), Some(task(Some(0.0), "not marked: x")), read.clone(), false), read);
}

/// Only what a person wrote outlives what the program finds.
#[test]
fn new_points_of_the_program_take_the_place_of_its_old_ones() {
    let told = |of: Points| (of.points, of.why);
    let old = || task(Some(0.0), "not marked: no space");
    let again = |now, line, anew| told(marked_again(now, Some(old()), line, anew));
    assert_eq!(again(task(Some(4.0), ""), old(), false), (Some(4.0), String::new()));
    assert_eq!(again(task(Some(4.0), ""), task(Some(0.0), "late"), false), (Some(4.0), String::new()));
    // The same points, with a person's reason.
    assert_eq!(again(task(Some(0.0), "E0425"), task(Some(0.0), "late"), false), (Some(0.0), "late".into()));
    assert_eq!(again(task(Some(0.0), "E0425"), task(Some(0.0), "late"), true), (Some(0.0), "E0425".into()));
    assert_eq!(again(task(Some(0.0), "E0425"), old(), false), (Some(0.0), "E0425".into()));
    // Other points are a person's, whatever the program finds, until something else is handed in.
    assert_eq!(again(task(Some(4.0), ""), task(Some(2.0), "late"), false), (Some(2.0), "late".into()));
    assert!(again(task(Some(4.0), ""), task(Some(2.0), "late"), true).1.contains("2 points were given by hand"));
    // A reason of several lines comes back from the file in one.
    let of_lines = task(Some(0.0), "E1: a\nb");
    let line = task(Some(0.0), "E1: a\\nb");
    assert_eq!(told(marked_again(task(Some(0.0), "E2"), Some(of_lines), line, false)), (Some(0.0), "E2".into()));
}

/// A line belongs to the folder that it was written for, though its name is written, trimmed or counted there.
#[test]
fn lines_find_the_folders_whose_names_do_not_come_back_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grades.csv");
    let of = |students: &[&str]| Folders::of(students.iter().map(|name| (name.to_string(), "1".to_string())));
    let read = |fields: &[&str], students: &[&str]| {
        let lines: String = fields.iter().map(|name| format!("{name},1,task,2,4,\n")).collect();
        std::fs::write(&path, format!("student,assignment,task,points,of,why\n{lines}")).unwrap();
        let read = read_grades(&path, &of(students)).map_err(|error| error.to_string())?;
        Ok::<_, String>(read.into_iter().map(|one| one.student).collect::<Vec<_>>())
    };
    // What the program writes is read as what it was, and a person's points come through marking again.
    let names = ["ada ", " eve", "bo\u{200b}b", "two\nlines", "'=x", "=y", "ada", "0012345", "12"];
    let marked = |name: &str, points| Points { student: name.into(), ..task(points, "") };
    let given: Vec<Points> = names.iter().map(|name| marked(name, Some(2.0))).collect();
    std::fs::write(&path, csv_of(&given, &Added::default()).unwrap()).unwrap();
    let former = read_grades(&path, &of(&names)).unwrap();
    assert_eq!(former, given);
    let unread = |name: &&str| Marking { points: vec![marked(name, None)], before: Vec::new(), anew: false };
    let again = together(names.iter().map(unread).collect(), former, |_| None);
    let told: BTreeSet<&str> =
        again.iter().filter(|one| one.points == Some(2.0)).map(|one| one.student.as_str()).collect();
    assert_eq!(told, BTreeSet::from(names));
    assert_eq!(again.len(), names.len());

    // As an editor has saved it: without the spaces, without the mark before a formula.
    assert_eq!(read(&["ada", "-eve"], &["ada ", "-eve", "bob"]).unwrap(), ["ada ", "-eve"]);
    // Of nobody who is known, and of somebody with another assignment only.
    assert_eq!(read(&["12345", "zoe"], &["bob", "00123456", "1 2345"]).unwrap(), ["12345", "zoe"]);
    let other = Folders::of([("0012345".to_string(), "2".to_string())]);
    assert_eq!(read_grades(&path, &other).unwrap()[0].student, "12345");
    // A number is somebody's who has it as it is.
    assert_eq!(read(&["12345"], &["0012345", "12345"]).unwrap(), ["12345"]);

    for (fields, students, said) in [
        (vec!["bob", "12345"], vec!["0012345", "bob"], ["`12345` in line 3", "probably `0012345`"]),
        (vec!["12345.0"], vec!["0012345"], ["`12345.0` in line 2", "probably `0012345`"]),
        (vec!["0"], vec!["000"], ["`0` in line 2", "probably `000`"]),
        (vec!["1.23457E+12"], vec!["1234567890123", "1234467890123"], ["`1.23457E+12`", "probably `1234567890123`,"]),
        (vec!["12345"], vec!["012345", "0012345"], ["`12345`", "`0012345` or `012345`"]),
        (vec![" ada"], vec!["ada", "ada "], ["` ada` in line 2", "`ada` or `ada `"]),
        (vec!["ada", "ada"], vec!["ada "], ["one line for a student's task", "a second one in line 3: ada  1 task"]),
    ] {
        let error = read(&fields, &students).unwrap_err();
        assert!(error.contains("grades.csv") && said.iter().all(|said| error.contains(said)), "{error}");
    }
}

/// Points are read from a cell's value, which comes after all that its functions printed.
#[test]
fn much_that_was_printed_takes_no_value_away() {
    let program = r#"
import json, sys
sys.path.insert(0, "src/workbench/course")
sys.dont_write_bytecode = True
from run_submission import MOST_TEXT, shortened
many, few = MOST_TEXT + 100_000, MOST_TEXT // 4
stream = lambda n, name="stdout": {"output_type": "stream", "name": name, "text": "x" * n}
value = lambda n: {"output_type": "execute_result", "metadata": {}, "execution_count": 1,
                   "data": {"text/plain": "1.5", "text/html": "h" * n}}
shown = lambda n: {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "d" * n}}
error = lambda n: {"output_type": "error", "ename": "E0425", "evalue": "v" * n, "traceback": []}
cases = [[stream(many), value(9)], [stream(many), error(9)], [stream(many, "stderr"), value(9)],
         [shown(many), value(9)], [stream(few), value(many)], [value(9), error(many)],
         [stream(few), shown(few), value(few)], [stream(few), shown(3 * few), value(few)]]
kept = [shortened(outputs) for outputs in cases]
json.dump([[outputs, len(json.dumps(outputs)) < MOST_TEXT + 500] for outputs in kept], sys.stdout)
"#;
    let mut python = std::process::Command::new(std::env::var_os("PYTHON").unwrap_or("python3".into()));
    let done = python.args(["-c", program]).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let all: Vec<(Vec<Value>, bool)> = serde_json::from_slice(&done.stdout).unwrap();
    let teacher = notebook(vec![cell("t", "code", "check(f)", json!({ "grade": true, "locked": true, "points": 2 }))]);
    let submission = Submission { student: "a".into(), assignment: "made".into(), path: "made.ipynb".into() };
    let given = |outputs: &[Value]| {
        let mut ran = teacher.clone();
        ran.json["cells"][0]["outputs"] = json!(outputs);
        points_of(&teacher, &submission, &ran, "").remove(0)
    };
    let expected = [
        (Some(1.5), ""),
        (Some(0.0), "E0425: vvvvvvvvv"),
        (Some(0.0), "the cell wrote to standard error"),
        (Some(1.5), ""),
        (Some(1.5), ""),
        (Some(0.0), "E0425: [the error was left out: it is too long]"),
        (Some(1.5), ""),
        (Some(1.5), ""),
    ];
    assert_eq!(all.len(), expected.len());
    for (at, ((outputs, is_short), (points, why))) in all.iter().zip(expected).enumerate() {
        let found = given(outputs);
        assert_eq!((found.points, found.why.as_str(), *is_short), (points, why, true), "case {at}");
    }
    let text = |case: usize, output: usize| source_text(&all[case].0[output]);
    // What was printed stands where it stood, cut, and has what the others left.
    assert!(text(0, 0).starts_with("xxx") && text(0, 0).ends_with("[the rest of the output was left out]\n"));
    assert!(text(0, 0).len() > 199_000);
    assert_eq!(text(3, 0), "[an output was left out: it is too long]\n");
    assert_eq!(
        (text(6, 0), all[6].0[1]["data"]["text/plain"].as_str().map(str::len)),
        ("x".repeat(50_000), Some(50_000))
    );
    assert_eq!(all[6].0[2]["data"]["text/html"].as_str().map(str::len), Some(50_000));
    assert_eq!((text(7, 0), text(7, 1).len()), ("x".repeat(50_000), 41));
}

fn source_text(output: &Value) -> String {
    output["text"].as_str().unwrap_or_default().to_string()
}

/// What an interrupted run has left is removed once no run can be at it, and nothing else is.
#[test]
fn folders_of_submissions_that_were_left_behind_are_swept() {
    use std::os::unix::fs::MetadataExt;
    let temporary = tempfile::tempdir().unwrap();
    let user = std::fs::metadata(temporary.path()).unwrap().uid();
    let make = |name: &str, hours: u64| {
        let folder = temporary.path().join(name);
        std::fs::create_dir_all(folder.join("place/kernel")).unwrap();
        std::fs::write(folder.join("place/submission.ipynb"), "{}").unwrap();
        let then = std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600);
        std::fs::File::open(&folder).unwrap().set_modified(then).unwrap();
        folder
    };
    let left = make(&format!("wider-clip-submission-{user}-left"), 25);
    let others = [
        make(&format!("wider-clip-submission-{user}-young"), 23),
        make(&format!("wider-clip-submission-{user}1-of another user"), 25),
        make("submission-of another program", 25),
        make("wider-clip-other", 25),
    ];
    sweep_left_behind(temporary.path());
    assert!(!left.exists());
    assert!(others.iter().all(|other| other.join("place/submission.ipynb").exists()));
}

#[test]
fn columns_of_the_grades_are_known_by_their_names_and_added_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grades.csv");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_table(&path, &Folders::default())
    };
    let text = "mail,why,student,of,points,assignment,task,note\n\
                a@b.org,good,ada,4,1.5,1,task,\"=1+1, or so\"\n\
                c@d.org,,bob,4,,1,task,-\n";
    let (points, added) = read(text).unwrap();
    assert_eq!(points[0], task(Some(1.5), "good"));
    assert_eq!(added.names, ["mail", "note"]);
    let new = Points { task: "new".into(), ..task(Some(0.0), "") };
    let all = [points[0].clone(), new, points[1].clone()];
    let written = String::from_utf8(csv_of(&all, &added).unwrap()).unwrap();
    let lines = [
        "student,assignment,task,points,of,why,mail,note",
        "ada,1,task,1.5,4,good,a@b.org,\"=1+1, or so\"",
        "ada,1,new,0,4,,,",
        "bob,1,task,,4,,c@d.org,-",
    ];
    assert_eq!(written.lines().collect::<Vec<_>>(), lines);
    // Read and written again it is the same.
    let (points, added) = read(&written).unwrap();
    assert_eq!(csv_of(&points, &added).unwrap(), written.as_bytes());
    let own = csv_of(&points, &Added::default()).unwrap();
    assert!(own.starts_with(b"student,assignment,task,points,of,why\n"));
    // As a spreadsheet saves it, with columns in another order and some at the end that have no name.
    let (points, added) = read("note;points;of;student;assignment;task;why;;\n2,5;1,5;4;ada;1;task;good;;\n").unwrap();
    assert_eq!(
        (points[0].clone(), added.of(&points[0])),
        (task(Some(1.5), "good"), vec!["2,5".into(), "".into(), "".into()])
    );
    for (header, said) in [
        ("student,assignment,task,points,of", "no column `why`"),
        ("student,assignment,points,of,why,note", "no column `task`"),
        ("student,assignment,task,points,points,of,why", "two columns `points`"),
        ("student,assignment,task,points,of,why,note,note", "two columns `note`"),
        ("", "no column `student`"),
    ] {
        let error = read(&format!("{header}\n")).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn what_a_teacher_edited_in_a_built_course_stays() {
    let folder = tempfile::tempdir().unwrap();
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    let own = folder.path().canonicalize().unwrap();
    assert!(build(&workbench, &own).unwrap().left.is_empty());
    let names = ["README.md", "nbgrader/nbgrader_config.py", "nbgrader/source/1_rust_for_data/1_rust_for_data.ipynb"];
    let whole: Vec<String> = names.iter().map(|name| std::fs::read_to_string(own.join(name)).unwrap()).collect();
    for name in names {
        std::fs::write(own.join(name), "mine").unwrap();
    }
    let mut left = build(&workbench, &own).unwrap().left;
    left.sort();
    assert_eq!(left, names.map(|name| own.join(name)));
    assert!(names.iter().all(|name| std::fs::read_to_string(own.join(name)).unwrap() == "mine"));
    // One that is deleted comes back.
    std::fs::remove_file(own.join(names[0])).unwrap();
    assert_eq!(build(&workbench, &own).unwrap().left.len(), 2);
    assert_eq!(std::fs::read_to_string(own.join(names[0])).unwrap(), whole[0]);
    // What is as an earlier version wrote it is written anew; without the list nobody knows.
    std::fs::remove_file(own.join(names[1])).unwrap();
    std::fs::write(own.join(names[2]), &whole[2]).unwrap();
    assert!(build(&workbench, &own).unwrap().left.is_empty());
    let list = own.join(".written.json");
    let written = std::fs::read_to_string(&list).unwrap();
    let digest = |text: &str| wider_clip::storage::sha256_hex(text.as_bytes());
    std::fs::write(own.join(names[0]), "of an earlier version").unwrap();
    std::fs::write(&list, written.replace(&digest(&whole[0]), &digest("of an earlier version"))).unwrap();
    assert!(build(&workbench, &own).unwrap().left.is_empty());
    assert_eq!(std::fs::read_to_string(own.join(names[0])).unwrap(), whole[0]);
    std::fs::write(own.join(names[0]), "of an earlier version").unwrap();
    std::fs::remove_file(&list).unwrap();
    assert_eq!(build(&workbench, &own).unwrap().left, [own.join(names[0])]);
}

#[test]
fn a_feedback_page_has_nothing_that_a_browser_would_run() {
    let script = "<script data-library>fetch('//evil.org')</script>";
    let raw = |text: &str| json!({ "cell_type": "raw", "id": "r", "metadata": { "raw_mimetype": "text/html" }, "source": text });
    let outputs = json!([
        { "output_type": "display_data", "metadata": { "image/png": { "width": "1 onload=x" } },
          "data": { "text/html": script, "image/svg+xml": script, "text/markdown": script, "text/plain": ["1", "2"], "image/png": "AAAA" } },
        { "output_type": "error", "ename": "E", "evalue": "x", "traceback": [script] },
        { "output_type": "stream", "name": "evil", "text": "said" },
        { "output_type": "evil", "data": {} },
    ]);
    let ran = notebook(vec![
        raw(script),
        raw(&format!("````\n{script}\n```\n")),
        json!({ "cell_type": "markdown", "id": "m", "metadata": {}, "attachments": { "a.png": {} },
                "source": format!("{script} ![a](https://evil.org/a.png) !![b](http://evil.org/b.png) [c](javascript:d)") }),
        json!({ "cell_type": "code", "id": "\"><b>", "metadata": { "magics_language": "html" }, "source": "1", "outputs": outputs }),
    ]);
    let shown = shown_notebook(&ran, ("ada", "1"), &[task(Some(2.0), "")]);
    let cells = shown.cells();
    let texts: Vec<String> = cells.iter().map(source).collect();
    assert!(cells.iter().all(|cell| cell["cell_type"] != "raw" && cell["metadata"] == json!({})), "{cells:?}");
    assert!(texts[0].contains("**2 of 4 points**"), "{}", texts[0]);
    assert_eq!(texts[1], format!("```\n{script}\n```\n"));
    assert_eq!(texts[2], format!("`````\n````\n{script}\n```\n\n`````\n"));
    assert!(!texts[3].contains('<') && !texts[3].contains("![") && !texts[3].contains("](j"), "{}", texts[3]);
    assert!(cells[3].get("attachments").is_none() && cells[4]["id"] == "cell-3");
    let left = json!([
        { "output_type": "display_data", "metadata": {}, "data": { "text/plain": "12", "image/png": "AAAA" } },
        { "output_type": "stream", "name": "stderr", "text": format!("{script}\n") },
        { "output_type": "stream", "name": "stdout", "text": "said" },
    ]);
    assert_eq!(cells[4]["outputs"], left);

    for allowed in [
        "[a](http://b)",
        "[a](HTTPS://b \"c\")",
        "[a]( mailto:b@c )",
        "[a](#b)",
        "[a][b]\n\n[b]: https://c",
        "a[0]",
        "]",
    ] {
        assert_eq!(safe_links(allowed), allowed);
    }
    for target in [
        "javascript:a",
        "JavaScript:a",
        " \njavascript:a",
        "\u{b}javascript:a",
        "java\u{0}script:a",
        "&#106;avascript:a",
        "\\javascript:a",
        "&lt;javascript:a>",
        "data:text/html,a",
        "vbscript:a",
        "file:///etc",
        "//evil.org",
        "other.html",
        "",
    ] {
        assert_eq!(safe_links(&format!("[a]({target})")), format!("[a] ({target})"));
        assert_eq!(safe_links(&format!("[a]\n\n> [a]:{target}")), format!("[a]\n\n> [a] :{target}"));
    }
    assert_eq!(safe_links("$\\href{javascript:a}{b}$"), "$\\ href{javascript:a}{b}$");
}

#[test]
fn outputs_are_saved_into_the_cells_that_were_run() {
    let of =
        |cells: &[(&str, &str)]| notebook(cells.iter().map(|(kind, text)| cell("a", kind, text, json!({}))).collect());
    let ran = of(&[("code", "1"), ("markdown", "why")]);
    let mut now = ran.clone();
    now.json["cells"][0]["outputs"] = json!([{ "output_type": "stream", "name": "stdout", "text": "1" }]);
    now.json["cells"][1]["source"] = json!(["w", "hy"]);
    assert!(has_same_cells(&now, &ran));
    for other in [
        of(&[("code", "2"), ("markdown", "why")]),
        of(&[("code", "1"), ("code", "why")]),
        of(&[("code", "1")]),
        of(&[("code", "1"), ("markdown", "why"), ("code", "")]),
        of(&[("markdown", "why"), ("code", "1")]),
    ] {
        assert!(!has_same_cells(&other, &ran));
    }
}

#[test]
fn the_nearest_folder_above_decides_what_a_submission_sees() {
    let paths = |all: &[&str]| all.iter().map(std::path::PathBuf::from).collect::<Vec<_>>();
    let made = |hidden: &[&str], kept: &[&str]| {
        let layers = layers(&paths(hidden), &paths(kept));
        layers.iter().map(|of| (of.path.to_string_lossy().into_owned(), of.seen)).collect::<Vec<_>>()
    };
    let is = |all: &[(&str, bool)]| all.iter().map(|(path, seen)| (path.to_string(), *seen)).collect::<Vec<_>>();
    // A project in a home, with what is hidden inside it; what is hidden or seen anyway needs nothing.
    assert_eq!(
        made(&["/h/p/.git", "/h", "/h/.cache", "/run"], &["/h/p", "/usr"]),
        is(&[("/h", false), ("/h/p", true), ("/h/p/.git", false), ("/run", false)])
    );
    // A project below a temporary folder that has its home and its temporary folder inside.
    assert_eq!(
        made(&["/tmp", "/tmp/p/home", "/tmp/p/tmp"], &["/tmp/p", "/tmp/p/home/.rustup"]),
        is(&[
            ("/tmp", false),
            ("/tmp/p", true),
            ("/tmp/p/home", false),
            ("/tmp/p/home/.rustup", true),
            ("/tmp/p/tmp", false),
        ])
    );
    // A project right in a home has to be seen; the root cannot be hidden; names that begin alike are others.
    assert_eq!(made(&["/h", "/"], &["/h"]), is(&[]));
    assert_eq!(made(&["/h"], &["/h-2", "/h/p"]), is(&[("/h", false), ("/h/p", true)]));
}
