//! The experiments on a few of the embedded icons under raw pixels.

#[path = "golden/backbones/random.rs"]
mod random;

use std::path::Path;
use wider_clip::features::none_apart;
use wider_clip::prelude::*;

fn icons() -> (tempfile::TempDir, Encoded) {
    let cache = tempfile::tempdir().unwrap();
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "smoke").unwrap().with_cache(cache.path());
    let encoded = Encoded::open(&project, "icons", "pixels.raw", &Device::Cpu).unwrap();
    (cache, encoded)
}

fn encoding(project: &Project, model: &str) -> Encoding {
    Encoding::of(project, &project.images("icons").unwrap(), model, &Device::Cpu).unwrap()
}

#[test]
fn every_method_predicts_every_image_and_beats_chance() {
    let (_cache, encoded) = icons();
    let parts = encoded.parts(10, 0).unwrap();
    let labels = encoded.labels();
    let truth: Vec<u32> = parts.test.iter().map(|&position| labels[position]).collect();
    for method in [Method::Knn, Method::KnnDino, Method::Lr, Method::LrSweep] {
        let predictions = encoded.predict(method, &parts).unwrap();
        assert_eq!((predictions.test.len(), predictions.ood.len()), (parts.test.len(), parts.ood.len()));
        let score = accuracy(&predictions.test, &truth).unwrap();
        assert!(score > 1.5 / encoded.set.classes.len() as f64, "{method:?}: {score}");
    }
}

/// As weights that are all 0 give them.
#[test]
fn features_that_tell_no_two_images_apart_are_told() {
    let (_cache, mut encoded) = icons();
    let parts = encoded.parts(10, 0).unwrap();
    assert_eq!(encoded.predict(Method::Knn, &parts).unwrap().warning, "");
    assert!(!encoded.features.tells_none_apart("pixels") && !encoded.features.tells_none_apart("none"));
    encoded.features.poolings.get_mut("pixels").unwrap().fill(0.0);
    assert!(encoded.features.tells_none_apart("pixels"));
    for method in [Method::Knn, Method::Lr, Method::LrStandardised] {
        let warning = encoded.predict(method, &parts).unwrap().warning;
        assert!(warning.starts_with("all training images have the same features"), "{method:?}: {warning}");
    }
    // One that differs is enough; one image has nothing to be told from.
    let features = ndarray::array![[0.5f32, 1.0], [0.5, 1.0], [0.5, 2.0]];
    assert!(!none_apart(features.view()) && none_apart(features.slice(ndarray::s![..2, ..])));
    assert!(!none_apart(features.slice(ndarray::s![..1, ..])));
}

#[test]
fn clustering_takes_held_out_images_apart() {
    let (_cache, encoded) = icons();
    let parts = encoded.apart().unwrap();
    assert_eq!(parts.iter().map(|part| part.split).collect::<Vec<_>>(), ["id", "ood"]);
    let domains = encoded.set.domains.as_ref().unwrap();
    for part in &parts {
        let held_out = |&position: &usize| domains[encoded.features.rows[position]] == "phosphor-fill";
        assert!(part.positions.iter().all(|position| held_out(position) == (part.split == "ood")));
    }
    assert_eq!(parts.iter().map(|part| part.positions.len()).sum::<usize>(), encoded.features.rows.len());

    let subject = clustering::Subject::of(&encoded, &parts[1]).unwrap();
    let map = subject.map(3).unwrap();
    assert_eq!(map, subject.map(3).unwrap());
    let clusters = subject.clusters(&map.clone().into_shared(), 3).unwrap();
    let agreement = adjusted_rand(&clusters.labels, &subject.labels).unwrap();
    // Pixels find little of an icon's class (0.062), and that is far from what classes dealt out would give.
    let mut dealt = subject.labels.clone();
    wider_clip::random::Random::new("dealt out", 0, 0).shuffle(&mut dealt);
    let by_chance = adjusted_rand(&clusters.labels, &dealt).unwrap();
    assert!(by_chance.abs() < 0.015 && agreement > 0.04, "{agreement}, by chance {by_chance}");
    // As many clusters as classes, every image in one.
    let distinct = |labels: &[u32]| labels.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert_eq!(distinct(&clusters.labels), distinct(&subject.labels));
    assert_eq!((clusters.labels.len(), map.nrows()), (parts[1].positions.len(), parts[1].positions.len()));

    let wanted: Vec<usize> = encoded.features.rows.iter().copied().step_by(3).collect();
    let shown = parts[1].shown(&encoded, &map, &wanted).unwrap();
    assert!(!shown.rows.is_empty() && shown.rows.iter().all(|row| wanted.contains(row)));
    let first =
        parts[1].positions.iter().position(|&position| encoded.features.rows[position] == shown.rows[0]).unwrap();
    assert_eq!(shown.points[0], [f64::from(map[[first, 0]]), f64::from(map[[first, 1]])]);
    let error = parts[0].shown(&encoded, &map, &wanted).unwrap_err().to_string();
    assert!(error.contains("a place for each image of the part"), "{error}");
}

