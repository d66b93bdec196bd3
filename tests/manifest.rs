//! Manifests: the shipped ones load, and each kind of mistake is named with file, line and expectation.

use std::fs;
use std::path::{Path, PathBuf};

use wider_clip::error::Error;
use wider_clip::manifest::{
    ArchiveLayout, AugmentRecord, Flip, Manifests, Method, PerClass, Source, SplitRule, Tuning, Weights,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn shipped_manifests_load() {
    let manifests = Manifests::load(root()).unwrap();
    let study: Vec<&str> = manifests.datasets().filter(|d| d.published_as.is_some()).map(|d| d.id.as_str()).collect();
    let expected = ["dtd", "fgvc_aircraft", "flowers102", "fmow", "isic", "iwildcam", "patternnet", "ucmerced"];
    assert_eq!(study, expected);
    for id in ["default", "full", "smoke"] {
        let suite = manifests.suite(id).unwrap();
        let mut methods = vec![Method::Knn, Method::Lr];
        if id == "default" {
            methods.extend([Method::LrStandardised, Method::LrSweep]);
        }
        assert_eq!(suite.methods, methods, "{id}");
    }
    assert_eq!(manifests.suite("default").unwrap().seeds.len(), 3);
    for id in &manifests.suite("full").unwrap().datasets {
        let dataset = manifests.dataset(id).unwrap();
        assert_eq!(dataset.split.rule, SplitRule::StudyGrouped, "{id}");
        let smallest = dataset.split.per_class.as_ref().and_then(PerClass::smallest);
        assert_eq!(smallest, dataset.split.smallest_class, "{id}");
        let Source::Embedded { files } = &dataset.source else { panic!("{id} is not embedded") };
        assert!(files.iter().all(|file| manifests.embedded_path(file).is_file()), "{id}");
    }
    let Source::Archive { layout: ArchiveLayout::Table { parts, lookups, .. }, .. } =
        &manifests.dataset("fmow").unwrap().source
    else {
        panic!("fmow is not a table")
    };
    assert_eq!((parts.len(), lookups.len()), (5, 1));
}

#[test]
fn shipped_weights_have_the_recorded_digest() {
    use sha2::{Digest, Sha256};
    let manifests = Manifests::load(root()).unwrap();
    for model in manifests.models() {
        if let Weights::Embedded { file, sha256, .. } = &model.weights {
            let digest = Sha256::digest(fs::read(manifests.embedded_path(file)).unwrap());
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, *sha256, "{file}");
        }
    }
}

#[test]
fn an_unknown_id_lists_the_known_ones() {
    let manifests = Manifests::load(root()).unwrap();
    let error = manifests.model("clip").unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }));
    let text = error.to_string();
    assert!(text.contains("no model is called `clip`") && text.contains("pixels.raw, "), "{text}");
    assert!(manifests.dataset("mnist").unwrap_err().to_string().contains("dtd, fgvc_aircraft"));
    assert!(manifests.suite("big").unwrap_err().to_string().contains("default, full, "));
}

/// A project of its own with the shipped manifests, embedded files being empty ones of the same names.
struct Project(tempfile::TempDir);

impl Project {
    fn new() -> Project {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["datasets", "models", "suites", "embedded", "embedded/pocket"] {
            let (from, to) =
                (root().join("data_manifests").join(kind), folder.path().join("data_manifests").join(kind));
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let text = if kind.starts_with("embedded") { Vec::new() } else { fs::read(&path).unwrap() };
                    fs::write(to.join(path.file_name().unwrap()), text).unwrap();
                }
            }
        }
        Project(folder)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join("data_manifests").join(file)
    }

    /// Changes one line of a manifest; returns the error and the line's number.
    fn change(&self, file: &str, from: &str, to: &str) -> (String, usize) {
        let text = fs::read_to_string(self.path(file)).unwrap();
        assert_eq!(text.matches(from).count(), 1, "{from} in {file}");
        let line = text[..text.find(from).unwrap()].matches('\n').count() + 1;
        fs::write(self.path(file), text.replace(from, to)).unwrap();
        let error = Manifests::load(self.0.path()).unwrap_err();
        assert!(matches!(error, Error::Manifest { .. }), "{error:?}");
        fs::write(self.path(file), text).unwrap();
        (error.to_string(), line)
    }

    fn error(&self) -> String {
        Manifests::load(self.0.path()).unwrap_err().to_string()
    }
}

