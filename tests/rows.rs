//! Rows: read back as written, kept once however many processes add them, exported as CSV and Parquet, and held against those
//! that came with the project.

#[path = "support/a_run.rs"]
mod a_run;

use a_run::run;
use polars_io::parquet::write::ParquetWriter;
use std::path::Path;
use wider_clip::prelude::*;
use wider_clip::results::{
    AGREEMENT, Answers, Cell, Check, Kept, LeftOut, Made, Predicted, Right, Run, Score, Standing, Store, export,
    left_out_in, read_predictions, read_rows, read_runs, rows_in, runs_frame, shipped_folder, standing, to_csv,
    write_left_out, write_predictions, write_rows, write_runs,
};

fn row(seed: u64, metric: &str, value: Option<f64>) -> ResultRow {
    let cell = Cell {
        table: "drift_probe".into(),
        dataset: "icons".into(),
        model: "pixels.raw".into(),
        method: "lr".into(),
        budget: Some(10),
        seed,
        pooling: "pixels".into(),
        protocol: "grouped".into(),
        subset: "all".into(),
        device: "cpu".into(),
        key: format!("key {seed}"),
    };
    let warning = "a \"quoted\", comma'd\nwarning".into();
    let score = Score {
        split: "id".into(),
        metric: metric.into(),
        value,
        n_train: 7,
        n_test: 90,
        warning,
        weights: String::new(),
    };
    ResultRow::new(cell, score, Made::here())
}

#[test]
fn rows_come_back_as_they_were_and_none_is_kept_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path().join("results").join("one"));
    assert!(store.rows("icons", "pixels.raw").expect("nothing there yet").is_empty());
    let rows = vec![row(u64::MAX, "accuracy", Some(0.1 + 0.2)), row(u64::MAX, "macro_f1", None)];
    let add =
        |rows: Vec<ResultRow>| store.add("icons", "pixels.raw", Kept { rows, ..Kept::default() }).expect("writes");
    add(rows.clone());
    add(rows.clone());
    assert_eq!(store.rows("icons", "pixels.raw").expect("reads"), rows);
    // A number of the same place takes the old one's; a metric that a cell has got since stands beside it.
    add(vec![row(u64::MAX, "accuracy", Some(0.5)), row(u64::MAX, "recall", Some(0.25))]);
    let now = store.rows("icons", "pixels.raw").expect("reads");
    let numbers: Vec<(&str, Option<f64>)> = now.iter().map(|row| (row.metric.as_str(), row.value)).collect();
    assert_eq!(numbers, [("accuracy", Some(0.5)), ("macro_f1", None), ("recall", Some(0.25))]);
    let made = &now[0].made;
    assert!(made.machine.contains("threads") && made.date.len() == 10 && made.date.starts_with("20"), "{made:?}");
}

/// `rows FILE` is given any file.
#[test]
fn what_is_no_file_of_results_is_told_as_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("other.parquet");
    let mut other = df!("name" => ["a"], "n" => [1i64]).expect("a table");
    ParquetWriter::new(std::fs::File::create(&path).expect("a file")).finish(&mut other).expect("writes");
    let error = read_rows(&path).expect_err("another program's").to_string();
    assert!(error.contains("other.parquet: expected a file of results, with a column `table`"), "{error}");
    std::fs::write(&path, "a,b\n1,2\n").expect("writes");
    let error = read_rows(&path).expect_err("text").to_string();
    assert!(error.contains("if this program made it, remove it"), "{error}");
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let error = read_rows(&pipe).expect_err("a pipe").to_string();
    assert!(error.contains("pipe"), "{error}");
}