#[test]
fn classes_are_read_from_their_names_where_there_is_a_text_tower() {
    use wider_clip::by_name::ByName;
    use wider_clip::models::clip::TextConfig;
    use wider_clip::models::{Architecture, Clip, ClipConfig, Mode};
    use wider_clip::probe::zero_shot::ZeroShot;
    use wider_clip::text::{Templates, Tokenizer};

    let cache = tempfile::tempdir().unwrap();
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "smoke").unwrap().with_cache(cache.path());
    let encoded = Encoded::open(&project, "icons", "vit_tiny.random", &Device::Cpu).unwrap();
    let parts = encoded.parts(10, 0).unwrap();
    let error = encoded.predict(Method::ZeroShot, &parts).unwrap_err().to_string();
    assert!(error.contains("with `Words`"), "{error}");
    let words =
        Words::open(&project, &encoding(&project, "vit_tiny.random"), &[Method::ZeroShot], &Device::Cpu).unwrap();
    assert!(words.answers(Method::ZeroShot).is_none(), "a model without a text tower");
    let error = words.predict(&encoded, Method::ZeroShot, &parts).unwrap_err().to_string();
    assert!(error.contains("a model with a text tower") && error.contains("vit_tiny.random"), "{error}");

    // A text tower that knows nothing, for the features of a transformer that knows nothing.
    let tokenizer = Tokenizer::clip().unwrap();
    let vocabulary = tokenizer.vocabulary_size();
    let text =
        TextConfig { vocabulary, dim: 16, depth: 1, heads: 2, hidden: 32, projection: 8, ..TextConfig::clip_vit_b32() };
    let image = Architecture::named("vit_tiny_patch8_64").unwrap();
    let config = ClipConfig { image, pooling: "cls", image_dim: 192, text };
    let weights = random::random_weights(&config.parameters());
    let (classes, templates) = (&encoded.set.classes.clone(), Templates::photo());
    let by_name = ByName::new(&config, weights.clone(), &tokenizer, &templates, classes, &Device::Cpu).unwrap();
    assert_eq!(by_name.warning(), "");
    let predicted = Words::from_names(by_name).predict(&encoded, Method::ZeroShot, &parts).unwrap();
    assert_eq!((predicted.test.len(), predicted.ood.len()), (parts.test.len(), parts.ood.len()));

    // Names that differ in what the tower does not read: capitals, blanks, what is behind its last token.
    let long = "very ".repeat(80);
    let names = ["golf course", "Golf  Course", "cart", &format!("{long}old"), &format!("{long}new")].map(String::from);
    let by_name = ByName::new(&config, weights.clone(), &tokenizer, &templates, &names, &Device::Cpu).unwrap();
    let warning = Words::from_names(by_name).predict(&encoded, Method::ZeroShot, &parts).unwrap().warning;
    assert!(
        warning.contains("reads class `Golf  Course` as class `golf course`, so `Golf  Course` is never an answer")
    );
    assert!(warning.ends_with("; 1 more are read as others"), "{warning}");

    // The same by the towers themselves.
    let projection = weights["visual_projection.weight"].clone();
    let builder = candle_nn::VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let clip = Clip::build(&config, builder).unwrap();
    let prompts: Vec<String> = classes.iter().map(|name| format!("a photo of a {}.", name.replace('-', " "))).collect();
    assert_eq!(templates.prompts(classes).unwrap(), prompts);
    let texts = clip.text_features(tokenizer.encode_batch(&prompts).view(), Mode::Eval).unwrap();
    let features = encoded.features.pooling("cls").unwrap();
    let features = Tensor::from_iter(features.iter().copied(), &Device::Cpu).unwrap().reshape(features.dim()).unwrap();
    let images = features.matmul(&projection.t().unwrap()).unwrap();
    let logits = clip.logits(&images, &texts).unwrap().to_vec2::<f32>().unwrap();
    let best = |row: &[f32]| (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
    let agree = parts.test.iter().zip(&predicted.test).filter(|&(&at, &class)| best(&logits[at]) == class).count();
    assert!(agree as f64 >= 0.995 * parts.test.len() as f64, "{agree} of {}", parts.test.len());
    assert!(predicted.test.iter().any(|&class| class != predicted.test[0]), "not all images of one class");
    assert!(ZeroShot::new(ndarray::Array3::zeros((0, 1, 8)).view()).is_err());
}