#[test]
fn mistakes_are_named_with_file_line_and_expectation() {
    let project = Project::new();
    Manifests::load(project.0.path()).unwrap();
    for (file, from, to, expected) in [
        // Unknown keys, at every depth.
        ("datasets/dtd.toml", "licence =", "license =", "expected one of `id`, `name`"),
        ("datasets/dtd.toml", "licence =", "license =", "found unknown field `license`"),
        ("datasets/dtd.toml", "smallest_class", "smalest_class", "found unknown field `smalest_class`"),
        ("datasets/flowers102.toml", "repo =", "repository =", "expected one of `repo`, `revision`, `files`"),
        ("datasets/flowers102.toml", "repo =", "repository =", "found unknown field `repository`"),
        ("datasets/dtd.toml", "label = \"folder\"", "labels = \"folder\"", "found unknown field `labels`"),
        ("datasets/patternnet.toml", "md5", "mdfive", "found unknown field `mdfive`"),
        ("datasets/flowers102.toml", "[source.hub]", "[source.hubb]", "found unknown variant `hubb`"),
        ("models/pixels.raw.toml", "crop_pct", "crop", "expected one of `size`, `crop_pct`"),
        ("suites/smoke.toml", "seeds = [0, 1]\nmax_i", "seed = [0, 1]\nmax_i", "found unknown field `seed`"),
        // Wrong types and words.
        ("datasets/dtd.toml", "total = 1880", "total = \"1880\"", "expected usize, found string \"1880\""),
        ("datasets/dtd.toml", "total = 1880", "total = -1", "found integer `-1`"),
        ("datasets/dtd.toml", "per_class = 40", "per_class = true", "expected a number of images or a table of class"),
        (
            "datasets/dtd.toml",
            "rule = \"study\"",
            "rule = \"studdy\"",
            "`study_grouped`, found unknown variant `studdy`",
        ),
        ("models/pixels.raw.toml", "weights = \"none\"", "weights = \"some\"", "found unknown variant `some`"),
        ("models/pixels.raw.toml", "mean = [0.5, 0.5, 0.5]", "mean = [0.5, 0.5]", "an array of length 3"),
        (
            "suites/smoke.toml",
            "max_images = 900",
            "dtype = \"f16\"",
            "expected `dtype` to be `f32` or `bf16`, found `f16`",
        ),
        (
            "suites/smoke.toml",
            "max_images = 900",
            "dtype = \"bf16\"",
            "expected `dtype` to be `f32` in a suite that fine-tunes: training is f32 (bf16 features may have a suite of their own), \
             found `bf16`",
        ),
        ("suites/smoke.toml", "[\"knn\", \"lr\"]", "[\"knn\", \"svm\"]", "found unknown variant `svm`"),
        ("suites/smoke.toml", "seeds = [0, 1]\nmax_i", "seeds = 0, 1]\nmax_i", ""),
        // Values out of range.
        ("models/pixels.raw.toml", "dim = 3072", "dim = 18446744073609551616", "u64 value was too large"),
        ("datasets/dtd.toml", "smallest_class = 40", "smallest_class = 41", "at most total / classes = 40, found 41"),
        ("datasets/dtd.toml", "per_class = 40", "per_class = 39", "a number that times 47 classes is 1880"),
        (
            "datasets/dtd.toml",
            "budgets = [10, 100]",
            "budgets = [100, 10]",
            "ascending budgets above 0, found [100, 10]",
        ),
        ("datasets/dtd.toml", "rule = \"study\"", "rule = \"study_grouped\"", "a group column"),
        (
            "datasets/fmow.toml",
            "val = { name = \"val\"",
            "val = { name = \"train\"",
            "`split.val` to be a part of its own, found `train` again",
        ),
        ("datasets/patternnet.toml", "md5 = \"96d5", "md5 = \"96D5", "32 lower-case hex digits"),
        // A column that nothing gives.
        (
            "datasets/patternnet.toml",
            "label = \"label\"",
            "group = \"site\"\nlabel = \"label\"",
            "an image and its label alone, found `site`",
        ),
        (
            "datasets/dtd.toml",
            "label = \"label\"",
            "domain = \"year\"\nlabel = \"label\"",
            "`columns.domain` to be left out",
        ),
        // Paths that lead out of the data set's folder, and names of downloads.
        ("datasets/patternnet.toml", "root = \"", "root = \"/home\"#", "found `/home`"),
        (
            "datasets/patternnet.toml",
            "root = \"",
            "root = \"a/../../..\"#",
            "a path inside the data set's folder, with `/`",
        ),
        (
            "datasets/patternnet.toml",
            "root = \"",
            "root = \"C:/a\"#",
            "`source.archive.layout.class_folders.root` to be a path",
        ),
        (
            "datasets/ucmerced.toml",
            "lists.val = \"",
            "lists.val = \"../x\"#",
            "class_folders.lists.val` to be a path inside",
        ),
        (
            "datasets/fmow.toml",
            "table = \"rgb",
            "table = \"/etc/passwd\"#rgb",
            "`source.archive.layout.table.table` to be a path",
        ),
        (
            "datasets/fmow.toml",
            "table = \"country",
            "table = \"../country",
            "`source.archive.layout.table.lookups.0.table` to be a path",
        ),
        (
            "datasets/fmow.toml",
            "column = \"region\"",
            "column = \"row\"",
            "`source.archive.layout.table.lookups.0.column` to be a name other than `row`",
        ),
        (
            "datasets/fmow.toml",
            "key = \"alpha-3\"",
            "key = \" \"",
            "`source.archive.layout.table.lookups.0.key` to be some text",
        ),
        ("datasets/dtd.toml", "images = \"", "images = \"..\"#", "`source.archive.layout.lists.images` to be a path"),
        (
            "datasets/fgvc_aircraft.toml",
            "classes = \"",
            "classes = '..\\x'#",
            "layout.lists.classes` to be a path inside",
        ),
        // A host is no name of a file, least of all with a password in front.
        (
            "datasets/patternnet.toml",
            "url = \"",
            "url = \"http://me:word@host?x\"#",
            "an address that ends in the name of a file",
        ),
        (
            "datasets/patternnet.toml",
            "url = \"",
            "url = \"http://host/\"#",
            "an address that ends in the name of a file",
        ),
        ("datasets/fmow.toml", "file = \"", "file = \"..\"#", "a file name to keep, found `..`"),
        ("datasets/fmow.toml", "file = \"", "file = \"unpacked\"#", "a file name to keep, found `unpacked`"),
        (
            "datasets/ucmerced.toml",
            "uc_merced-val.txt\"\nmd5",
            "uc_merced-TRAIN.txt\"\nmd5",
            "file name of its own; `file` gives one",
        ),
        ("models/pixels.raw.toml", "crop_pct = 1.0", "crop_pct = 1.5", "a number above 0, at most 1, found 1.5"),
        ("models/pixels.raw.toml", "std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", "three numbers above 0"),
        ("models/pixels.raw.toml", "dim = 3072", "dim = 0", "`features.dim` to be a number above 0, found 0"),
        ("suites/smoke.toml", "seeds = [0, 1]\nmax_i", "seeds = []\nmax_i", "at least one entry, found an empty list"),
        ("suites/smoke.toml", "seeds = [0, 1]\nmax_i", "seeds = [3, 3]\nmax_i", "`seeds.1` to be every entry once"),
        // Ids and references.
        ("datasets/dtd.toml", "id = \"dtd\"", "id = \"dtt\"", "`id` to be `dtd`, the file's name, found `dtt`"),
        ("datasets/dtd.toml", "id = \"dtd\"", "id = \"../dtd\"", "lower-case letters"),
        (
            "suites/smoke.toml",
            "\"vit_tiny_p16.random\", \"pixels.raw\"",
            "\"pixels.raw\", \"vit\"",
            "vit_tiny.random, vit_tiny_p16.random",
        ),
        ("suites/smoke.toml", "[\"openemoji\"", "[\"emoji\"", "`datasets.0` to be one of dtd, fgvc_aircraft"),
        ("datasets/icons.toml", "icons.parquet", "icon.parquet", "found `icon.parquet`, which is not there"),
        ("datasets/icons.toml", "icons.parquet", "../icons.parquet", "a path inside data_manifests/embedded"),
    ] {
        let (error, line) = project.change(file, from, to);
        let place = format!("{file}:{line}: expected ");
        assert!(error.contains(&place), "{error}\nlacks\n{place}");
        assert!(error.contains(expected), "{error}\nlacks\n{expected}");
    }
}

