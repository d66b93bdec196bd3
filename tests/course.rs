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
use wider_clip::workbench::course::grade::{Points, Submission, points_of, submissions};
use wider_clip::workbench::course::grades::{Marking, read_grades, together};

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
    let points: Vec<Option<f64>> = read_grades(&path).unwrap().into_iter().map(|one| one.points).collect();
    assert_eq!(points, [Some(1.5), None]);
    // A name that a spreadsheet would take for a formula is written with a mark, and read without.
    std::fs::write(&path, format!("{header}'-ada,1,text,1,2,\n'bob,1,text,1,2,\n")).unwrap();
    let names: Vec<String> = read_grades(&path).unwrap().into_iter().map(|one| one.student).collect();
    assert_eq!(names, ["-ada", "'bob"]);
    // As a spreadsheet saves it where commas are in numbers.
    let saved = "\u{feff}student;assignment;task;points;of;why\nada;1;text;1,5;2;\"a; b\"\n";
    std::fs::write(&path, saved).unwrap();
    let read = read_grades(&path).unwrap();
    assert_eq!((read[0].points, read[0].of, read[0].why.as_str()), (Some(1.5), 2.0, "a; b"));
    for wrong in ["3", "-1", "NaN", "good"] {
        std::fs::write(&path, format!("{header}ada,1,text,{wrong},2,\n")).unwrap();
        let said = read_grades(&path).unwrap_err().to_string();
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
