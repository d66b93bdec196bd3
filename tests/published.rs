//! The study's published figures: all there, readable, and their errors; and its sizes of splits by our rule.

#[path = "support/pools.rs"]
mod pools;

use std::path::Path;

use pools::{assert_complete, counts, pool};
use wider_clip::error::Error;
use wider_clip::manifest::{Manifests, SplitRule};
use wider_clip::published::{self, PublishedKey, PublishedTable};
use wider_clip::splits::{Shortage, study_counts, study_split};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn all_figures_are_there() {
    let results = published::results(root()).unwrap();
    assert_eq!(results.len(), 1013);
    let count = |table| results.iter().filter(|result| result.key.table == table).count();
    use PublishedTable::*;
    let counts = [GeneralProbe, GeneralFinetune, DriftProbe, DriftFinetune, Clustering].map(count);
    assert_eq!(counts, [286, 385, 144, 108, 90]);
    assert!(results.iter().all(|result| (result.key.table == Clustering) == result.key.budget.is_none()));
    assert_eq!(published::splits(root()).unwrap().len(), 19);
}

#[test]
fn a_figure_is_found_by_its_key() {
    let results = published::results(root()).unwrap();
    let key = PublishedKey {
        table: PublishedTable::GeneralProbe,
        dataset: "fgvc_aircraft".into(),
        split: "test".into(),
        model: "DINO".into(),
        method: "knn".into(),
        budget: Some(10),
    };
    let found = published::find(&results, &key).unwrap();
    assert_eq!((found.metric.as_str(), found.value, found.line), ("accuracy", 0.202958, 2));
    assert!(published::find(&results, &PublishedKey { budget: Some(1000), ..key }).is_none());
}

#[test]
fn records_lead_to_the_published_names() {
    let manifests = Manifests::load(root()).unwrap();
    let (results, splits) = (published::results(root()).unwrap(), published::splits(root()).unwrap());
    for dataset in manifests.datasets() {
        let Some(name) = &dataset.published_as else { continue };
        assert!(results.iter().any(|result| result.key.dataset == *name), "{name}");
        for &budget in &dataset.split.budgets {
            let split = published::find_split(&splits, dataset, budget).unwrap();
            assert_eq!(Some(split.total), dataset.split.total, "{name} {budget}");
        }
        let n_published = splits.iter().filter(|split| split.dataset == *name).count();
        assert_eq!(n_published, dataset.split.budgets.len(), "{name}");
    }
    for model in manifests.models() {
        let Some(name) = &model.published_as else { continue };
        assert!(results.iter().any(|result| result.key.model == *name), "{name}");
    }

    // A record with a published name finds the figure; the control, which the study lacks, finds none.
    let dtd = manifests.dataset("dtd").unwrap();
    let mut model = manifests.model("pixels.raw").unwrap().clone();
    let find = |model: &_| {
        published::find_arm(&results, PublishedTable::GeneralProbe, dtd, model, "lr", Some(100), "test").cloned()
    };
    assert_eq!(find(&model), None);
    model.published_as = Some("CLIP".into());
    assert_eq!(find(&model).unwrap().key.model, "CLIP");
}