#[test]
fn a_flipped_bit_is_no_other_number() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    let rows = vec![row(1, "accuracy", Some(0.1 + 0.2)), row(2, "accuracy", Some(0.75)), row(3, "macro_f1", None)];
    write_rows(&path, &rows).expect("writes");
    let whole = std::fs::read(&path).expect("reads");
    const MARK: &[u8] = b"SHA-256 of all else: ";
    let mark = whole.windows(MARK.len()).position(|window| window == MARK).expect("a line");
    let tried = || (0..whole.len()).filter(|at| at % 11 == 0 || (mark..mark + MARK.len() + 64).contains(at));
    let mut passed = 0;
    for at in tried() {
        let mut file = whole.clone();
        file[at] ^= 1 << (at % 8);
        std::fs::write(&path, &file).expect("writes");
        match read_rows(&path) {
            Ok(found) => {
                assert_eq!(found, rows, "byte {at}");
                passed += 1;
            }
            Err(error) => assert!(error.chain().contains("rows.parquet"), "byte {at}: {}", error.chain()),
        }
    }
    // In the words before the hash alone.
    assert_eq!(passed, MARK.len());
    // Two files in one, and a line that is not where it belongs.
    let error = |file: &[u8]| {
        std::fs::write(&path, file).expect("writes");
        read_rows(&path).expect_err("damaged").chain()
    };
    assert!(error(&[&whole[..], &whole[4..]].concat()).contains("other bytes than were written"));
    let moved = [&whole[..whole.len() - 8], &0u32.to_le_bytes(), b"PAR1"].concat();
    assert!(!error(&moved).is_empty());
    // A file as another program writes it has no such line.
    let mut other = Vec::new();
    polars_io::parquet::write::ParquetWriter::new(&mut other)
        .finish(&mut frame(&rows).expect("a table"))
        .expect("writes");
    std::fs::write(&path, &other).expect("writes");
    assert_eq!(read_rows(&path).expect("reads"), rows);
}

#[test]
fn many_processes_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path());
    std::thread::scope(|scope| {
        for process in 0..8u64 {
            let store = &store;
            scope.spawn(move || {
                for i in 0..5 {
                    let seed = process * 5 + i;
                    let answers = Answers {
                        key: format!("key {seed}"),
                        split: "id".into(),
                        images: vec![1, 5, 9],
                        predicted: vec![0, seed as u32, 2],
                    };
                    let rows = vec![row(seed, "accuracy", Some(0.5))];
                    let kept = Kept { rows, answers: vec![answers], ..Kept::default() };
                    store.add("icons", "pixels.raw", kept).expect("writes");
                }
            });
        }
    });
    let mut seeds: Vec<u64> =
        store.rows("icons", "pixels.raw").expect("reads").iter().map(|row| row.cell.seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, (0..40).collect::<Vec<_>>());
    let answers = store.answers("icons", "pixels.raw").expect("reads");
    assert_eq!(answers.len(), 40);
    assert!(
        answers
            .iter()
            .all(|of_cell| { of_cell.images == [1, 5, 9] && of_cell.key == format!("key {}", of_cell.predicted[1]) })
    );
}

#[test]
fn rows_are_exported_as_parquet_and_csv() {
    let folder = tempfile::tempdir().expect("a folder");
    let (current, out) = (folder.path().join("current"), folder.path().join("out"));
    assert!(export(&current, &out, |_| true).expect("nothing to export").is_empty());
    let path = current.join("one.parquet");
    write_rows(&path, &[row(3, "accuracy", Some(0.1 + 0.2)), row(3, "macro_f1", None)]).expect("writes");
    write_rows(&current.join("one.shipped.parquet"), &[]).expect("writes");
    let written = export(&current, &out, |_| true).expect("exports");
    assert_eq!(written, [out.join("one.parquet"), out.join("one.csv")]);
    let mut reader = csv::Reader::from_path(out.join("one.csv")).expect("opens");
    let header: Vec<String> = reader.headers().expect("a header").iter().map(String::from).collect();
    let published = ["table", "dataset", "split", "model", "method", "budget", "metric", "value"];
    assert_eq!(header[..8], published);
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.expect("a row")).collect();
    assert_eq!((&records[0][7], &records[1][7], &records[0][8]), ("0.30000000000000004", "", "3"));
    assert!(records[0].iter().any(|field| field == "a \"quoted\", comma'd\nwarning"));
    export(&current, &out, |row| row.metric == "accuracy").expect("exports");
    assert_eq!(read_rows(&out.join("one.parquet")).expect("reads").len(), 1, "what counts no more is left out");
    std::fs::write(&path, "no Parquet").expect("writes");
    let error = export(&current, &out, |_| true).expect_err("damaged").to_string();
    assert!(error.contains("one.parquet"), "{error}");
    assert!(!to_csv(&frame(&[]).expect("a table without rows")).expect("writes").is_empty());
}

