//! A small project, of one data set and one model, whose manifests are changed one field at a time.

use crate::cases::{Case, DOCUMENTS};
use crate::fields::at;
use polars_io::parquet::write::ParquetWriter;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use wider_clip::experiments::{current_keys, finetuning, representations};
use wider_clip::image::{Rgb, RgbImage};
use wider_clip::images::encode_png;
use wider_clip::polars::prelude::{Column, DataFrame, IntoColumn, StructChunked};
use wider_clip::prelude::{Device, Encoding, Project, Result, ResultRow};
use wider_clip::results::{Cell, Made, Score};

/// Images of the data sets.
const IMAGES: u32 = 120;
pub const COMMIT: &str = "1111111111111111111111111111111111111111";
const OTHER_COMMIT: &str = "2222222222222222222222222222222222222222";

/// What a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Dataset,
    Model,
    Suite,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Dataset => "dataset",
            Kind::Model => "model",
            Kind::Suite => "suite",
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Kind::Dataset => "datasets",
            Kind::Model => "models",
            Kind::Suite => "suites",
        }
    }
}

/// What decides features, rows, and which cells there are.
#[derive(Debug, Clone, PartialEq)]
pub struct Keys {
    pub features: String,
    pub rows: String,
    pub cells: Vec<String>,
    /// Keys of all runs of fine-tuning.
    pub tuned: BTreeSet<String>,
}

/// The project.
pub struct World {
    folder: PathBuf,
    _own: Option<tempfile::TempDir>,
    /// The document that is changed.
    document: Option<(Kind, toml::Table)>,
}

fn drawing(i: u32) -> Vec<u8> {
    let (class, mark) = (i % 2, i % 3);
    let image = RgbImage::from_fn(8, 8, |x, y| {
        Rgb([(i * 2 + x * 20 * class) as u8, (y * 30 + mark * 11) as u8, (i * 7) as u8])
    });
    encode_png(&image).expect("encodes")
}

/// The table of the archive: each column has another beside it that says otherwise.
fn table(twist: u32) -> String {
    let mut table =
        String::from("file,other,kind,mark,thing,trait,style,place,called,named,said,season,era,day,date\n");
    for i in 0..IMAGES {
        let (kind, mark, other) = (i % 2, (i + twist) % 3, IMAGES - 1 - i);
        // A group is of one kind and of one mark.
        let (thing, of_trait) = (format!("{}-{}", i % 6, i / 24), format!("{}-{}", i % 6, i / 48));
        let (style, place) = (if i % 5 == 0 { "wild" } else { "tidy" }, if i % 7 == 0 { "wild" } else { "tidy" });
        let (season, era) = (if i % 12 == 11 { "wet" } else { "dry" }, if i % 12 < 2 { "wet" } else { "dry" });
        let (day, date) = (1 + i % 28, 1 + (i / 2) % 28);
        table.push_str(&format!(
            "{i}.png,{other}.png,{kind},{mark},t{thing},r{of_trait},{style},{place},c{i},n{i},s{i},{season},{era},\
             2020-01-{day:02},2020-01-{date:02}\n"
        ));
    }
    table
}

fn archive(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, bytes.as_slice()).expect("writes");
    }
    archive.into_inner().expect("ends")
}

/// Rows of images in Parquet as the hub has them; `night` holds other pictures than `image`.
fn parquet(path: &Path, from: u32) {
    let rows: Vec<u32> = (from..from + IMAGES).collect();
    let image = |name: &str, of: fn(u32) -> u32| {
        let bytes: Vec<Vec<u8>> = rows.iter().map(|&i| drawing(of(i))).collect();
        let paths: Vec<String> = rows.iter().map(|i| format!("{name}-{i}.png")).collect();
        let fields = [Column::new("bytes".into(), bytes), Column::new("path".into(), paths)];
        StructChunked::from_columns(name.into(), rows.len(), &fields).expect("a struct").into_column()
    };
    let text = |name: &str, of: &dyn Fn(u32) -> String| {
        Column::new(name.into(), rows.iter().map(|&i| of(i)).collect::<Vec<_>>())
    };
    let columns = vec![
        image("image", |i| i),
        image("night", |i| i * 3 + 1),
        text("kind", &|i| format!("k{}", i % 2)),
        text("mark", &|i| format!("m{}", i % 3)),
    ];
    let mut frame = DataFrame::new_infer_height(columns).expect("a table");
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
    let file = fs::File::create(path).expect("creates");
    ParquetWriter::new(file).finish(&mut frame).expect("writes");
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("makes");
    fs::write(path, bytes).expect("writes");
}