#[test]
fn missing_keys_files_and_folders_are_named() {
    let project = Project::new();
    let (error, _) = project.change("suites/smoke.toml", "seeds = [0, 1]\nmax_i", "max_i");
    assert!(
        error.contains("suites/smoke.toml:") && error.contains("expected key `seeds`, found no such key"),
        "{error}"
    );
    let (error, _) = project.change("datasets/dtd.toml", "images = ", "# images = ");
    assert!(error.contains("expected key `source.archive.layout.lists.images`, found no such key"), "{error}");
    let (error, _) = project.change("datasets/fmow.toml", "key = \"alpha-3\"\n", "");
    assert!(error.contains("expected key `source.archive.layout.table.lookups.0.key`, found no such key"), "{error}");
    let second = "[[source.archive.layout.table.lookups]]\ncolumn = \"region\"\nfrom = \"a\"\ntable = \"b\"\nkey = \"c\"\n\
                  value = \"d\"\n";
    let (error, _) = project.change("datasets/fmow.toml", "otherwise = \"Other\"\n", second);
    let expected = "`source.archive.layout.table.lookups.1.column` to be a column of its own, found `region` again";
    assert!(error.contains(expected), "{error}");

    // All of them in one error.
    let text = fs::read_to_string(project.path("datasets/patternnet.toml")).unwrap();
    let without =
        text.lines().filter(|line| !["licence", "citation", "url", "root"].iter().any(|key| line.starts_with(key)));
    fs::write(project.path("datasets/patternnet.toml"), without.collect::<Vec<_>>().join("\n")).unwrap();
    let all = "expected key `licence`, also `citation`, `source.archive.downloads.0.url`, \
               `source.archive.layout.class_folders.root`, found no such keys";
    assert!(project.error().contains(all), "{}", project.error());
    fs::write(project.path("datasets/patternnet.toml"), "").unwrap();
    let all =
        "expected key `name`, also `description`, `licence`, `homepage`, `citation`, `source`, found no such keys";
    assert!(project.error().contains(all), "{}", project.error());
    fs::write(project.path("datasets/patternnet.toml"), text).unwrap();

    fs::write(project.path("models/bytes.toml"), [0xff, 0xfe]).unwrap();
    assert!(project.error().contains("models/bytes.toml:0: expected UTF-8 text"), "{}", project.error());
    fs::write(project.path("models/bytes.toml"), "").unwrap();
    assert!(project.error().contains("expected key `id`"), "{}", project.error());
    fs::remove_file(project.path("models/bytes.toml")).unwrap();

    // Only `.toml` files are manifests.
    fs::write(project.path("models/README.md"), "not a manifest").unwrap();
    Manifests::load(project.0.path()).unwrap();

    fs::remove_file(project.path("models/pixels.raw.toml")).unwrap();
    assert!(project.error().contains("suites/default.toml:"), "{}", project.error());
    fs::remove_dir_all(project.path("datasets")).unwrap();
    let error = project.error();
    assert!(error.contains("datasets:0: expected a folder") && error.contains("no such folder"), "{error}");
}