#[test]
fn shipped_rows_are_held_against_those_that_were_computed() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(standing(&folder.path().join("nowhere"), |_| true).expect("no rows").rows, 0);
    let shipped = |mut row: ResultRow| {
        row.made.shipped = true;
        row
    };
    let computed = vec![row(0, "accuracy", Some(0.5)), row(0, "macro_f1", Some(0.25)), row(1, "accuracy", Some(0.75))];
    let came = vec![
        shipped(row(0, "accuracy", Some(0.5))),
        shipped(row(0, "macro_f1", Some(0.25 + 2.0 * AGREEMENT))),
        shipped(row(1, "accuracy", None)),
    ];
    let other = shipped(row(2, "accuracy", Some(0.1)));
    write_rows(&folder.path().join("one.parquet"), &[computed.clone(), vec![other]].concat()).expect("writes");
    write_rows(&folder.path().join("one.shipped.parquet"), &came).expect("writes");
    let found = standing(folder.path(), |_| true).expect("reads");
    assert_eq!((found.rows, found.computed, found.checks.len()), (4, 3, 3));
    let wrong: Vec<(u64, &str)> =
        found.disagreeing().iter().map(|check| (check.computed.cell.seed, check.computed.metric.as_str())).collect();
    assert_eq!(wrong, [(1, "accuracy"), (0, "macro_f1")], "the worst first");
    assert!(read_rows(&folder.path().join("one.parquet")).expect("reads")[3].made.shipped);
}

/// Every column of the file by itself: no two are mixed up on the way there or back.
#[test]
fn each_column_has_its_own_place() {
    let cell = Cell {
        table: "t".into(),
        dataset: "d".into(),
        model: "m".into(),
        method: "me".into(),
        budget: Some(7),
        seed: 11,
        pooling: "po".into(),
        protocol: "pr".into(),
        subset: "su".into(),
        device: "de".into(),
        key: "k".into(),
    };
    let of_score = Score {
        split: "s".into(),
        metric: "mt".into(),
        value: Some(0.125),
        n_train: 3,
        n_test: 5,
        warning: "w".into(),
        weights: "we".into(),
    };
    let made = Made { machine: "ma".into(), date: "da".into(), version: "v".into(), shipped: true };
    let whole = ResultRow::new(cell, of_score, made);
    let bare = ResultRow {
        cell: Cell { budget: None, seed: 0, ..whole.cell.clone() },
        value: None,
        made: Made { shipped: false, ..whole.made.clone() },
        ..whole.clone()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("rows.parquet");
    write_rows(&path, &[whole.clone(), bare.clone()]).expect("writes");
    assert_eq!(read_rows(&path).expect("reads"), [whole.clone(), bare.clone()]);
    let csv = String::from_utf8(to_csv(&frame(&[whole, bare]).expect("a table")).expect("writes")).expect("text");
    let expected = "table,dataset,split,model,method,budget,metric,value,seed,pooling,protocol,subset,n_train,n_test,\
                    warning,weights,device,machine,date,version,origin,key\n\
                    t,d,s,m,me,7,mt,0.125,11,po,pr,su,3,5,w,we,de,ma,da,v,shipped,k\n\
                    t,d,s,m,me,,mt,,0,po,pr,su,3,5,w,we,de,ma,da,v,computed,k\n";
    assert_eq!(csv, expected);
    assert!(read_rows(&folder.path().join("none.parquet")).is_err());
}

#[test]
fn a_place_in_the_store_is_a_data_set_and_a_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path());
    assert_eq!(store.part("icons", "vit.random"), folder.path().join("icons").join("vit.random.parquet"));
    assert_eq!(shipped_folder(Path::new("p")), Path::new("p").join("data_manifests").join("results"));
    let said = |key: &str, split: &str, predicted: u32| Answers {
        key: key.into(),
        split: split.into(),
        images: vec![4, 2],
        predicted: vec![predicted, 9],
    };
    let kept = |rows, answers| Kept { rows, answers, ..Kept::default() };
    let add = |model: &str, rows, answers| store.add("icons", model, kept(rows, answers)).expect("writes");
    add("one", vec![row(1, "accuracy", Some(0.5))], vec![said("a", "id", 1), said("a", "ood", 2), said("b", "id", 3)]);
    add("other", vec![row(2, "accuracy", Some(0.25))], Vec::new());
    // Those of the same cell and part take the place of the old ones; the rest stay.
    add("one", Vec::new(), vec![said("a", "ood", 7)]);
    let found = store.answers("icons", "one").expect("reads");
    assert_eq!(found, [said("a", "id", 1), said("a", "ood", 7), said("b", "id", 3)]);
    assert!(store.answers("icons", "other").expect("none").is_empty());
    assert!(store.answers("emoji", "one").expect("none").is_empty());
    assert_eq!(store.rows("icons", "one").expect("reads"), [row(1, "accuracy", Some(0.5))]);
    assert_eq!(store.rows("icons", "other").expect("reads"), [row(2, "accuracy", Some(0.25))]);
    std::fs::write(folder.path().join("icons").join("one.answers.parquet"), "no Parquet").expect("writes");
    assert!(store.answers("icons", "one").is_err(), "damaged");
    assert!(store.add("icons", "one", kept(Vec::new(), vec![said("a", "id", 1)])).is_err(), "nothing is lost over it");
}

