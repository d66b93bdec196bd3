//! Parts with official splits beside the pool: val from its own part, train from the pool, all disjoint.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wider_clip::images::encode_png;
use wider_clip::prelude::*;
use wider_clip::published;

/// Images of each class: in the pool, in val, in the in-distribution test and in the other test.
type Counts = [usize; 4];

const PARTS: [&str; 4] = ["train", "val", "id_test", "test"];

/// A folder, and its manifests: raw pixels, and a suite of one data set, whose record is to come.
fn place(dataset: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = folder.path().join("data_manifests");
    for kind in ["datasets", "models", "suites"] {
        fs::create_dir_all(manifests.join(kind)).expect("makes a folder");
    }
    let model = "data_manifests/models/pixels.raw.toml";
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(model), folder.path().join(model)).expect("copies");
    let suite = format!(
        "id = \"default\"\ndescription = \"One set.\"\ndatasets = [\"{dataset}\"]\nmodels = [\"pixels.raw\"]\n\
         methods = [\"knn\"]\nbudgets = [10]\nseeds = [0]\n"
    );
    fs::write(manifests.join("suites/default.toml"), suite).expect("writes");
    (folder, manifests)
}

/// A project with one data set, `drift`: an archive that is there already, with `counts` of every class, and the
/// official splits that `split` names.
fn opened(classes: &[Counts], split: &str) -> Result<(TempDir, Encoded)> {
    let (folder, manifests) = place("drift");

    let image = encode_png(&wider_clip::image::RgbImage::new(2, 2)).expect("encodes");
    let mut images = tar::Builder::new(Vec::new());
    let mut table = String::from("split,file,kind\n");
    let mut n = 0;
    for (class, counts) in classes.iter().enumerate() {
        for (part, &count) in PARTS.iter().zip(counts) {
            for _ in 0..count {
                table.push_str(&format!("{part},{n}.png,{class}\n"));
                let mut header = tar::Header::new_gnu();
                header.set_mode(0o644);
                header.set_size(image.len() as u64);
                images.append_data(&mut header, format!("{n}.png"), image.as_slice()).expect("writes");
                n += 1;
            }
        }
    }
    let cache = folder.path().join("cache");
    let downloads = cache.join("archives/drift");
    fs::create_dir_all(&downloads).expect("makes a folder");
    fs::write(downloads.join("images.tar"), images.into_inner().expect("ends")).expect("writes");
    fs::write(downloads.join("table.csv"), table).expect("writes");
    let parts = PARTS.map(|part| {
        let table = "source.archive.layout.table.parts";
        format!("[[{table}]]\nname = \"{part}\"\ncolumn = \"split\"\nvalue = \"{part}\"\n")
    });
    let pool: usize = classes.iter().map(|counts| counts[0]).sum();
    let record = format!(
        "id = \"drift\"\nname = \"Drift\"\ndescription = \"Made by this test.\"\nlicence = \"MIT\"\n\
         homepage = \"none\"\ncitation = \"this test\"\n[source.archive]\n\
         [[source.archive.downloads]]\nurl = \"http://127.0.0.1:9/images.tar\"\n\
         [[source.archive.downloads]]\nurl = \"http://127.0.0.1:9/table.csv\"\n\
         [source.archive.layout.table]\ntable = \"table.csv\"\nimage = \"{{file}}\"\n{}\
         [columns]\nimage = \"file\"\nlabel = \"kind\"\n\
         [split]\npool = \"train\"\ntotal = {pool}\nclasses = {}\nrule = \"study_capped\"\n\
         budgets = [10, 100]\n{split}",
        parts.concat(),
        classes.len()
    );
    fs::write(manifests.join("datasets/drift.toml"), record).expect("writes");
    let project = Project::open(folder.path(), "default")?.with_cache(cache);
    let encoded = Encoded::open(&project, "drift", "pixels.raw", &Device::Cpu)?;
    Ok((folder, encoded))
}