#[test]
fn weights_on_the_hub_are_alternatives_in_order() {
    let project = Project::new();
    let pixels = fs::read_to_string(project.path("models/pixels.raw.toml")).unwrap();
    let file = "models/vit_base.in21k.toml";
    let hub = "[weights.hub]\nrepo = \"google/vit-base\"\nfiles = [\"model.safetensors\", \"old/model.bin\"]\n";
    let text = pixels.replace("pixels.raw", "vit_base.in21k").replace("weights = \"none\"\n", "");
    let (before, inputs) = text.split_once("[input]").unwrap();
    let text = format!("{before}{hub}[input]{inputs}");
    fs::write(project.path(file), &text).unwrap();
    let weights = |revision: &str| Weights::Hub {
        repo: "google/vit-base".into(),
        revision: revision.into(),
        files: vec!["model.safetensors".into(), "old/model.bin".into()],
    };
    let read = || Manifests::load(project.0.path()).unwrap().model("vit_base.in21k").unwrap().weights.clone();
    assert_eq!(read(), weights("main"));
    fs::write(project.path(file), text.replace("files =", "revision = \"refs/pr/15\"\nfiles =")).unwrap();
    assert_eq!(read(), weights("refs/pr/15"));
    fs::write(project.path(file), &text).unwrap();
    for (from, to, expected) in [
        ("files = [", "file = [", "expected one of `repo`, `revision`, `files`, found unknown field `file`"),
        ("[\"model.safetensors\", \"old/model.bin\"]", "[]", "`weights.hub.files` to be at least one file"),
        ("[\"model.safetensors\", \"old/model.bin\"]", "\"model.bin\"", "found string \"model.bin\""),
        ("old/model.bin", "../model.bin", "`weights.hub.files.1` to be a path in the repository"),
        ("old/model.bin", "/model.bin", "found `/model.bin`"),
        ("old/model.bin", "old//model.bin", "found `old//model.bin`"),
        ("old/model.bin", "model.bin?download=true", "found `model.bin?download=true`"),
        ("\"old/model.bin\"", "'old\\model.bin'", "found `old\\model.bin`"),
        ("old/model.bin", "", "found ``"),
        ("old/model.bin", "model.safetensors", "`weights.hub.files.1` to be every file once"),
        ("google/vit-base", "https://huggingface.co/google/vit-base", "`weights.hub.repo` to be `owner/name`"),
        ("google/vit-base", "../vit-base", "`weights.hub.repo` to be `owner/name`"),
        ("google/vit-base\"", "google/vit-base\"\nrevision = \" \"", "`weights.hub.revision` to be a branch"),
        ("google/vit-base\"", "google/vit-base\"\nrevision = \"../main\"", "commit, found `../main`"),
    ] {
        let (error, _) = project.change(file, from, to);
        assert!(error.contains(file) && error.contains(expected), "{error}\nlacks\n{expected}");
    }
}