#[test]
fn only_the_rows_of_experiments_are_read_from_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(rows_in(&folder.path().join("nowhere")).expect("none").is_empty());
    let files = [
        ("b.parquet", 2),
        ("a.parquet", 1),
        ("a.shipped.parquet", 3),
        (".parquet", 4),
        ("b.runs.parquet", 5),
        ("b_my.own.parquet", 6),
        ("b_my.own.shipped.parquet", 7),
    ];
    for (name, seed) in files {
        write_rows(&folder.path().join(name), &[row(seed, "accuracy", Some(0.5))]).expect("writes");
    }
    std::fs::write(folder.path().join("notes.txt"), "no rows").expect("writes");
    let seeds: Vec<u64> = rows_in(folder.path()).expect("reads").iter().map(|row| row.cell.seed).collect();
    assert_eq!(seeds, [1, 2, 6], "sorted by name; an id may have points");
    // What cannot be looked at is no empty folder.
    let error = rows_in(&folder.path().join("notes.txt")).expect_err("no folder").to_string();
    assert!(error.contains("notes.txt"), "{error}");
    assert!(left_out_in(&folder.path().join("notes.txt")).is_err());
}

#[test]
fn agreement_is_by_half_a_point_or_a_part_of_large_numbers() {
    let check = |computed, shipped| Check { computed: row(0, "accuracy", computed), shipped };
    let differs = |a, b| check(a, b).difference();
    assert_eq!((differs(Some(0.75), Some(0.5)), differs(Some(0.5), Some(0.75))), (0.25, 0.25));
    assert_eq!(differs(None, None), 0.0);
    for (a, b) in [(None, Some(0.5)), (Some(0.5), None), (Some(f64::NAN), Some(0.5)), (Some(0.5), Some(f64::NAN))] {
        assert_eq!(differs(a, b), f64::INFINITY);
        assert!(!check(a, b).agrees());
    }
    assert!(check(None, None).agrees());
    // Numbers that are exact in binary, so that the bound itself agrees.
    assert!(check(Some(AGREEMENT), Some(0.0)).agrees() && !check(Some(1.01 * AGREEMENT), Some(0.0)).agrees());
    assert!(check(Some(-200.9), Some(-200.0)).agrees() && !check(Some(-201.1), Some(-200.0)).agrees());
    let checks = vec![check(Some(0.5), Some(0.5)), check(Some(0.5), Some(0.25)), check(Some(0.5), Some(0.375))];
    let standing = Standing { rows: 3, computed: 3, checks };
    assert_eq!(standing.widest(), 0.25);
    let worst: Vec<f64> = standing.disagreeing().iter().map(|check| check.difference()).collect();
    assert_eq!(worst, [0.25, 0.125]);
    assert_eq!(Standing::default().widest(), 0.0);
}