impl World {
    /// Makes all data that the documents name.
    pub fn new() -> World {
        let own = tempfile::tempdir().expect("a folder");
        let folder = own.path().to_path_buf();
        let embedded = folder.join("data_manifests/embedded");
        for kind in ["datasets", "models", "suites"] {
            fs::create_dir_all(folder.join("data_manifests").join(kind)).expect("makes");
        }
        // Class folders, as an archive and as a folder of one's own.
        let class = |i: u32| if i.is_multiple_of(2) { "even" } else { "odd" };
        let files: Vec<(String, Vec<u8>)> = (0..IMAGES)
            .flat_map(|i| [(format!("{i}.png"), drawing(i)), (format!("drawings/{}/{i}.png", class(i)), drawing(i))])
            .chain((0..IMAGES).map(|i| (format!("sketches/{}/{i}.png", class(i)), drawing(i + 500))))
            .collect();
        let mut all = files.clone();
        let list =
            |of: &dyn Fn(u32) -> bool| (0..IMAGES).filter(|&i| of(i)).map(|i| format!("{i}.png\n")).collect::<String>();
        all.push(("early.txt".into(), list(&|i| i < 90).into_bytes()));
        all.push(("late.txt".into(), list(&|i| i >= 90).into_bytes()));
        all.push(("some.txt".into(), list(&|i| i >= 80).into_bytes()));
        let lines = |of: &dyn Fn(u32) -> String, which: &dyn Fn(u32) -> bool| {
            (0..IMAGES).filter(|&i| which(i)).map(|i| of(i) + "\n").collect::<String>()
        };
        all.push(("spaced.txt".into(), lines(&|i| format!("{}/{i} {}", class(i), i % 2), &|_| true).into_bytes()));
        all.push((
            "spaced_some.txt".into(),
            lines(&|i| format!("{}/{i} {}", class(i), i % 2), &|i| i < 100).into_bytes(),
        ));
        all.push(("order.txt".into(), b"1\n0\n".to_vec()));
        all.push(("same_order.txt".into(), b"0\n1\n".to_vec()));
        all.push(("areas.csv".into(), b"style,area,alias\nwild,wild,tidy\n".to_vec()));
        all.push(("other_areas.csv".into(), b"style,area,alias\ntidy,wild,wild\n".to_vec()));
        let downloads = folder.join("downloads");
        write(&downloads.join("images.tar"), archive(&all));
        write(&downloads.join("table.csv"), table(0));
        write(&downloads.join("second.csv"), table(1));
        for (name, bytes) in files.iter().filter(|(name, _)| name.contains('/')) {
            write(&folder.join(name), bytes);
        }
        for (name, pictures) in [("one.csv", "drawings"), ("two.csv", "sketches")] {
            let mut rows = String::from("file,kind,season,era\n");
            for i in 0..IMAGES {
                let part = |wet: bool| if wet { "wet" } else { "dry" };
                let (season, era) = (part(i % 12 >= 10), part(i % 12 < 2));
                rows.push_str(&format!("../{pictures}/{}/{i}.png,{},{season},{era}\n", class(i), i % 2));
            }
            write(&folder.join("tables").join(name), rows);
        }
        parquet(&embedded.join("pictures.parquet"), 0);
        parquet(&embedded.join("others.parquet"), 200);
        for (name, commit, from) in [("main", COMMIT, 0), ("next", OTHER_COMMIT, 200)] {
            for (repo, add) in [("datasets--somebody--pictures", 0), ("datasets--else--pictures", 400)] {
                let repository = folder.join("hub-home/hub").join(repo);
                parquet(&repository.join("snapshots").join(commit).join("data/train.parquet"), from + add);
                parquet(&repository.join("snapshots").join(commit).join("data/more.parquet"), from + add + 1000);
                write(&repository.join("refs").join(name), commit);
            }
            for (repo, add) in [("models--somebody--weights", 0u8), ("models--else--weights", 7)] {
                let repository = folder.join("hub-home/hub").join(repo);
                let weights = |add: u8| vec![name.as_bytes()[0], add, 1, 2, 3];
                write(&repository.join("snapshots").join(commit).join("model.safetensors"), weights(add));
                write(&repository.join("snapshots").join(commit).join("other.safetensors"), weights(add + 1));
                write(&repository.join("refs").join(name), commit);
            }
        }
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("data_manifests/embedded/pocket");
        for file in ["clip.safetensors", "clip_text.safetensors", "clip_pairs.txt", "clip_kinds.txt"] {
            write(&embedded.join("pocket").join(file), fs::read(shipped.join(file)).expect("ships"));
        }
        let pairs = fs::read_to_string(shipped.join("clip_pairs.txt")).expect("ships");
        let fewer: Vec<&str> = pairs.lines().collect();
        write(&embedded.join("pocket/fewer_pairs.txt"), fewer[..fewer.len() - 1].join("\n") + "\n");
        World { folder, _own: Some(own), document: None }
    }