#[test]
fn the_manifest_for_own_pictures_in_the_readme_is_one() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let text = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let project = Project::new();
    let pictures = project.0.path().join("pictures");
    for class in ["cats", "dogs"] {
        fs::create_dir_all(pictures.join(class)).unwrap();
        let picture = wider_clip::image::RgbImage::new(3, 3);
        fs::write(pictures.join(class).join("1.png"), wider_clip::images::encode_png(&picture).unwrap()).unwrap();
    }
    let text = text.replace("/home/me/pictures", &pictures.display().to_string());
    fs::write(project.path("datasets/mine.toml"), text).unwrap();
    let manifests = Manifests::load(project.0.path()).unwrap();
    let set =
        wider_clip::datasets::open(project.0.path(), project.0.path(), manifests.dataset("mine").unwrap()).unwrap();
    assert_eq!((set.len(), set.classes), (2, vec!["cats".to_string(), "dogs".to_string()]));
}

#[test]
fn a_suite_says_what_is_fine_tuned() {
    let project = Project::new();
    let file = "suites/smoke.toml";
    let shipped = fs::read_to_string(project.path(file)).unwrap();
    let shipped = shipped.split("[[finetuning]]").next().unwrap();
    let runs = "[[finetuning]]\nmethods = [\"lp_ft\", \"finetune\"]\nmodels = [\"vit_tiny.random\"]\nbudgets = [10, 20]\nseeds = [7]\n";
    let more = "[[finetuning]]\nmethods = [\"wise\"]\nmodels = [\"pixels.raw\"]\ndatasets = [\"icons\"]\nbudgets = [5]\nseeds = [0, 1]\n\
                max_epochs = 3\nrecomputed = true\n";
    fs::write(project.path(file), format!("{shipped}\n{runs}{more}")).unwrap();
    let manifests = Manifests::load(project.0.path()).unwrap();
    let [first, second] = manifests.suite("smoke").unwrap().finetuning.as_slice() else { panic!("two") };
    assert_eq!(first.methods, [Tuning::LpFt, Tuning::Finetune]);
    assert_eq!((first.max_epochs, first.recomputed, first.datasets.len()), (1000, false, 0));
    // A model need not be among the suite's, and all data sets are asked for where none is named.
    assert!(first.asks_for("openemoji", "vit_tiny.random") && first.asks_for("icons", "vit_tiny.random"));
    assert!(!first.asks_for("icons", "pixels.raw"));
    assert!(second.asks_for("icons", "pixels.raw") && !second.asks_for("openemoji", "pixels.raw"));
    assert_eq!((second.max_epochs, second.recomputed), (3, true));
    fs::write(project.path(file), shipped).unwrap();
    assert!(Manifests::load(project.0.path()).unwrap().suite("smoke").unwrap().finetuning.is_empty());

    fs::write(project.path(file), format!("{shipped}\n{runs}max_epochs = 30\n")).unwrap();
    for (from, to, expected) in [
        ("\"lp_ft\"", "\"lpft\"", "`lp_ft`, `wise`, found unknown variant `lpft`"),
        ("\"lp_ft\", ", "\"finetune\", ", "`finetuning.0.methods.1` to be every entry once"),
        ("[\"lp_ft\", \"finetune\"]", "[]", "`finetuning.0.methods` to be at least one entry"),
        ("[\"vit_tiny.random\"]", "[]", "`finetuning.0.models` to be at least one entry"),
        ("[\"vit_tiny.random\"]", "[\"vit\"]", "`finetuning.0.models.0` to be one of beit_b16"),
        ("seeds = [7]", "seeds = [7, 7]", "`finetuning.0.seeds.1` to be every entry once"),
        ("budgets = [10, 20]", "budgets = [20, 10]", "`finetuning.0.budgets` to be ascending numbers above 0"),
        ("budgets = [10, 20]", "budgets = [0, 10]", "`finetuning.0.budgets` to be ascending numbers above 0"),
        (
            "budgets = [10, 20]",
            "budgets = [4294967306]",
            "`finetuning.0.budgets` to be ascending numbers above 0, at most",
        ),
        ("max_epochs = 30", "max_epochs = 0", "`finetuning.0.max_epochs` to be a number above 0, found 0"),
        ("max_epochs = 30", "epochs = 30", "found unknown field `epochs`"),
        (
            "max_epochs = 30",
            "datasets = [\"dtd\"]",
            "`finetuning.0.datasets.0` to be one of the suite's data sets, found `dtd`",
        ),
        ("max_epochs = 30", "datasets = [\"none\"]", "one of the suite's data sets, found `none`"),
    ] {
        let (error, _) = project.change(file, from, to);
        assert!(error.contains(file) && error.contains(expected), "{error}\nlacks\n{expected}");
    }
    // Rows do not say how many epochs they had at most.
    let again = "[[finetuning]]\nmethods = [\"wise\", \"finetune\"]\nmodels = [\"vit_tiny.random\"]\n\
                 datasets = [\"icons\"]\nbudgets = [20]\nseeds = [6, 7]\n";
    let with = |more: &str| fs::write(project.path(file), format!("{shipped}\n{runs}max_epochs = 30\n{more}")).unwrap();
    let expected = "`finetuning.1.max_epochs` to be 30, as in `finetuning.0`, since both ask for `finetune` of \
                    `vit_tiny.random` on `icons` at budget 20 and seed 7, found ";
    for (epochs, found) in [("max_epochs = 31\n", "31"), ("", "1000")] {
        with(&format!("{again}{epochs}"));
        let error = project.error();
        assert!(error.contains(&format!("{expected}{found}")), "{error}");
    }
    // Not the same runs, or the same number.
    for (from, to) in [("[6, 7]", "[6]"), ("\"finetune\"", "\"finetune_tuned\""), ("[20]", "[5]")] {
        with(&again.replace(from, to));
        Manifests::load(project.0.path()).unwrap();
    }
    with(&format!("{again}max_epochs = 30\n"));
    Manifests::load(project.0.path()).unwrap();
    with("");
    let (error, _) = project.change(file, "seeds = [7]\n", "");
    assert!(error.contains("expected key `finetuning.0.seeds`, found no such key"), "{error}");
}