/// Day by day through every rule of the calendar, 2000, 2100 and 2400 among them.
#[test]
fn dates_are_those_of_the_calendar() {
    let (mut year, mut month, mut day) = (1970, 1, 1);
    let mut seconds = 0u64;
    while year <= 2401 {
        let expected = format!("{year:04}-{month:02}-{day:02}");
        assert_eq!((Made::date(seconds), Made::date(seconds + 86_399)), (expected.clone(), expected));
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + i32::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        (day, seconds) = (day + 1, seconds + 86_400);
        if day > days {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
}

#[test]
fn a_row_says_where_it_was_made() {
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let (before, made, after) = (Made::date(now()), Made::here(), Made::date(now()));
    assert!(made.date == before || made.date == after, "{made:?}");
    assert!(!made.shipped && made.version == env!("CARGO_PKG_VERSION"), "{made:?}");
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if let Some(line) = known.lines().find(|line| line.starts_with("model name")) {
        let name = line.split(": ").nth(1).expect("a name").trim();
        assert!(made.machine.starts_with(&format!("{name} (")), "{made:?}");
    }
    #[cfg(target_arch = "x86_64")]
    {
        let widest = [
            (std::arch::is_x86_feature_detected!("avx512f"), "(AVX-512)"),
            (std::arch::is_x86_feature_detected!("avx2"), "(AVX2)"),
            (true, "(SSE)"),
        ];
        let widest = widest.into_iter().find_map(|(has, name)| has.then_some(name)).expect("one at least");
        assert!(made.machine.contains(widest), "{made:?}");
    }
    let threads = made.machine.rsplit(", ").next().and_then(|part| part.strip_suffix(" threads"));
    assert!(threads.is_some_and(|n| n.parse::<usize>().is_ok_and(|n| n > 0)), "{made:?}");
}

#[test]
fn runs_come_back_as_they_were() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("runs.parquet");
    let none = Run { best_epoch: None, best_val_loss: None, peak_memory: None, ..run("b", u64::MAX) };
    let runs = vec![run("a", 1), none];
    write_runs(&path, &runs).expect("writes");
    assert_eq!(read_runs(&path).expect("reads"), runs);
    assert!((runs[0].images_per_second() - 480.0 / 12.5).abs() < 1e-12);
    // Every column by itself: no two are mixed up.
    let csv = String::from_utf8(to_csv(&runs_frame(&runs[..1]).expect("a table")).expect("writes")).expect("text");
    let expected = "dataset,model,method,budget,seed,input,rate,chosen,ended,epochs,steps,best_epoch,best_val_loss,images,\
                    seconds,images_per_second,peak_memory_mb,moved,threads,device,machine,date,key\n\
                    icons,vit.random,lp_ft,10,1,own,0.0001,rate 1e-4,all steps taken,20,30,7,0.30000000000000004,480,12.5,\
                    38.4,350.25,0.0625,2,cpu,a machine,2026-01-02,a\n";
    assert_eq!(csv, expected);
    write_runs(&path, &[]).expect("writes");
    assert_eq!(read_runs(&path).expect("reads"), []);
    std::fs::write(&path, "no Parquet").expect("writes");
    assert!(read_runs(&path).expect_err("damaged").to_string().contains("runs.parquet"));
}

#[test]
fn what_was_right_and_how_runs_went_is_kept_once_for_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::new(folder.path());
    let right = |key: &str, split: &str, weights: &str, right: &[bool]| Right {
        key: key.into(),
        split: split.into(),
        weights: weights.into(),
        right: right.to_vec(),
    };
    let add = |runs, right| {
        let kept = Kept { rows: vec![row(1, "accuracy", Some(0.5))], runs, right, ..Kept::default() };
        store.add("icons", "vit", kept).expect("writes");
    };
    assert!(
        store.right("icons", "vit").expect("none").is_empty() && store.runs("icons", "vit").expect("none").is_empty()
    );
    add(
        vec![run("b", 1), run("a", 2)],
        vec![right("b", "ood", "lr", &[true, false]), right("a", "id", "best", &[false; 3])],
    );
    // A new one takes the place of the old one; others stay.
    let many: Vec<bool> = (0..1000).map(|i| i % 3 == 0).collect();
    add(vec![run("b", 9)], vec![right("b", "ood", "lr", &[false]), right("b", "ood", "alpha 0.5", &many)]);
    assert_eq!(store.runs("icons", "vit").expect("reads"), [run("a", 2), run("b", 9)]);
    let expected = [
        right("a", "id", "best", &[false; 3]),
        right("b", "ood", "alpha 0.5", &many),
        right("b", "ood", "lr", &[false]),
    ];
    assert_eq!(store.right("icons", "vit").expect("reads"), expected);
    // What stands beside the rows of some keys.
    let beside = store.beside_rows("icons", "vit", &["b"].into()).expect("reads");
    assert_eq!((beside.rows.len(), beside.runs, beside.right.as_slice()), (0, vec![run("b", 9)], &expected[1..]));
    // Another's fill what ours lack, and take no place.
    let ours = Kept { runs: vec![run("a", 5)], right: vec![expected[0].clone()], ..Kept::default() };
    let theirs = Kept { runs: vec![run("a", 6), run("c", 7)], right: expected.to_vec(), ..Kept::default() };
    let both = ours.or(theirs);
    assert_eq!(both.runs, [run("a", 5), run("c", 7)]);
    assert_eq!(both.right, expected);
    let one_file = folder.path().join("icons").join("vit.right.parquet");
    std::fs::write(&one_file, "no Parquet").expect("writes");
    assert!(store.right("icons", "vit").expect_err("damaged").to_string().contains("vit.right.parquet"));
    store.remove("icons", "vit").expect("removes");
    assert!(
        store.right("icons", "vit").expect("none").is_empty() && store.rows("icons", "vit").expect("none").is_empty()
    );
    store.remove("icons", "vit").expect("nothing to remove");
}

