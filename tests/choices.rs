//! The answer: winners and what cannot be told apart from them, what another choice costs, how many labels it needs; and every
//! published number beside ours.

use std::path::Path;
use std::sync::Arc;
use wider_clip::display::{needed_chart, needed_words, regret_chart};
use wider_clip::experiments::choices::{Way, choices, costs, is_choice};
use wider_clip::experiments::needed::needed;
use wider_clip::experiments::{Answered, Tested};
use wider_clip::project::Project;
use wider_clip::results::{Cell, Made, ResultRow, board};

fn project(suite: &str) -> Project {
    Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), suite).unwrap()
}

fn cell(dataset: &str, model: &str, method: &str, budget: u32, seed: u64) -> Cell {
    let text = String::from;
    Cell {
        table: text("drift_probe"),
        dataset: text(dataset),
        model: text(model),
        method: text(method),
        budget: Some(budget),
        seed,
        pooling: text("x"),
        protocol: text("grouped"),
        subset: text("all"),
        device: text("cpu"),
        key: format!("{dataset} {model} {method} {budget} {seed}"),
    }
}

/// Answers of which `right` of 100 are right, the first ones; units of two images, two classes.
fn answered(
    model: &str,
    method: &str,
    weights: &str,
    (budget, n_train): (u32, u32),
    seed: u64,
    right: usize,
) -> Answered {
    let tested =
        Tested { classes: (0..100).map(|image| image % 2).collect(), units: (0..100).map(|image| image / 2).collect() };
    Answered {
        cell: cell("icons", model, method, budget, seed),
        split: "id".into(),
        weights: weights.into(),
        n_train,
        n_classes: 2,
        tested: Arc::new(tested),
        right: (0..100).map(|image| image < right).collect(),
    }
}

#[test]
fn the_winner_stands_first_with_what_cannot_be_told_apart_from_it() {
    let mut answers = Vec::new();
    for seed in 0..3 {
        for (budget, n_train) in [(10, 14), (50, 60), (100, 60)] {
            answers.push(answered("a", "lr", "", (budget, n_train), seed, 80));
            answers.push(answered("b", "lr", "", (budget, n_train), seed, 79));
            answers.push(answered("a", "knn", "", (budget, n_train), seed, 40));
            answers.push(answered("a", "finetune", "last", (budget, n_train), seed, 78));
            // No choice: the best weights look at more than a reader could, and this regression stands beside a run.
            answers.push(answered("a", "finetune", "best", (budget, n_train), seed, 99));
            answers.push(answered("a", "finetune", "lr", (budget, n_train), seed, 99));
        }
        // Of fine-tuned models alone: nothing that a reader could choose from.
        answers.push(answered("a", "finetune", "last", (25, 30), seed, 90));
    }
    let found = choices(&answers, 400, 0).unwrap();
    assert_eq!(found.iter().map(|choice| choice.budgets.clone()).collect::<Vec<_>>(), [vec![10], vec![50, 100]]);
    for choice in &found {
        let ways: Vec<(&str, &str)> =
            choice.ways.iter().map(|did| (did.way.model.as_str(), did.way.method.as_str())).collect();
        assert_eq!(ways, [("a", "lr"), ("b", "lr"), ("a", "finetune"), ("a", "knn")]);
        assert_eq!((choice.n_seeds, choice.n_images, choice.n_families), (3, 100.0, 50));
        // One image in a hundred is not clear of chance; forty are.
        let undecided: Vec<bool> = choice.ways.iter().map(|did| did.undecided).collect();
        assert!(undecided[0] && undecided[1] && !undecided[3], "{undecided:?}");
        assert!((choice.ways[3].behind.value - 0.4).abs() < 1e-12 && choice.ways[0].behind.value == 0.0);
        let (low, high) = choice.ways[3].behind.interval.unwrap();
        assert!(low > 0.2 && high < 0.6, "{low} {high}");
    }
    assert_eq!((found[0].labels, found[1].labels), (7.0, 30.0));
    let of_ten = costs(&found, 10);
    assert_eq!(of_ten.len(), 4);
    assert!(of_ten[0].mean.value == 0.0 && of_ten[3].way.method == "knn" && (of_ten[3].worst.0 - 0.4).abs() < 1e-12);
    assert!(costs(&found, 25).is_empty());
    assert!(is_choice(&Way { model: "a".into(), method: "wise".into(), weights: "chosen".into() }));
    assert!(!is_choice(&Way { model: "a".into(), method: "wise".into(), weights: "last".into() }));
}

/// Three seeds of logistic regressions on models, with so many images right.
fn regressions(models: [(&str, usize); 3]) -> Vec<Answered> {
    let of = |seed| models.map(|(model, right)| answered(model, "lr", "", (10, 14), seed, right));
    (0..3).flat_map(of).collect()
}