/// The record's line for an official split. Its total is for the reader and not checked here.
fn official(key: &str, name: &str) -> String {
    format!("{key} = {{ name = \"{name}\", total = 1 }}\n")
}

/// All three, as in the study's drift sets.
fn drift() -> String {
    official("val", "val") + &official("id_test", "id_test") + &official("ood_test", "test")
}

/// Images of each class among `rows`.
fn per_class(encoded: &Encoded, rows: &[usize]) -> Vec<usize> {
    let labels = encoded.labels();
    let mut counts = vec![0; encoded.set.classes.len()];
    rows.iter().for_each(|&row| counts[labels[row] as usize] += 1);
    counts
}

/// Whether every image of `rows` is in the published part.
fn all_in(encoded: &Encoded, rows: &[usize], part: &str) -> bool {
    let parts = encoded.set.parts.as_ref().expect("parts");
    rows.iter().all(|&row| parts[encoded.features.rows[row]] == part)
}

fn assert_disjoint(parts: &Parts) {
    let lists = [&parts.train, &parts.val, &parts.test, &parts.ood];
    assert!(lists.iter().all(|list| list.is_sorted()));
    let all: BTreeSet<usize> = lists.into_iter().flatten().copied().collect();
    assert_eq!(all.len(), lists.iter().map(|list| list.len()).sum::<usize>());
}

#[test]
fn val_is_drawn_from_its_own_part() {
    // The third class is small, the last has nothing in val.
    let classes = [[40, 30, 3, 5], [100, 12, 2, 4], [5, 1, 1, 1], [9, 0, 2, 0]];
    let (_folder, encoded) = opened(&classes, &drift()).expect("opens");
    for seed in 0..5 {
        let parts = encoded.parts(10, seed).expect("draws");
        assert_disjoint(&parts);
        assert_eq!(parts.protocol, Protocol::Study);
        assert_eq!(per_class(&encoded, &parts.train), [7, 7, 5, 7]);
        assert_eq!(per_class(&encoded, &parts.val), [2, 2, 1, 0]);
        assert!(all_in(&encoded, &parts.train, "train") && all_in(&encoded, &parts.val, "val"));
        // The tests are the official parts, whole.
        assert_eq!(
            (per_class(&encoded, &parts.test), per_class(&encoded, &parts.ood)),
            (vec![3, 2, 1, 2], vec![5, 4, 1, 0])
        );
        assert!(all_in(&encoded, &parts.test, "id_test") && all_in(&encoded, &parts.ood, "test"));

        assert_eq!(parts, encoded.parts(10, seed).expect("draws"));
        let other = encoded.parts(10, seed + 1).expect("draws");
        assert!(parts.val != other.val && parts.train != other.train);
        // A larger budget takes what there is, and what the smaller one took is part of it.
        let large = encoded.parts(100, seed).expect("draws");
        assert_disjoint(&large);
        assert_eq!(per_class(&encoded, &large.train), [40, 74, 5, 9]);
        assert_eq!(per_class(&encoded, &large.val), [25, 12, 1, 0]);
        assert!(parts.val.iter().all(|row| large.val.contains(row)));
        assert!(parts.train.iter().all(|row| large.train.contains(row)));
        assert_eq!((&large.test, &large.ood), (&parts.test, &parts.ood));
    }
}

#[test]
fn without_an_official_part_the_pool_gives_it() {
    let classes = [[40, 30, 3, 5], [20, 12, 2, 4]];
    // Val from its own part, and no official test: what is not trained on is the test.
    let (_folder, own_val) = opened(&classes, &official("val", "val")).expect("opens");
    let parts = own_val.parts(10, 0).expect("draws");
    assert_disjoint(&parts);
    assert!(all_in(&own_val, &parts.val, "val") && all_in(&own_val, &parts.test, "train") && parts.ood.is_empty());
    assert_eq!(per_class(&own_val, &parts.val), [2, 2]);
    assert_eq!(per_class(&own_val, &parts.test), [33, 13]);
    // No official part at all: the rule alone.
    let (_folder, plain) = opened(&classes, "").expect("opens");
    let alone = plain.parts(10, 0).expect("draws");
    assert_disjoint(&alone);
    assert!(all_in(&plain, &alone.val, "train"));
    assert_eq!(per_class(&plain, &alone.test), [31, 11]);
    assert_eq!(alone.train, parts.train);
}