#[test]
fn probabilities_come_back_to_a_thousandth_of_a_nat() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep").join("predictions.parquet");
    let mut random = wider_clip::random::Random::new("logits", 0, 0);
    let mut draw = |n: usize, spread: f64| Array2::from_shape_fn((n, 4), |_| (spread * (random.unit() - 0.5)) as f32);
    let of = |split: &str, weights: &str, images: Vec<u32>, logits: &Array2<f32>| {
        Predicted::from_logits(split, weights, images, logits)
    };
    let logits = draw(50, 20.0);
    let parts = vec![
        of("val", "last", vec![5, 1], &draw(2, 1.0)),
        of("test", "last", (100..150).collect(), &logits),
        of("test", "best", (100..150).collect(), &draw(50, 8.0)),
    ];
    // The surprise is that of the softmax.
    for (row, surprise) in logits.rows().into_iter().zip(parts[1].surprise.rows()) {
        let sum: f64 = row.iter().map(|&value| f64::from(value).exp()).sum();
        for (value, surprise) in row.iter().zip(surprise) {
            assert!((sum.ln() - f64::from(*value) - f64::from(*surprise)).abs() < 1e-5);
        }
    }
    write_predictions(&path, &parts).expect("writes");
    let found = read_predictions(&path).expect("reads");
    assert_eq!(found.len(), 3);
    for (found, expected) in found.iter().zip(&parts) {
        assert_eq!(
            (&found.split, &found.weights, &found.images),
            (&expected.split, &expected.weights, &expected.images)
        );
        assert_eq!(found.surprise.dim(), expected.surprise.dim());
        let off = found.surprise.iter().zip(&expected.surprise).map(|(a, b)| (a - b).abs());
        assert!(off.fold(0f32, f32::max) <= 0.001, "{found:?}");
    }
    // Of equal ones the first; what is very sure of itself stays within what is kept.
    let logits = array![[1.0, 3.0, 3.0, 0.0], [0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0], [-3e38, 3e38, 0.0, 0.0]];
    let edges = of("test", "last", vec![0, 1, 2, 3], &logits);
    assert_eq!(edges.classes(), [1, 0, 0, 1]);
    write_predictions(&path, std::slice::from_ref(&edges)).expect("writes");
    let back = &read_predictions(&path).expect("reads")[0];
    assert_eq!(back.classes(), edges.classes());
    assert_eq!((back.surprise[[2, 0]], back.surprise[[2, 1]], back.surprise[[3, 0]]), (0.0, 65.535, 65.535));
    let other = of("test", "last", vec![0], &array![[1.0, 2.0]]);
    let error = write_predictions(&path, &[edges, other]).expect_err("two sorts").to_string();
    assert!(error.contains("4 classes") && error.contains("found 2"), "{error}");
    assert_eq!(read_predictions(&path).expect("the old ones stay").len(), 1);
}

#[test]
fn rows_from_before_there_were_weights_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("old.parquet");
    let now = [row(1, "accuracy", Some(0.5)), row(2, "macro_f1", None)];
    let mut old = frame(&now).expect("a table").drop("weights").expect("a column");
    let file = std::fs::File::create(&path).expect("creates");
    polars_io::parquet::write::ParquetWriter::new(file).finish(&mut old).expect("writes");
    assert_eq!(read_rows(&path).expect("reads"), now);
    // Any other column must be there.
    let mut lacking = frame(&now).expect("a table").drop("pooling").expect("a column");
    let file = std::fs::File::create(&path).expect("creates");
    polars_io::parquet::write::ParquetWriter::new(file).finish(&mut lacking).expect("writes");
    assert!(read_rows(&path).expect_err("a column lacks").to_string().contains("pooling"));
    // Those that ship are of both kinds, and none of a probe has weights.
    for row in rows_of_probes() {
        assert!(row.weights.is_empty(), "{row:?}");
    }
}