#[test]
fn a_data_set_says_how_its_images_may_be_changed() {
    let project = Project::new();
    let file = "datasets/dtd.toml";
    let shipped = fs::read_to_string(project.path(file)).unwrap();
    let shipped = shipped.split("[augment]").next().unwrap();
    let augment = |text: &str| -> AugmentRecord {
        fs::write(project.path(file), format!("{shipped}\n{text}")).unwrap();
        Manifests::load(project.0.path()).unwrap().dataset("dtd").unwrap().augment.clone()
    };
    assert_eq!(augment(""), AugmentRecord { flips: Vec::new(), colour: false });
    let both = vec![Flip::Horizontal, Flip::Vertical];
    assert_eq!(
        augment("[augment]\nflips = [\"horizontal\", \"vertical\"]\ncolour = true\n"),
        AugmentRecord { flips: both, colour: true }
    );
    for (from, to, expected) in [
        ("\"vertical\"", "\"diagonal\"", "found unknown variant `diagonal`"),
        ("colour = true", "colour = 1", "boolean"),
        ("colour = true", "color = true", "found unknown field `color`"),
    ] {
        let (error, _) = project.change(file, from, to);
        assert!(error.contains(file) && error.contains(expected), "{error}\nlacks\n{expected}");
    }
}

#[test]
fn methods_have_one_name_each() {
    for &method in Tuning::ALL {
        assert_eq!((Tuning::named(method.as_str()), Tuning::known(method.as_str()).unwrap()), (Some(method), method));
        assert!(!method.label().is_empty() && Method::named(method.as_str()).is_none());
    }
    let names: Vec<&str> = Tuning::ALL.iter().map(|method| method.as_str()).collect();
    assert_eq!(names, ["finetune", "finetune_augmented", "finetune_tuned", "lp_ft", "wise"]);
    let error = Tuning::known("fine").unwrap_err().to_string();
    assert_eq!(error, format!("no way to fine-tune is called `fine`; known: {}", names.join(", ")));
}