/// Writes `results.csv` into a folder of its own and returns the error of reading it.
fn error_of(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let published = folder.path().join("data_manifests/published");
    std::fs::create_dir_all(&published).unwrap();
    std::fs::write(published.join("results.csv"), text).unwrap();
    let error = published::results(folder.path()).unwrap_err();
    assert!(matches!(error, Error::Manifest { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn errors_name_file_line_and_expectation() {
    let header = "table,dataset,split,model,method,budget,metric,value\n";
    let good = "general_probe,dtd,test,CLIP,lr,10,accuracy,0.5\n";
    for (rows, expected) in [
        ("general,dtd,test,CLIP,lr,10,accuracy,0.5\n", "results.csv:3: expected `table` to be one of general_probe,"),
        ("general_probe,dtd,test,CLIP,lr,ten,accuracy,0.5\n", "results.csv:3: expected `budget` to be a whole number"),
        (
            "general_probe,dtd,test,CLIP,knn,10,accuracy,50\n",
            "results.csv:3: expected `value` to be a number from 0 to 1",
        ),
        ("general_probe,dtd,test,CLIP,knn,10,recall,0.5\n", "results.csv:3: expected `metric` to be accuracy or ari"),
        ("general_probe,,test,CLIP,knn,10,accuracy,0.5\n", "results.csv:3: expected `dataset` to hold something"),
        ("general_probe,dtd,test\n", "results.csv:3: expected 8 cells, found 3"),
        (good, "results.csv:3: expected a key that is new, found that of line 2"),
    ] {
        let error = error_of(&format!("{header}{good}{rows}"));
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
    assert!(error_of("table,value\n").contains("results.csv:1: expected the header table,dataset"));
    let missing = published::splits(Path::new("no such folder")).unwrap_err().to_string();
    assert!(missing.contains("splits.csv:0") && missing.contains("no such file"), "{missing}");
}

#[test]
fn general_sets_have_the_published_counts() {
    let manifests = Manifests::load(root()).unwrap();
    let published = published::splits(root()).unwrap();
    let mut n_rows = 0;
    for row in &published {
        let dataset = manifests.datasets().find(|d| d.published_as.as_deref() == Some(&row.dataset)).unwrap();
        if dataset.split.rule != SplitRule::Study {
            continue;
        }
        let record = &dataset.split;
        assert_eq!((Some(row.total), Some(row.classes)), (record.total, record.classes), "{}", row.dataset);
        let labels = pool(row.total, row.classes, record.smallest_class.unwrap());
        let split = study_split(&labels, row.classes, row.budget, 0, Shortage::Fail).unwrap();
        let found = (split.train.len(), split.val.len(), Some(split.test.len()));
        assert_eq!(found, (row.train, row.val, row.test), "{} at {}", row.dataset, row.budget);
        assert_complete(&split, labels.len());
        let per_class = study_counts(row.budget, record.smallest_class.unwrap()).unwrap();
        assert_eq!(counts(&split.train, &labels, row.classes), vec![per_class.train; row.classes]);
        assert_eq!(counts(&split.val, &labels, row.classes), vec![per_class.val; row.classes]);
        n_rows += 1;
    }
    assert_eq!(n_rows, 13);
}

#[test]
fn rows_of_the_drift_sets_that_the_rule_explains() {
    let manifests = Manifests::load(root()).unwrap();
    let mut unexplained = Vec::new();
    for row in published::splits(root()).unwrap() {
        let dataset = manifests.datasets().find(|d| d.published_as.as_deref() == Some(&row.dataset)).unwrap();
        let record = &dataset.split;
        if record.rule != SplitRule::StudyCapped {
            continue;
        }
        assert_eq!(record.total, Some(row.total));
        assert_eq!(record.id_test.as_ref().and_then(|test| test.total), row.id_test);
        assert_eq!(record.ood_test.as_ref().and_then(|test| test.total), row.ood_test);
        // Classes large enough for the budget: without the data's own counts nothing more can be said.
        let full = study_counts(row.budget, 2 * row.budget).unwrap();
        let classes = record.classes.unwrap();
        if (full.train * classes, full.val * classes) == (row.train, row.val) {
            continue;
        }
        // What capped classes could give is at most that; the numbers of classes that could be full bound it.
        assert!(row.train <= full.train * classes && row.val <= full.val * classes);
        unexplained.push((row.dataset, row.budget));
    }
    let expected = [("fmow", 100), ("fmow", 1000), ("iwildcam", 10), ("iwildcam", 100), ("iwildcam", 1000)];
    assert_eq!(unexplained, expected.map(|(name, budget)| (name.to_string(), budget)));
}
