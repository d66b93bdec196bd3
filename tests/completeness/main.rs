//! Completeness of keys: every field of every record, and every variable of the environment, either changes what is kept
//! under a key or is shown to decide no number. A field or variable that is added later fails here until it is told of.

mod cases;
mod fields;
#[path = "../support/first_page.rs"]
mod first_page;
mod variables;
mod world;

use cases::{CASES, DOCUMENTS, Effect, VARIANTS};
use fields::fields;
use std::collections::BTreeSet;
use std::process::Command;
use wider_clip::manifest::{DatasetRecord, ModelRecord, SuiteRecord};
use world::{Kind, World};

/// Set where this test runs itself with an environment of its own.
const CHILD: &str = "COMPLETENESS_CHILD";

#[test]
fn every_field_is_told_of() {
    let mut known = BTreeSet::new();
    for (name, kind, text) in DOCUMENTS {
        let document: toml::Table = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let found = match kind {
            Kind::Dataset => fields::<DatasetRecord>(&document),
            Kind::Model => fields::<ModelRecord>(&document),
            Kind::Suite => fields::<SuiteRecord>(&document),
        };
        known.extend(found.into_iter().map(|field| format!("{} {field}", kind.name())));
    }
    let told: BTreeSet<String> = CASES.iter().map(|case| format!("{} {}", case.kind().name(), case.field())).collect();
    let groups: BTreeSet<&String> =
        known.iter().filter(|field| known.iter().any(|f| f.starts_with(&format!("{field}.")))).collect();
    let missing: Vec<&String> =
        known.iter().filter(|field| !told.contains(*field) && !groups.contains(field)).collect();
    assert!(missing.is_empty(), "no case changes {missing:?}");
    let gone: Vec<&String> = told.iter().filter(|field| !known.contains(*field)).collect();
    assert!(gone.is_empty(), "no record has {gone:?}");
    // Each kind of source, layout and weights has a document.
    for (probe, kind, expected) in VARIANTS {
        let document: toml::Table = toml::from_str(probe).expect("TOML");
        let error = match kind {
            Kind::Dataset => toml::Value::Table(document).try_into::<DatasetRecord>().map(drop),
            Kind::Model => toml::Value::Table(document).try_into::<ModelRecord>().map(drop),
            Kind::Suite => toml::Value::Table(document).try_into::<SuiteRecord>().map(drop),
        };
        let error = error.expect_err("no such variant").to_string();
        let list = error.split_once("unknown variant `zzz`, expected ").unwrap_or_else(|| panic!("{error}")).1;
        let list = list.lines().next().unwrap_or_default().trim_start_matches("one of ").replace('`', "");
        assert_eq!(list, *expected, "{probe}");
    }
}

#[test]
fn every_field_changes_a_key_or_no_number() {
    let world = World::new();
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "walk_the_cases", "--nocapture", "--test-threads", "1"])
        .env(CHILD, world.folder())
        .env("HF_HOME", world.folder().join("hub-home"))
        .env("HF_HUB_OFFLINE", "1")
        .env_remove("HF_HUB_CACHE")
        .env_remove("HUGGINGFACE_HUB_CACHE")
        .env_remove("WIDER_CLIP_RESULTS")
        .env_remove("WIDER_CLIP_CACHE")
        .env_remove("WIDER_CLIP_FRESH")
        .status()
        .expect("starts");
    assert!(status.success(), "the lines above say which");
}

/// Run by the test above with a hub's cache of its own.
#[test]
fn walk_the_cases() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let mut wrong = Vec::new();
    for (name, _, _) in DOCUMENTS {
        let of_document: Vec<_> = CASES.iter().filter(|case| case.document == *name).collect();
        if of_document.is_empty() {
            continue;
        }
        let world = World::with_document(folder.as_ref(), name);
        let before = world.keys().unwrap_or_else(|error| panic!("{name}: {error}"));
        let numbers = world.numbers();
        for case in of_document {
            world.change(case);
            let after = world.keys();
            let found = match &after {
                Err(_) => Effect::Refused,
                Ok(after) if after.features != before.features => Effect::Features,
                // What is fine-tuned besides takes nothing away; under another key it is another run.
                Ok(after) if after.rows != before.rows || !after.tuned.is_superset(&before.tuned) => Effect::Rows,
                Ok(after) if after.cells != before.cells || after.tuned != before.tuned => Effect::Cells,
                Ok(_) => Effect::Nothing(""),
            };
            let label = format!("{name}: {} = {}", case.changes[0].0, case.changes[0].1);
            match (&case.effect, &found) {
                (Effect::Nothing(why), Effect::Nothing(_)) => {
                    // Computed anew from nothing.
                    if world.numbers() != numbers {
                        wrong.push(format!("{label}: the keys are the same, the numbers are not (told: {why})"));
                    }
                }
                (expected, found) if expected.same(found) => {}
                (expected, found) => {
                    let why = after.err().map_or_else(String::new, |error| format!(" ({error})"));
                    wrong.push(format!("{label}: expected {expected:?}, found {found:?}{why}"));
                }
            }
            world.restore();
        }
        assert_eq!(world.keys().expect("as before").rows, before.rows, "{name}: everything is as it was");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