    /// The project of one document, in a folder that [`World::new`] has filled.
    pub fn with_document(folder: &Path, name: &str) -> World {
        let (_, kind, text) = DOCUMENTS.iter().find(|(known, _, _)| *known == name).expect("a document");
        let document: toml::Table = toml::from_str(text).expect("TOML");
        let world = World { folder: folder.into(), _own: None, document: Some((*kind, document)) };
        world.restore();
        world
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes the project's manifests, all as they are in the documents, and puts downloads where a refusal has removed them.
    pub fn restore(&self) {
        let (_, document) = self.document.as_ref().expect("a document");
        let archive = self.folder.join("cache/archives").join(document["id"].as_str().expect("an id"));
        drop(fs::remove_dir_all(&archive));
        if document.get("source").is_some_and(|source| source.get("archive").is_some()) {
            for file in ["images.tar", "table.csv", "second.csv"] {
                write(&archive.join(file), fs::read(self.folder.join("downloads").join(file)).expect("reads"));
                // As if it had been fetched.
                write(&archive.join(format!("{file}.from")), format!("http://127.0.0.1:9/{file}"));
            }
        }
        self.put(&self.document.as_ref().expect("a document").1);
    }

    /// Writes them with a change.
    pub fn change(&self, case: &Case) {
        let mut changed = self.document.as_ref().expect("a document").1.clone();
        for (path, value) in case.changes {
            let path: Vec<String> = path.split('.').map(String::from).collect();
            let value: toml::Table = toml::from_str(&format!("value = {value}")).expect("a value");
            let (last, above) = path.split_last().expect("a path");
            let value = value["value"].clone();
            match above {
                [] => drop(changed.insert(last.clone(), value)),
                _ => match at(&mut changed, above) {
                    toml::Value::Table(table) => drop(table.insert(last.clone(), value)),
                    toml::Value::Array(list) => list[last.parse::<usize>().expect("a position")] = value,
                    other => panic!("{last} in {other}"),
                },
            }
        }
        self.put(&changed);
    }

    fn put(&self, document: &toml::Table) {
        let manifests = self.folder.join("data_manifests");
        for kind in [Kind::Dataset, Kind::Model, Kind::Suite] {
            fs::remove_dir_all(manifests.join(kind.folder())).expect("removes");
            fs::create_dir_all(manifests.join(kind.folder())).expect("makes");
        }
        let kind = self.document.as_ref().expect("a document").0;
        let named = |name: &str| -> toml::Table {
            toml::from_str(DOCUMENTS.iter().find(|(known, _, _)| *known == name).expect("a document").2).expect("TOML")
        };
        let (mut dataset, mut model) = (named("folder"), named("pixels"));
        let mut suite = named("suite");
        match kind {
            Kind::Dataset => dataset = document.clone(),
            Kind::Model => model = document.clone(),
            Kind::Suite => suite = document.clone(),
        }
        let id = |table: &toml::Table| table["id"].as_str().expect("an id").to_string();
        if kind == Kind::Dataset && dataset["id"].as_str() == Some("mirrored") {
            let mut runs = named("tuned")["finetuning"].clone();
            runs[0]["methods"] = vec!["finetune_augmented"].into();
            runs[0]["datasets"] = toml::Value::Array(Vec::new());
            suite.insert("finetuning".into(), runs);
        }
        if kind != Kind::Suite {
            suite.insert("datasets".into(), vec![id(&dataset)].into());
            suite.insert("models".into(), vec![id(&model)].into());
            suite.insert("recomputed".into(), toml::Value::Array(Vec::new()));
        }
        if kind == Kind::Model && model.contains_key("weights") && model["weights"].get("embedded").is_some() {
            suite.insert("methods".into(), vec!["knn", "zero_shot"].into());
        }
        for (kind, table) in [(Kind::Dataset, dataset), (Kind::Model, model), (Kind::Suite, suite)] {
            let path = manifests.join(kind.folder()).join(format!("{}.toml", id(&table)));
            write(&path, toml::to_string(&table).expect("TOML"));
        }
        // What else a suite may ask for.
        for (kind, name) in [(Kind::Dataset, "pictures"), (Kind::Model, "random"), (Kind::Model, "pocket")] {
            let path = manifests.join(kind.folder()).join(format!("{}.toml", id(&named(name))));
            if !path.exists() {
                write(&path, toml::to_string(&named(name)).expect("TOML"));
            }
        }
        // The suite as it would be if it fine-tuned nothing.
        let path = manifests.join("suites/default.toml");
        if let Ok(text) = fs::read_to_string(&path) {
            let mut without: toml::Table = toml::from_str(&text).expect("TOML");
            without.remove("finetuning");
            without.insert("id".into(), "without".into());
            write(&path.with_file_name("without.toml"), toml::to_string(&without).expect("TOML"));
        }
    }

    /// Keys of all runs of fine-tuning that the suite asks for.
    fn tuned(&self, project: &Project) -> Result<BTreeSet<String>> {
        let suite = project.suite()?;
        let row = |dataset: &String, model: &String| {
            let cell = Cell {
                table: finetuning::NAME.into(),
                dataset: dataset.clone(),
                model: model.clone(),
                method: String::new(),
                budget: None,
                seed: 0,
                pooling: String::new(),
                protocol: String::new(),
                subset: String::new(),
                device: String::new(),
                key: String::new(),
            };
            let score = Score {
                split: String::new(),
                metric: String::new(),
                value: None,
                n_train: 0,
                n_test: 0,
                warning: String::new(),
                weights: String::new(),
            };
            ResultRow::new(cell, score, Made::here())
        };
        let models: BTreeSet<&String> = suite.finetuning.iter().flat_map(|runs| &runs.models).collect();
        let rows: Vec<ResultRow> =
            suite.datasets.iter().flat_map(|dataset| models.iter().map(|model| row(dataset, model))).collect();
        let without = Project::open(&self.folder, "without")?.with_cache(project.cache());
        let others = current_keys(&without, &rows, &Device::Cpu)?;
        Ok(current_keys(project, &rows, &Device::Cpu)?.into_iter().filter(|key| !others.contains(key)).collect())
    }

    fn project(&self) -> Result<Project> {
        Ok(Project::open(&self.folder, "default")?.with_cache(self.folder.join("cache")))
    }

    /// The keys of today.
    pub fn keys(&self) -> Result<Keys> {
        let project = self.project()?;
        let suite = project.suite()?;
        let (dataset, model) = (&suite.datasets[0], &suite.models[0]);
        let set = project.images(dataset)?;
        let encoding = Encoding::of(&project, &set, model, &Device::Cpu)?;
        let mut rows = Vec::new();
        for &method in &suite.methods {
            let of = (method, suite.budgets[0] as u32, suite.seeds[0]);
            rows.push(representations::key(&project, dataset, model, of, &Device::Cpu)?.digest());
        }
        let mut cells = Vec::new();
        for dataset in &suite.datasets {
            for model in &suite.models {
                for method in &suite.methods {
                    cells.push(format!("{dataset} {model} {} {:?} {:?}", method.as_str(), suite.budgets, suite.seeds));
                }
            }
        }
        // Under which id does not matter to a number.
        let cells = if matches!(self.document, Some((Kind::Suite, _))) { cells } else { Vec::new() };
        let rows = if cells.is_empty() { rows.join(" ") } else { rows[0].clone() };
        Ok(Keys { features: encoding.features_key().digest(), rows, cells, tuned: self.tuned(&project)? })
    }

    /// All numbers of the suite, computed from nothing; to the last bit. Nothing for weights that are no model.
    pub fn numbers(&self) -> Vec<String> {
        for folder in ["results", "cache/features"] {
            drop(fs::remove_dir_all(self.folder.join(folder)));
        }
        if self.document.as_ref().is_some_and(|(_, document)| document["id"].as_str() == Some("weights.hub")) {
            return Vec::new();
        }
        let project = self.project().expect("opens");
        let mut rows = representations::run(&project, &Device::Cpu).expect("runs");
        assert!(!rows.is_empty());
        let tuned = finetuning::run(&project, &Device::Cpu).expect("runs");
        let asks = !project.suite().expect("a suite").finetuning.is_empty();
        assert_eq!(tuned.is_empty(), !asks);
        rows.extend(tuned);
        let number = |row: &ResultRow| {
            let cell = &row.cell;
            let value = row.value.map(f64::to_bits);
            format!(
                "{} {} {:?} {} {} {} {} {value:?}",
                cell.method, cell.protocol, cell.budget, cell.seed, row.split, row.metric, row.weights
            )
        };
        rows.iter().map(number).collect()
    }
}