#[test]
fn a_pool_of_everything_leaves_out_the_official_parts() {
    let (folder, _) = opened(&[[20, 6, 3, 4], [15, 5, 2, 1]], &drift()).expect("opens");
    let record = folder.path().join("data_manifests/datasets/drift.toml");
    let text = fs::read_to_string(&record).expect("reads").replace("pool = \"train\"", "pool = \"all\"");
    fs::write(&record, text).expect("writes");
    let project = Project::open(folder.path(), "default").expect("opens").with_cache(folder.path().join("cache"));
    let encoded = Encoded::open(&project, "drift", "pixels.raw", &Device::Cpu).expect("opens");
    let parts = encoded.parts(10, 0).expect("draws");
    assert_disjoint(&parts);
    assert!(all_in(&encoded, &parts.train, "train") && all_in(&encoded, &parts.val, "val"));
}

#[test]
fn a_part_that_the_data_lack_is_named() {
    let (_folder, encoded) = opened(&[[20, 6, 3, 4], [15, 5, 2, 1]], &official("val", "valid")).expect("opens");
    let error = encoded.parts(10, 0).expect_err("no such part").to_string();
    assert!(error.contains("`valid`") && error.contains("id_test, test, train, val"), "{error}");
}

#[test]
fn fmow_at_ten_has_the_published_counts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = published::splits(root).expect("reads");
    let row = rows.iter().find(|row| row.dataset == "fmow" && row.budget == 10).expect("a row");
    // The study's classes, each with enough images for the budget: the smallest number that is.
    let (_folder, encoded) = opened(&vec![[8, 3, 1, 1]; row.classes], &drift()).expect("opens");
    let parts = encoded.parts(row.budget, 0).expect("draws");
    assert_disjoint(&parts);
    assert_eq!((parts.train.len(), parts.val.len()), (row.train, row.val));
    // The published rows of iWildCam are not reached by any number of images: its 87 classes would all have to be
    // full for the rule's 609 training images, and the study has 1090.
    let iwildcam = rows.iter().find(|row| row.dataset == "iwildcam" && row.budget == 10).expect("a row");
    assert!(iwildcam.train > 7 * iwildcam.classes && iwildcam.val < 2 * iwildcam.classes);
}

/// A project with a reader's own images: two classes, a table with a style, a published part and whom a picture is of. Of `tested`
/// tidy pictures of a class in the test the first two are of somebody who is in the pool too.
fn own(rule: &str, ood: &str, tested: usize) -> (TempDir, Project) {
    let (folder, manifests) = place("mine");
    let mine = folder.path().join("mine");
    fs::create_dir_all(&mine).expect("makes a folder");
    let mut table = String::from("file_name,label,style,part,who\n");
    for class in ["a", "b"] {
        let kinds = [("tidy", "train", 20), ("tidy", "test", tested), ("wild", "train", 4), ("wild", "test", 3)];
        for (style, part, n) in kinds {
            for i in 0..n {
                let name = format!("{class}-{style}-{part}-{i}.png");
                let who = match (style, part, i) {
                    ("tidy", "test", 0 | 1) => format!("{class}-tidy-train-{i}"),
                    _ => format!("{class}-{style}-{part}-{i}"),
                };
                let shade = wider_clip::image::Rgb([i as u8 * 9, style.len() as u8, part.len() as u8 * 20]);
                let image = encode_png(&wider_clip::image::RgbImage::from_pixel(4, 4, shade)).expect("encodes");
                fs::write(mine.join(&name), image).expect("writes");
                table.push_str(&format!("{name},{class},{style},{part},{who}\n"));
            }
        }
    }
    fs::write(mine.join("metadata.csv"), table).expect("writes");
    let record = format!(
        "id = \"mine\"\nname = \"Mine\"\n[source.folder]\npath = \"mine\"\ntables = [\"metadata.csv\"]\n[columns]\n\
         image = \"file_name\"\nlabel = \"label\"\ndomain = \"style\"\nsplit = \"part\"\ngroup = \"who\"\n\
         [split]\nrule = \"{rule}\"\nbudgets = [10]\n{ood}"
    );
    fs::write(manifests.join("datasets/mine.toml"), record).expect("writes");
    let project = Project::open(folder.path(), "default").expect("opens").with_cache(folder.path().join("cache"));
    (folder, project)
}