#[test]
fn a_folder_of_ones_own_is_added_under_a_name_that_is_one() {
    let place = tempfile::tempdir().unwrap();
    let mut manifests = Manifests::load(root()).unwrap();
    let n = manifests.datasets().count();
    let mut add = |name: &str| {
        let folder = place.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let id = manifests.add_folder(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        let record = manifests.dataset(&id).unwrap();
        assert_eq!((&record.id, record.split.rule, record.split.pool.as_str()), (&id, SplitRule::Study, "all"));
        assert!(
            matches!(&record.source, Source::Folder { path, .. } if Path::new(path) == folder.canonicalize().unwrap())
        );
        assert_eq!(record.augment, AugmentRecord::default());
        id
    };
    for (name, id) in [
        ("pictures", "pictures"),
        ("My Photos (2024)", "my_photos__2024_"),
        ("\u{dc}nic\u{f6}de-1.0", "_nic_de-1.0"),
        ("\u{732b}", "_"),
        (".hidden", "hidden"),
        ("..x", "x"),
        ("...", "folder"),
        // The id of a data set that there is; and once more.
        ("icons", "icons_own"),
        ("nested/icons", "icons_own_own"),
        ("line\nbreak", "line_break"),
    ] {
        assert_eq!(add(name), id, "{name:?}");
    }
    assert_eq!(manifests.datasets().count(), n + 10);
    let missing = manifests.add_folder(&place.path().join("missing")).unwrap_err().to_string();
    assert!(missing.contains("missing"), "{missing}");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let folder = place.path().join(std::ffi::OsStr::from_bytes(b"\xff"));
        // Not every file system has such names.
        if fs::create_dir(&folder).is_ok() {
            let error = manifests.add_folder(&folder).unwrap_err().to_string();
            assert!(error.contains("a path in UTF-8"), "{error}");
        }
    }
}
