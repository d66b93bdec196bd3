//! The study's published figures: all there, readable, and their errors.

use std::path::Path;

use wider_clip::error::Error;
use wider_clip::manifest::Manifests;
use wider_clip::published::{self, PublishedKey, PublishedTable};

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