/// A project with the suite `asked` and the record of the pocket CLIP to be changed.
#[cfg(unix)]
fn asking(methods: &str, datasets: &str, limit: &str) -> (tempfile::TempDir, String) {
    use std::{fs, os::unix::fs::symlink};
    let root = tempfile::tempdir().unwrap();
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests"), root.path().join("data_manifests"));
    fs::create_dir_all(to.join("models")).unwrap();
    fs::create_dir_all(to.join("suites")).unwrap();
    for entry in fs::read_dir(&from).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name();
        if name != "models" && name != "suites" && name != "build" {
            symlink(entry.path(), to.join(name)).unwrap();
        }
    }
    let suite = format!(
        "id = \"asked\"\ndescription = \"One model, by names.\"\ndatasets = [\"{datasets}\"]\n\
         models = [\"clip_pocket.icons\"]\nmethods = {methods}\nbudgets = [10]\nseeds = [0]\n{limit}\
         note = \"For a test.\"\n"
    );
    fs::write(to.join("suites/asked.toml"), suite).unwrap();
    let record = fs::read_to_string(from.join("models/clip_pocket.icons.toml")).unwrap();
    fs::write(to.join("models/clip_pocket.icons.toml"), &record).unwrap();
    (root, record)
}

#[cfg(unix)]
fn rows_under(root: &Path, record: &str) -> Vec<ResultRow> {
    std::fs::write(root.join("data_manifests/models/clip_pocket.icons.toml"), record).unwrap();
    representations::run(&Project::open(root, "asked").unwrap(), &Device::Cpu).unwrap()
}

#[cfg(unix)]
#[test]
fn other_prompts_are_another_result() {
    let (root, record) = asking("[\"zero_shot\"]", "icons", "max_images = 300\n");
    let rows = |record: &str| rows_under(root.path(), record);
    let once = rows(&record);
    assert_eq!(once, rows(&record), "nothing changed");
    let asked_otherwise = record.replace("templates = [\"{}\"]", "templates = [\"{}, interface\"]");
    assert_ne!(asked_otherwise, record);
    let other = rows(&asked_otherwise);
    assert_eq!(once.len(), other.len());
    assert!(once.iter().zip(&other).all(|(a, b)| a.cell.key != b.cell.key));
    assert!(once.iter().zip(&other).any(|(a, b)| a.value != b.value), "the old answers to a new question");
}