/// The order and the winner are of one mind.
#[test]
fn of_equals_the_first_wins() {
    let mut answers = regressions([("a", 80), ("b", 80), ("c", 40)]);
    // As many, but others.
    for answered in answers.iter_mut().filter(|answered| answered.cell.model == "b") {
        answered.right.reverse();
    }
    let found = choices(&answers, 400, 0).unwrap();
    let ways: Vec<&str> = found[0].ways.iter().map(|did| did.way.model.as_str()).collect();
    assert_eq!(ways, ["a", "b", "c"]);
    let [first, second] = [&found[0].ways[0], &found[0].ways[1]].map(|did| did.behind);
    // Nothing is behind itself in any resample; another is in some, and ahead in others.
    assert_eq!((first.value, first.interval, second.value), (0.0, None, 0.0));
    assert!(second.interval.is_some_and(|(low, high)| low < 0.0 && high > 0.0), "{second:?}");

    let rows = ["a", "b"].map(|model| row(model, "lr", (10, 20), 0, 0.5));
    assert_eq!(needed(&rows, ("icons", "id"), 10, 2).unwrap().0.way.model, "a");
}

/// Whatever the names are long.
#[test]
fn what_a_pointer_gets_is_never_cut_at_a_number() {
    let name = "a data set whose name goes on for longer than any chart has room for";
    let mut answers = Vec::new();
    for seed in 0..3 {
        for (method, right) in [("lr", 80), ("knn", 40)] {
            answers.push(answered("a", method, "", (10, 14), seed, right));
        }
    }
    answers.iter_mut().for_each(|answered| answered.cell.dataset = name.into());
    let chart = regret_chart(&project("default"), &choices(&answers, 400, 0).unwrap());
    let json: serde_json::Value = serde_json::from_str(&chart.to_json()).unwrap();
    let hover: Vec<&str> = json["data"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|trace| trace["hovertext"].as_array().unwrap())
        .map(|text| text.as_str().unwrap())
        .collect();
    let knn = hover.iter().find(|text| text.starts_with("budget 10: 40.0 [")).expect("a dot");
    assert!(knn.contains("] points behind, most on a data set") && knn.ends_with("… (40.0)"), "{hover:?}");
}

#[test]
fn what_cannot_be_compared_is_no_choice() {
    // One seed; answers that share no seed; one family.
    assert!(choices(&[answered("a", "lr", "", (10, 14), 0, 80)], 400, 0).unwrap().is_empty());
    let apart = [answered("a", "lr", "", (10, 14), 0, 80), answered("b", "lr", "", (10, 14), 1, 80)];
    assert!(choices(&apart, 400, 0).unwrap().is_empty());
    let mut alone: Vec<Answered> = (0..2).map(|seed| answered("a", "lr", "", (10, 14), seed, 80)).collect();
    for answered in &mut alone {
        answered.tested = Arc::new(Tested { classes: vec![0; 100], units: vec![7; 100] });
    }
    assert!(choices(&alone, 400, 0).unwrap().is_empty());
}

fn row(model: &str, method: &str, (budget, n_train): (u32, u32), seed: u64, value: f64) -> ResultRow {
    ResultRow {
        cell: cell("icons", model, method, budget, seed),
        split: "id".into(),
        metric: "accuracy".into(),
        value: Some(value),
        n_train,
        n_test: 100,
        warning: String::new(),
        weights: String::new(),
        made: Made::here(),
    }
}