/// Some of the rows that came with the project.
fn rows_of_probes() -> Vec<ResultRow> {
    let store = Store::new(shipped_folder(Path::new(env!("CARGO_MANIFEST_DIR"))).join("representations"));
    let rows = store.rows("openemoji", "pixels.raw").expect("reads");
    assert!(!rows.is_empty());
    rows
}

#[test]
fn rows_are_kept_in_an_order_of_their_own() {
    let of = |metric: &str, weights: &str, seed| ResultRow { weights: weights.into(), ..row(seed, metric, Some(0.5)) };
    let mut rows = vec![
        of("accuracy", "best", 1),
        of("accuracy", "last", 1),
        of("macro_f1", "last", 1),
        of("accuracy", "last", 2),
    ];
    for row in &mut rows {
        row.made = Made { machine: "a".into(), date: "b".into(), version: "c".into(), shipped: false };
    }
    let right = |key: &str, weights: &str| Right {
        key: key.into(),
        split: "id".into(),
        weights: weights.into(),
        right: vec![true, false, weights == "lr"],
    };
    let all = Kept {
        rows,
        answers: Vec::new(),
        runs: vec![run("key 1", 1), run("key 2", 2)],
        right: vec![right("key 1", "last"), right("key 1", "lr"), right("key 2", "last")],
    };
    let bytes = |store: &Store| {
        let part = store.part("icons", "vit");
        [part.clone(), part.with_extension("runs.parquet"), part.with_extension("right.parquet")]
            .map(|path| std::fs::read(path).expect("a file"))
    };
    let mut expected = None;
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path());
        // One by one, and once again all of them.
        for at in order {
            let one = Kept {
                rows: vec![all.rows[at].clone()],
                runs: all.runs.get(at % 2).cloned().into_iter().collect(),
                right: all.right.get(at % 3).cloned().into_iter().collect(),
                ..Kept::default()
            };
            store.add("icons", "vit", one).expect("writes");
        }
        store.add("icons", "vit", all.clone()).expect("writes");
        assert_eq!(store.rows("icons", "vit").expect("reads").len(), 4);
        let found = bytes(&store);
        assert!(*expected.get_or_insert_with(|| found.clone()) == found, "{order:?}");
    }
}

#[test]
fn what_was_left_out_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(left_out_in(&folder.path().join("nowhere")).expect("none"), []);
    let left = |model: Option<&str>, cells: Option<&str>| LeftOut {
        dataset: "icons".into(),
        model: model.map(String::from),
        cells: cells.map(String::from),
        reason: "not there".into(),
    };
    let all = [left(None, None), left(Some("vit"), None), left(Some("vit"), Some("a budget of 100"))];
    let lines = ["icons: not there", "icons under vit: not there", "icons under vit, a budget of 100: not there"];
    assert_eq!(all.each_ref().map(LeftOut::line), lines);
    write_left_out(folder.path(), "b", &all).expect("writes");
    write_left_out(folder.path(), "a", &all[1..2]).expect("writes");
    std::fs::write(folder.path().join("notes.json"), "no list").expect("writes");
    // By the names of experiments; what two of them did not get stands once.
    let found = left_out_in(folder.path()).expect("reads");
    assert_eq!(found, [all[1].clone(), all[0].clone(), all[2].clone()]);
    write_left_out(folder.path(), "b", &[]).expect("removes");
    write_left_out(folder.path(), "c", &[]).expect("nothing to remove");
    assert_eq!(left_out_in(folder.path()).expect("reads"), [all[1].clone()]);
    write_left_out(folder.path(), "b", &all[..1]).expect("writes");
    let path = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|entry| entry.path());
    let path =
        path.into_iter().find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("b")));
    let path = path.expect("the list of b");
    for (text, found) in [
        ("nothing", "as JSON"),
        ("{}", "no list"),
        ("[{\"reason\": \"r\"}]", "without `dataset`"),
        ("[{\"dataset\": \"d\"}]", "without `reason`"),
    ] {
        std::fs::write(&path, text).expect("writes");
        let error = left_out_in(folder.path()).expect_err("damaged").to_string();
        assert!(error.contains(found) && error.contains("b."), "{error}");
    }
}