#[cfg(unix)]
#[test]
fn the_ensemble_has_rows_where_a_record_names_kinds() {
    let (root, record) = asking("[\"zero_shot\", \"zero_shot_ensemble\"]", "icons", "max_images = 300\n");
    let rows = rows_under(root.path(), &record);
    let of = |rows: &[ResultRow], method: &str| -> Vec<ResultRow> {
        rows.iter().filter(|row| row.cell.method == method).cloned().collect()
    };
    let (plain, ensemble) = (of(&rows, "zero_shot"), of(&rows, "zero_shot_ensemble"));
    let n = 4 * wider_clip::experiments::METRICS.len();
    assert_eq!((plain.len(), ensemble.len()), (n, n), "two splits and protocols, each metric");
    assert!(plain.iter().zip(&ensemble).all(|(a, b)| a.n_test == b.n_test && b.n_train == 0));
    assert!(plain.iter().zip(&ensemble).any(|(a, b)| a.value != b.value));

    let kinds = "kinds = \"pocket/clip_kinds.txt\"\n";
    assert!(record.contains(kinds));
    let without = rows_under(root.path(), &record.replace(kinds, ""));
    assert_eq!((of(&without, "zero_shot"), of(&without, "zero_shot_ensemble")), (plain, Vec::new()));
    let project = Project::open(root.path(), "asked").unwrap();
    let encoded = Encoded::open(&project, "icons", "clip_pocket.icons", &Device::Cpu).unwrap();
    let methods = [Method::ZeroShotEnsemble];
    let words = Words::open(&project, &encoding(&project, "clip_pocket.icons"), &methods, &Device::Cpu).unwrap();
    let parts = encoded.parts(10, 0).unwrap();
    let error = words.predict(&encoded, Method::ZeroShotEnsemble, &parts).unwrap_err().to_string();
    assert!(error.contains("zero_shot_ensemble") && error.contains("a list of kinds"), "{error}");
}

#[test]
fn the_shipped_clip_finds_emoji_by_words_as_often_as_it_did() {
    let cache = tempfile::tempdir().unwrap();
    let project = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "default").unwrap().with_cache(cache.path());
    let asked = same_data::asked(&project, "openemoji", "clip_pocket.icons", &Device::Cpu).unwrap();
    let n_classes = project.images("openemoji").unwrap().classes.len() as f64;
    // Times chance. numpy, with Pillow's crops, gives 4.38 and 3.08 in known and held-out styles by name, 5.26 and 4.31
    // by the ensemble. That the ensemble's parts were chosen on these emoji, notebook 05 says: this holds the code to
    // what it gave, and proves nothing of other data.
    let expected = [("all", 4.1), ("id", 4.2), ("ood", 2.8), ("all", 5.0), ("id", 5.0), ("ood", 4.0)];
    assert_eq!(asked.len(), expected.len());
    for (i, (found, (split, least))) in asked.iter().zip(expected).enumerate() {
        let method = if i < 3 { Method::ZeroShot } else { Method::ZeroShotEnsemble };
        assert_eq!((found.method, found.split), (method, split));
        assert!(n_classes * found.accuracy > least, "{found:?}");
        assert!(found.interval.0 < found.accuracy && found.accuracy < found.interval.1, "{found:?}");
    }
    assert_eq!((asked[0].n, asked[1].n + asked[2].n), (9546, 9546));

    // Nothing to be asked, nothing said.
    let smoke = Project::open(Path::new(env!("CARGO_MANIFEST_DIR")), "smoke").unwrap().with_cache(cache.path());
    assert!(same_data::asked(&smoke, "icons", "pixels.raw", &Device::Cpu).unwrap().is_empty());
}