#[test]
fn labels_are_counted_to_where_a_curve_meets_the_mark() {
    let mut rows = Vec::new();
    for seed in 0..2 {
        for (at, (few, some)) in [((10, 20), (0.5, 0.2)), ((100, 200), (0.8, 0.6))] {
            rows.push(row("a", "lr", at, seed, few));
            rows.push(row("b", "lr", at, seed, some));
            rows.push(row("c", "lr", at, seed, 0.1));
        }
    }
    let (target, found) = needed(&rows, ("icons", "id"), 10, 2).unwrap();
    assert_eq!(
        (target.way.model.as_str(), target.labels, target.accuracy, target.range),
        ("a", 10.0, 0.5, (10.0, 100.0))
    );
    assert_eq!(found.iter().map(|needed| needed.way.model.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((found[0].labels, found[0].at_once), (Some(10.0_f64.ln().exp()), 2));
    // From 0.2 to 0.6 over a factor of ten: 0.5 is three quarters of the way, 10 x 10^0.75.
    assert!((found[1].labels.unwrap() - 10f64.powf(1.75)).abs() < 1e-9 && found[1].reached == 2);
    assert_eq!((found[2].labels, found[2].reached, found[2].n_seeds), (None, 0, 2));
    let error = needed(&rows, ("openemoji", "id"), 10, 2).unwrap_err().to_string();
    assert!(error.contains("openemoji, id at budget 10"), "{error}");
}

/// A curve that begins above the mark says nothing of how much fewer would do.
#[test]
fn where_the_fewest_labels_do_for_some_seeds_the_lower_end_is_open() {
    let project = project("default");
    let classes = project.images("icons").unwrap().classes.len() as u32;
    let mut rows = Vec::new();
    for seed in 0..2 {
        let at_once = seed == 0;
        for (budget, a, b, c) in
            [(10, 0.5, if at_once { 0.55 } else { 0.2 }, 0.2), (100, 0.9, 0.8, 0.6 + 0.2 * seed as f64)]
        {
            for (model, value) in [("a", a), ("b", b), ("c", c)] {
                rows.push(row(model, "lr", (budget, budget * classes), seed, value));
            }
        }
    }
    let (_, found) = needed(&rows, ("icons", "id"), 10, classes as usize).unwrap();
    assert_eq!(found.iter().map(|needed| needed.way.model.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!((found[1].at_once, found[1].n_seeds, found[2].at_once), (1, 2, 0));
    // Under one seed the ten there are, under the other half of the way from 10 to 100.
    assert!((found[1].labels.unwrap() - 10f64.powf(1.25)).abs() < 1e-9, "{:?}", found[1]);
    assert!(matches!(found[1].interval, Some((None, high)) if high > 100.0), "{:?}", found[1]);
    assert!(matches!(found[2].interval, Some((Some(low), high)) if low < high), "{:?}", found[2]);
    let words = needed_words(&project, &rows, "icons", "id", 10).unwrap().to_text();
    assert!(words.ends_with("LR on b needs 17.8 or fewer [lower end open, more than 100]."), "{words}");
    let chart = needed_chart(&project, &rows, "icons", "id", 10).unwrap();
    let text = chart.to_text();
    assert!(text.contains("LR on a: 10 or fewer labels per class"), "{text}");
    assert!(text.contains("LR on b: 17.8 or fewer [lower end open, more than 100] labels per class"), "{text}");
    assert!(text.contains("LR on c: 42.2 ["), "{text}");
    // The bar begins where the axis does.
    let json: serde_json::Value = serde_json::from_str(&chart.to_json()).unwrap();
    let down = json["data"][0]["error_x"]["arrayminus"][1].as_f64().unwrap();
    assert!((10f64.powf(1.25) - down - 8.5).abs() < 1e-9, "{down}");
}

#[test]
fn the_board_fills_itself() {
    let project = project("study");
    let empty = board(&project, &[]).unwrap();
    assert_eq!(empty.len(), 1013);
    assert!(empty.iter().all(|line| line.ours.is_none() && line.missing.as_deref() == Some("not computed yet")
        || line.missing.as_deref().is_some_and(|why| why.contains("does not ask"))));
    let rows: Vec<ResultRow> = (0..3)
        .map(|seed| {
            let mut row = row("clip_vit_b32.openai", "lr", (10, 329), seed, 0.60 + 0.01 * seed as f64);
            row.cell.dataset = "dtd".into();
            row.cell.table = "general_probe".into();
            row.cell.protocol = "study".into();
            row.split = "test".into();
            row
        })
        .collect();
    let filled = board(&project, &rows).unwrap();
    // The study prints its probes a second time, beside fine-tuning.
    let ours: Vec<_> = filled.iter().filter(|line| line.ours.is_some()).collect();
    assert_eq!(ours.len(), 2);
    for line in ours {
        assert_eq!((line.published.key.dataset.as_str(), line.published.key.model.as_str()), ("dtd", "CLIP"));
        assert_eq!((line.n, line.ours.unwrap().n, line.missing.as_ref()), (Some(1551), 3, None));
        assert!((line.difference.unwrap() - (0.61 - line.published.value)).abs() < 1e-12);
        let (low, high) = line.interval.unwrap();
        assert!(low < line.published.value && line.published.value < high && line.agrees().is_some());
    }
}

/// What came with the project may be of images that cannot be decoded here: nothing is compared across other images.
#[test]
fn ways_that_were_asked_about_other_images_are_not_compared() {
    let mut answers = regressions([("a", 90), ("b", 80), ("c", 79)]);
    for answered in answers.iter_mut().filter(|answered| answered.cell.model == "a") {
        let Tested { classes, units } = &*answered.tested;
        answered.tested = Arc::new(Tested { classes: classes[2..].to_vec(), units: units[2..].to_vec() });
        answered.right.drain(..2);
    }
    let found = choices(&answers, 400, 0).unwrap();
    let ways: Vec<&str> = found[0].ways.iter().map(|did| did.way.model.as_str()).collect();
    assert_eq!((found.len(), ways), (1, vec!["b", "c"]));
}
