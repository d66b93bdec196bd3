//! The documents, which together have every field that a record may have, and for each field a change with what it does.

use crate::world::Kind;

/// What a change does.
#[derive(Debug)]
pub enum Effect {
    /// Other features, and so other rows.
    Features,
    /// The same features, other rows.
    Rows,
    /// The same numbers; others are asked for.
    Cells,
    /// It is held against the data, and refused.
    Refused,
    /// No number changes, for this reason: they are computed again to show it.
    Nothing(&'static str),
}

impl Effect {
    pub fn same(&self, other: &Effect) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// A change of some fields of a document, the first of which is the one that is told of.
pub struct Case {
    pub document: &'static str,
    pub changes: &'static [(&'static str, &'static str)],
    pub effect: Effect,
}

impl Case {
    pub fn kind(&self) -> Kind {
        DOCUMENTS.iter().find(|(name, _, _)| *name == self.document).expect("a document").1
    }

    /// The field, list positions left out; keys that are data are `*`.
    pub fn field(&self) -> String {
        const DATA: [&str; 4] = [
            "split.per_class",
            "source.archive.layout.class_folders.lists",
            "source.archive.layout.lists.lists",
            "source.hub.files",
        ];
        let path = self.changes[0].0;
        match DATA.iter().find(|table| path.starts_with(&format!("{table}."))) {
            Some(table) => format!("{table}.*"),
            None => path.split('.').filter(|part| part.parse::<usize>().is_err()).collect::<Vec<_>>().join("."),
        }
    }
}

/// Enums in records, each with a document that names a variant that is none, and the variants that there are.
pub const VARIANTS: &[(&str, Kind, &str)] = &[
    (
        "id = \"a\"\nname = \"a\"\ndescription = \"a\"\nlicence = \"a\"\nhomepage = \"a\"\ncitation = \"a\"\n[source.zzz]",
        Kind::Dataset,
        "embedded, hub, archive, folder, parquet",
    ),
    ("[source.archive]\ndownloads = []\n[source.archive.layout.zzz]", Kind::Dataset, "class_folders, table, lists"),
    ("[weights.zzz]", Kind::Model, "embedded, hub, random, none"),
];

/// Every document: its name, what it describes, and its text.
pub const DOCUMENTS: &[(&str, Kind, &str)] = &[
    ("drawn", Kind::Dataset, DRAWN),
    ("official", Kind::Dataset, OFFICIAL),
    ("classed", Kind::Dataset, CLASSED),
    ("listed", Kind::Dataset, LISTED),
    ("folder", Kind::Dataset, FOLDER),
    ("tabled", Kind::Dataset, TABLED),
    ("shards", Kind::Dataset, SHARDS),
    ("pictures", Kind::Dataset, PICTURES),
    ("hub", Kind::Dataset, HUB),
    ("pixels", Kind::Model, PIXELS),
    ("clip", Kind::Model, CLIP),
    ("weights", Kind::Model, WEIGHTS),
    ("random", Kind::Model, RANDOM),
    ("suite", Kind::Suite, SUITE),
    ("mirrored", Kind::Dataset, MIRRORED),
    ("pocket", Kind::Model, POCKET),
    ("tuned", Kind::Suite, TUNED),
];

const DRAWN: &str = r#"
id = "drawn"
name = "Drawn"
description = "Made by a test."
licence = "MIT"
homepage = "none"
citation = "this test"
published_as = "dtd"
notes = "None."
[[source.archive.downloads]]
url = "http://127.0.0.1:9/images.tar"
file = "images.tar"
[[source.archive.downloads]]
url = "http://127.0.0.1:9/table.csv"
[[source.archive.downloads]]
url = "http://127.0.0.1:9/second.csv"
[source.archive.layout.table]
table = "table.csv"
image = "{file}"
[[source.archive.layout.table.parts]]
name = "train"
column = "season"
value = "dry"
time_column = "day"
from = "2020-01-03"
until = "2020-01-28"
[[source.archive.layout.table.lookups]]
column = "area"
from = "style"
table = "areas.csv"
key = "style"
value = "area"
otherwise = "tidy"
[columns]
image = "file"
label = "kind"
group = "thing"
domain = "area"
name = "called"
time = "day"
caption = "said"
[split]
pool = "train"
total = 98
classes = 2
rule = "study_grouped"
ood_domains = ["wild"]
budgets = [10]
"#;

const OFFICIAL: &str = r#"
id = "official"
name = "Official parts"
description = "Made by a test."
licence = "MIT"
homepage = "none"
citation = "this test"
[[source.archive.downloads]]
url = "http://127.0.0.1:9/images.tar"
[[source.archive.downloads]]
url = "http://127.0.0.1:9/table.csv"
[source.archive.layout.table]
table = "table.csv"
image = "{file}"
[[source.archive.layout.table.parts]]
name = "rest"
column = "era"
value = "dry"
time_column = "day"
until = "2020-01-10"
[[source.archive.layout.table.parts]]
name = "early"
column = "era"
value = "dry"
time_column = "day"
from = "2020-01-10"
until = "2020-01-14"
[[source.archive.layout.table.parts]]
name = "middle"
column = "era"
value = "dry"
time_column = "day"
from = "2020-01-14"
until = "2020-01-21"
[[source.archive.layout.table.parts]]
name = "late"
column = "era"
value = "dry"
time_column = "day"
from = "2020-01-21"
[[source.archive.layout.table.parts]]
name = "wet"
column = "era"
value = "wet"
[columns]
image = "file"
label = "kind"
[split]
pool = "rest"
total = 37
classes = 2
rule = "study_capped"
budgets = [10]
val = { name = "early", total = 13 }
id_test = { name = "middle", total = 24 }
ood_test = { name = "late", total = 26 }
"#;

const CLASSED: &str = r#"
id = "classed"
name = "Class folders"
description = "Made by a test."
licence = "MIT"
homepage = "none"
citation = "this test"
[[source.archive.downloads]]
url = "http://127.0.0.1:9/images.tar"
[source.archive.layout.class_folders]
root = "drawings"
lists = { train = "early.txt", late = "late.txt" }
[columns]
image = "image"
label = "label"
[split]
pool = "train"
total = 90
classes = 2
smallest_class = 45
per_class = 45
rule = "study"
budgets = [10]
"#;

const LISTED: &str = r#"
id = "listed"
name = "Lists"
description = "Made by a test."
licence = "MIT"
homepage = "none"
citation = "this test"
[[source.archive.downloads]]
url = "http://127.0.0.1:9/images.tar"
[source.archive.layout.lists]
images = "drawings"
suffix = ".png"
lists = { all = "spaced.txt" }
label = "after_space"
classes = "order.txt"
[columns]
image = "image"
label = "label"
[split]
pool = "all"
total = 120
classes = 2
rule = "study"
budgets = [10]
[split.per_class]
0 = 60
1 = 60
"#;

const FOLDER: &str = r#"
id = "folder"
name = "Folder"
description = "Made by a test."
licence = "MIT"
homepage = "none"
citation = "this test"
[source.folder]
path = "drawings"
[columns]
image = "image"
label = "label"
[split]
pool = "all"
total = 120
classes = 2
rule = "study"
budgets = [10]
"#;

const PICTURES: &str = r#"
id = "pictures"
name = "Pictures"
description = "Made by a test."
licence = "MIT"
homepage = "none"
citation = "this test"
[source.embedded]
files = ["pictures.parquet"]
[columns]
image = "image"
label = "kind"
[split]
pool = "all"
total = 120
classes = 2
rule = "study"
budgets = [10]
"#;

const HUB: &str = r#"
id = "hub"
name = "Hub"
description = "Made by a test."
licence = "MIT"
homepage = "none"
citation = "this test"
[source.hub]
repo = "somebody/pictures"
revision = "main"
files = { train = ["data/train.parquet"] }
[columns]
image = "image"
label = "kind"
[split]
pool = "train"
total = 120
classes = 2
rule = "study"
budgets = [10]
"#;

const PIXELS: &str = r##"
id = "pixels.raw"
name = "Raw pixels"
family = "pixels"
architecture = "pixels"
published_as = "CLIP"
licence = "MIT OR Apache-2.0"
papers = []
params = 1
weights = "none"
notes = "A control."
[input]
size = 16
crop_pct = 1.0
resize = "squash"
interpolation = "bilinear"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[features]
default = "pixels"
dim = 768
[look]
colour = "#404040"
marker = "circle"
dash = "dot"
"##;

const CLIP: &str = r#"
id = "clip_pocket.icons"
name = "Pocket CLIP"
family = "clip"
architecture = "clip_pocket"
licence = "MIT OR Apache-2.0"
papers = []
[weights.embedded]
file = "pocket/clip.safetensors"
sha256 = "4d5f575259b173680a472d7405df479d6cd08f980af00452c5ebe003cf93824e"
[weights.embedded.text]
file = "pocket/clip_text.safetensors"
sha256 = "d72fbc43068bd08ae7c56d8cb85b7c9a8ca37df75c943c4077e9b59ff0bba515"
pairs = "pocket/clip_pairs.txt"
templates = ["{}"]
kinds = "pocket/clip_kinds.txt"
[input]
size = 48
crop_pct = 1.0
resize = "shorter"
interpolation = "bicubic"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[features]
default = "patches"
dim = 4608
also = ["grid_mean", "cls", "patch_mean"]
"#;

const WEIGHTS: &str = r#"
id = "weights.hub"
name = "Weights of the hub"
family = "vit"
architecture = "vit_tiny_patch8_64"
licence = "MIT"
papers = []
[weights.hub]
repo = "somebody/weights"
revision = "main"
files = ["model.safetensors", "other.safetensors"]
[input]
size = 64
crop_pct = 1.0
resize = "shorter"
interpolation = "bicubic"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[features]
default = "cls"
dim = 192
"#;

const RANDOM: &str = r#"
id = "vit.random"
name = "Random"
family = "vit"
architecture = "vit_tiny_patch16_64"
licence = "MIT"
papers = []
[weights.random]
seed = 0
of_training = false
[input]
size = 64
crop_pct = 1.0
resize = "shorter"
interpolation = "bicubic"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[features]
default = "cls"
dim = 192
"#;

const SUITE: &str = r#"
id = "default"
description = "A test's."
datasets = ["folder"]
models = ["pixels.raw"]
methods = ["knn"]
budgets = [10]
seeds = [0]
recomputed = ["pixels.raw"]
note = "None."
"#;

/// A reader's own table of paths.
const TABLED: &str = r#"
id = "tabled"
[source.folder]
path = "tables"
tables = ["one.csv"]
[columns]
image = "file"
label = "kind"
split = "season"
[split]
pool = "dry"
rule = "study_capped"
id_test = { name = "wet" }
"#;

/// A reader's own Parquet files.
const SHARDS: &str = r#"
id = "shards"
[source.parquet]
files = ["data_manifests/embedded/pictures.parquet"]
[columns]
image = "image"
label = "kind"
"#;

/// What its suite fine-tunes stands in `world.rs`.
const MIRRORED: &str = r#"
id = "mirrored"
[source.folder]
path = "drawings"
[augment]
flips = ["horizontal"]
colour = false
"#;

/// Small enough to be trained.
const POCKET: &str = r#"
id = "pocket.random"
name = "Pocket, random"
family = "vit"
architecture = "vit_pocket_patch16_48"
licence = "MIT"
papers = []
[weights.random]
seed = 0
of_training = true
[input]
size = 48
crop_pct = 1.0
resize = "shorter"
interpolation = "bicubic"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[features]
default = "cls"
dim = 128
"#;

const TUNED: &str = r#"
id = "default"
description = "A test's."
datasets = ["folder", "pictures"]
models = ["pixels.raw"]
methods = ["knn"]
budgets = [10]
seeds = [0]
[[finetuning]]
methods = ["lp_ft"]
models = ["pocket.random"]
datasets = ["folder"]
budgets = [10]
seeds = [0]
max_epochs = 1
recomputed = false
"#;

/// A case in one line.
const fn case(document: &'static str, changes: &'static [(&'static str, &'static str)], effect: Effect) -> Case {
    Case { document, changes, effect }
}

const TOLD: Effect = Effect::Nothing("held against the data; what differs is told");
const WORDS: Effect = Effect::Nothing("words for the reader");

/// Every field with a change.
pub const CASES: &[Case] = &[
    case("drawn", &[("id", "\"other\"")], Effect::Refused), // Its downloads are not there under another name.
    case("folder", &[("id", "\"other\"")], Effect::Nothing("a name to keep rows under")),
    case("drawn", &[("name", "\"Other\"")], WORDS),
    case("drawn", &[("description", "\"Other\"")], WORDS),
    case("drawn", &[("licence", "\"Other\"")], WORDS),
    case("drawn", &[("homepage", "\"Other\"")], WORDS),
    case("drawn", &[("citation", "\"Other\"")], WORDS),
    case("drawn", &[("published_as", "\"food101\"")], Effect::Nothing("which published rows stand beside it")),
    case("drawn", &[("notes", "\"Other\"")], WORDS),
    case("drawn", &[("source.archive.downloads.0.url", "\"http://127.0.0.1:9/v2/images.tar\"")], Effect::Refused),
    case("drawn", &[("source.archive.downloads.1.file", "\"other.csv\"")], Effect::Refused),
    case("drawn", &[("source.archive.downloads.0.md5", "\"00000000000000000000000000000000\"")], Effect::Refused),
    case(
        "drawn",
        &[(
            "source.archive.downloads.0.sha256",
            "\"0000000000000000000000000000000000000000000000000000000000000000\"",
        )],
        Effect::Refused,
    ),
    case("drawn", &[("source.archive.downloads.0.size", "7")], Effect::Refused),
    case(
        "drawn",
        &[
            ("source.archive.layout.table.table", "\"second.csv\""),
            ("columns.label", "\"mark\""),
            ("split.classes", "3"),
        ],
        Effect::Features,
    ),
    case("drawn", &[("source.archive.layout.table.image", "\"{other}\"")], Effect::Features),
    case(
        "drawn",
        &[("source.archive.layout.table.parts.0.name", "\"learn\""), ("split.pool", "\"learn\"")],
        Effect::Rows,
    ),
    case(
        "drawn",
        &[("source.archive.layout.table.parts.0.column", "\"era\""), ("split.total", "90")],
        Effect::Features,
    ),
    case("drawn", &[("source.archive.layout.table.parts.0.value", "\"wet\"")], Effect::Features),
    case(
        "drawn",
        &[("source.archive.layout.table.parts.0.time_column", "\"date\""), ("split.total", "98")],
        Effect::Features,
    ),
    case(
        "drawn",
        &[("source.archive.layout.table.parts.0.from", "\"2020-01-05\""), ("split.total", "90")],
        Effect::Features,
    ),
    case(
        "drawn",
        &[("source.archive.layout.table.parts.0.until", "\"2020-01-26\""), ("split.total", "90")],
        Effect::Features,
    ),
    case(
        "drawn",
        &[("source.archive.layout.table.lookups.0.column", "\"region\""), ("columns.domain", "\"region\"")],
        Effect::Nothing("a name inside the record"),
    ),
    case("drawn", &[("source.archive.layout.table.lookups.0.from", "\"place\"")], Effect::Rows),
    case("drawn", &[("source.archive.layout.table.lookups.0.table", "\"other_areas.csv\"")], Effect::Rows),
    case("drawn", &[("source.archive.layout.table.lookups.0.key", "\"alias\"")], Effect::Rows),
    case("drawn", &[("source.archive.layout.table.lookups.0.value", "\"alias\"")], Effect::Rows),
    case("drawn", &[("source.archive.layout.table.lookups.0.otherwise", "\"calm\"")], Effect::Rows),
    case("drawn", &[("columns.image", "\"other\"")], Effect::Nothing("a table's `image` pattern names the file")),
    case("drawn", &[("columns.label", "\"mark\""), ("split.classes", "3")], Effect::Features),
    case("drawn", &[("columns.group", "\"trait\"")], Effect::Rows),
    case("drawn", &[("columns.domain", "\"place\"")], Effect::Rows),
    case("drawn", &[("columns.name", "\"named\"")], WORDS),
    case(
        "drawn",
        &[("columns.time", "\"date\"")],
        Effect::Nothing("drift is told by year beside the rows, and no row is of a year"),
    ),
    case("drawn", &[("columns.caption", "\"called\"")], WORDS),
    case("drawn", &[("split.ood_domains", "[\"tidy\"]")], Effect::Rows),
    case("drawn", &[("split.rule", "\"study\"")], Effect::Rows),
    case(
        "drawn",
        &[("split.budgets", "[10, 100]")],
        Effect::Nothing("the study's budgets, for its tables; a suite has its own"),
    ),
    case("official", &[("split.pool", "\"wet\""), ("split.total", "20")], Effect::Rows),
    case("official", &[("split.val", "{ name = \"wet\", total = 20 }")], Effect::Rows),
    case("official", &[("split.val.name", "\"wet\""), ("split.val.total", "20")], Effect::Rows),
    case("official", &[("split.id_test", "{ name = \"wet\", total = 20 }")], Effect::Rows),
    case("official", &[("split.id_test.name", "\"wet\""), ("split.id_test.total", "20")], Effect::Rows),
    case("official", &[("split.ood_test", "{ name = \"wet\", total = 20 }")], Effect::Rows),
    case("official", &[("split.ood_test.name", "\"wet\""), ("split.ood_test.total", "20")], Effect::Rows),
    case("official", &[("split.val.total", "16")], TOLD),
    case("official", &[("split.id_test.total", "16")], TOLD),
    case("official", &[("split.ood_test.total", "16")], TOLD),
    case("classed", &[("source.archive.layout.class_folders.root", "\"sketches\"")], Effect::Features),
    case("classed", &[("source.archive.layout.class_folders.lists.late", "\"some.txt\"")], Effect::Refused),
    case("classed", &[("split.total", "91")], Effect::Refused),
    case("classed", &[("split.classes", "3")], Effect::Refused),
    case("classed", &[("split.smallest_class", "40")], TOLD),
    case("classed", &[("split.per_class", "44")], Effect::Refused),
    case(
        "classed",
        &[("split.balance", "40"), ("split.total", "80"), ("split.smallest_class", "40"), ("split.per_class", "40")],
        Effect::Rows,
    ),
    case("listed", &[("source.archive.layout.lists.images", "\"sketches\"")], Effect::Features),
    case("listed", &[("source.archive.layout.lists.suffix", "\".jpg\"")], Effect::Refused),
    case(
        "listed",
        &[
            ("source.archive.layout.lists.lists.all", "\"spaced_some.txt\""),
            ("split.total", "100"),
            ("split.per_class", "50"),
        ],
        Effect::Features,
    ),
    case(
        "listed",
        &[("source.archive.layout.lists.label", "\"folder\""), ("source.archive.layout.lists.suffix", "\"\"")],
        Effect::Refused,
    ),
    case("listed", &[("source.archive.layout.lists.classes", "\"same_order.txt\"")], Effect::Rows),
    case("listed", &[("split.per_class.0", "59")], Effect::Refused),
    case("folder", &[("bands", "[3, 2, 1]")], Effect::Features),
    case("folder", &[("range", "[0, 100]")], Effect::Features),
    case("folder", &[("source.folder.path", "\"sketches\"")], Effect::Features),
    case("tabled", &[("source.folder.tables", "[\"two.csv\"]")], Effect::Features),
    case("tabled", &[("columns.split", "\"era\"")], Effect::Rows),
    case("shards", &[("source.parquet.files", "[\"data_manifests/embedded/others.parquet\"]")], Effect::Features),
    case("pictures", &[("source.embedded.files", "[\"others.parquet\"]")], Effect::Features),
    case("pictures", &[("columns.image", "\"night\"")], Effect::Features),
    case("pictures", &[("columns.label", "\"mark\""), ("split.classes", "3")], Effect::Rows),
    case("hub", &[("source.hub.repo", "\"else/pictures\"")], Effect::Features),
    case("hub", &[("source.hub.revision", "\"next\"")], Effect::Features),
    case("hub", &[("source.hub.files.train", "[\"data/more.parquet\"]")], Effect::Features),
    case("pixels", &[("id", "\"other.raw\"")], Effect::Nothing("a name to keep rows under")),
    case("pixels", &[("name", "\"Other\"")], WORDS),
    case(
        "pixels",
        &[("family", "\"vit\"")],
        Effect::Nothing("a word in tables; in f32 the architecture is all that is built"),
    ),
    case("pixels", &[("published_as", "\"DINO\"")], Effect::Nothing("which published rows stand beside it")),
    case("pixels", &[("licence", "\"Other\"")], WORDS),
    case("pixels", &[("papers", "[\"Other\"]")], WORDS),
    case("pixels", &[("params", "2")], WORDS),
    case("pixels", &[("notes", "\"Other\"")], WORDS),
    case("pixels", &[("weights", "{ random = { seed = 0 } }")], Effect::Features),
    case("pixels", &[("input.size", "8"), ("features.dim", "192")], Effect::Features),
    case("pixels", &[("input.crop_pct", "0.5")], Effect::Features),
    case("pixels", &[("input.resize", "\"shorter\"")], Effect::Features),
    case("pixels", &[("input.interpolation", "\"bicubic\"")], Effect::Features),
    case("pixels", &[("input.mean", "[0.5, 0.5, 0.25]")], Effect::Features),
    case("pixels", &[("input.std", "[0.5, 0.25, 0.5]")], Effect::Features),
    case("pixels", &[("features.dim", "3")], Effect::Nothing("a length in tables; the architecture has its own")),
    case(
        "pixels",
        &[("look", "{ colour = \"#000000\", marker = \"star\", dash = \"solid\" }")],
        Effect::Nothing("a look in charts"),
    ),
    case("pixels", &[("look.colour", "\"#000000\"")], Effect::Nothing("a look in charts")),
    case("pixels", &[("look.marker", "\"star\"")], Effect::Nothing("a look in charts")),
    case("pixels", &[("look.dash", "\"solid\"")], Effect::Nothing("a look in charts")),
    case("clip", &[("architecture", "\"vit_tiny_patch8_64\"")], Effect::Refused),
    case("clip", &[("weights.embedded.file", "\"pocket/clip_text.safetensors\"")], Effect::Refused),
    case(
        "clip",
        &[("weights.embedded.sha256", "\"0000000000000000000000000000000000000000000000000000000000000000\"")],
        Effect::Refused,
    ),
    case("clip", &[("weights.embedded.text.file", "\"pocket/clip.safetensors\"")], Effect::Refused),
    case(
        "clip",
        &[("weights.embedded.text.sha256", "\"0000000000000000000000000000000000000000000000000000000000000000\"")],
        Effect::Refused,
    ),
    case("clip", &[("weights.embedded.text.pairs", "\"pocket/fewer_pairs.txt\"")], Effect::Rows),
    case("clip", &[("weights.embedded.text.templates", "[\"a drawing of {}\"]")], Effect::Rows),
    case(
        "clip",
        &[("weights.embedded.text.kinds", "\"pocket/clip_pairs.txt\"")],
        Effect::Nothing("`zero_shot_ensemble` alone asks by kinds, and has them in its key"),
    ),
    case(
        "clip",
        &[
            ("features.default", "\"cls\""),
            ("features.also", "[\"patches\", \"grid_mean\", \"patch_mean\"]"),
            ("features.dim", "128"),
        ],
        Effect::Features,
    ),
    case("clip", &[("features.also", "[\"cls\"]")], Effect::Features),
    case("weights", &[("weights.hub.repo", "\"else/weights\"")], Effect::Features),
    case("weights", &[("weights.hub.revision", "\"next\"")], Effect::Features),
    case("weights", &[("weights.hub.files", "[\"other.safetensors\"]")], Effect::Features),
    case("weights", &[("architecture", "\"vit_tiny_patch16_64\"")], Effect::Features),
    case("random", &[("weights.random.seed", "1")], Effect::Features),
    case("random", &[("weights.random.of_training", "true")], Effect::Features),
    case("random", &[("architecture", "\"vit_tiny_patch8_64\"")], Effect::Features),
    case("suite", &[("id", "\"other\"")], Effect::Refused), // The command asks for `default`.
    case("suite", &[("description", "\"Other\"")], WORDS),
    case("suite", &[("datasets", "[\"pictures\"]")], Effect::Features),
    case("suite", &[("models", "[\"vit.random\"]"), ("recomputed", "[]")], Effect::Features),
    case("suite", &[("datasets", "[\"folder\", \"pictures\"]")], Effect::Cells),
    case("suite", &[("models", "[\"pixels.raw\", \"vit.random\"]")], Effect::Cells),
    case("suite", &[("methods", "[\"knn\", \"lr\"]")], Effect::Cells),
    case("suite", &[("budgets", "[10, 20]")], Effect::Cells),
    case("suite", &[("seeds", "[0, 1]")], Effect::Cells),
    case("suite", &[("max_images", "60")], Effect::Features),
    case("suite", &[("dtype", "\"bf16\"")], Effect::Features),
    case("suite", &[("recomputed", "[]")], Effect::Nothing("which rows are computed though they came")),
    case("suite", &[("note", "\"Other\"")], WORDS),
    // How images may be changed is in the keys of what is trained on changed images, and in no other.
    case("mirrored", &[("augment.flips", "[\"horizontal\", \"vertical\"]")], Effect::Rows),
    case("mirrored", &[("augment.flips", "[]")], Effect::Rows),
    case("mirrored", &[("augment.colour", "true")], Effect::Rows),
    case(
        "folder",
        &[("augment", "{ flips = [\"vertical\"], colour = true }")],
        Effect::Nothing("only training on changed images reads it"),
    ),
    case("tuned", &[("finetuning.0.methods", "[\"lp_ft\", \"finetune\"]")], Effect::Cells),
    case("tuned", &[("finetuning.0.models", "[\"pocket.random\", \"vit.random\"]")], Effect::Cells),
    case("tuned", &[("finetuning.0.datasets", "[\"folder\", \"pictures\"]")], Effect::Cells),
    case("tuned", &[("finetuning.0.datasets", "[]")], Effect::Cells),
    case("tuned", &[("finetuning.0.budgets", "[10, 20]")], Effect::Cells),
    case("tuned", &[("finetuning.0.seeds", "[0, 1]")], Effect::Cells),
    case("tuned", &[("finetuning.0.max_epochs", "2")], Effect::Rows),
    case("tuned", &[("finetuning.0.recomputed", "true")], Effect::Nothing("which rows are computed though they came")),
];