/// A published test may have images of a domain that is held out, and of groups that are learned from.
#[test]
fn a_published_test_is_parted_by_domain_and_shares_no_group() -> Result<()> {
    let wild = "ood_domains = [\"wild\"]\n";
    for (rule, ood) in [("study", wild), ("study", ""), ("study_grouped", wild), ("study_grouped", "")] {
        let (_folder, project) = own(rule, ood, 6);
        let encoded = Encoded::open(&project, "mine", "pixels.raw", &Device::Cpu)?;
        let parts = encoded.parts(10, 0)?;
        assert_disjoint(&parts);
        let set = &encoded.set;
        let of = |positions: &[usize], column: &Option<Vec<String>>| -> BTreeSet<String> {
            let column = column.as_ref().expect("a column");
            positions.iter().map(|&position| column[encoded.features.rows[position]].clone()).collect()
        };
        let set_of = |names: &[&str]| names.iter().map(|name| name.to_string()).collect::<BTreeSet<_>>();
        let case = format!("{rule} {ood}");
        assert_eq!(of(&parts.test, &set.parts), set_of(&["test"]), "{case}");
        assert_eq!(of(&parts.train, &set.parts), set_of(&["train"]), "{case}");
        match ood.is_empty() {
            true => assert_eq!((parts.test.len(), parts.ood.len()), (18, 0), "{case}"),
            false => {
                assert_eq!((parts.test.len(), parts.ood.len()), (12, 14), "{case}");
                assert_eq!(of(&parts.test, &set.domains), set_of(&["tidy"]), "{case}");
                assert_eq!(of(&parts.ood, &set.domains), set_of(&["wild"]), "{case}");
            }
        }
        // Of the people in the test nothing is learned, by the rule that minds groups.
        let shared = of(&[&parts.train[..], &parts.val].concat(), &set.groups)
            .intersection(&of(&parts.test, &set.groups))
            .count();
        assert!(rule == "study" || shared == 0, "{case}: {shared}");
        // The test is the same whether groups are minded or not: what that is worth cannot be asked.
        let rows = representations::run(&project, &Device::Cpu)?;
        let protocols: BTreeSet<&str> = rows.iter().map(|row| row.cell.protocol.as_str()).collect();
        let expected = if rule == "study" { "study" } else { "grouped" };
        assert_eq!(protocols, BTreeSet::from([expected]), "{case}");
    }
    // Of a test that is held out as a whole nothing is in distribution: that test is drawn.
    let (_folder, project) = own("study_grouped", wild, 0);
    let encoded = Encoded::open(&project, "mine", "pixels.raw", &Device::Cpu)?;
    let parts = encoded.parts(10, 0)?;
    assert!(all_in(&encoded, &parts.test, "train") && !parts.test.is_empty());
    assert_eq!(parts.ood.len(), 14);
    let rows = representations::run(&project, &Device::Cpu)?;
    let protocols: BTreeSet<&str> = rows.iter().map(|row| row.cell.protocol.as_str()).collect();
    assert_eq!(protocols, BTreeSet::from(["grouped", "leaky"]));
    Ok(())
}
