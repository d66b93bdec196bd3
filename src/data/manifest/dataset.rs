//! The record of a data set: where its images come from, which columns mean what, and how it is split.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::parse::{Problem, Record, check_digest, check_id, check_not_empty};
use crate::images::Reading;
use crate::key::Key;

/// One file of `data_manifests/datasets/`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRecord {
    /// Equal to the file's name without `.toml`; the key used in every result row.
    pub id: String,
    /// The name to print.
    pub name: String,
    /// A sentence or two: what the pictures show and what the labels are.
    pub description: String,
    /// SPDX expression, or the owner's terms in words where there is no such licence.
    pub licence: String,
    /// Where the owner describes the data.
    pub homepage: String,
    /// The paper or page to cite.
    pub citation: String,
    /// Where the images come from.
    pub source: Source,
    /// Which columns hold image, label, group and so on.
    pub columns: Columns,
    /// The bands of scientific TIFF pictures that are shown, counted from 1: one for grey or three for red, green and blue.
    /// As [`Reading::bands`].
    #[serde(default)]
    pub bands: Option<Vec<u16>>,
    /// The sample values that become black and white, `[0, 4095]` for 12 bits. As [`Reading::range`].
    #[serde(default)]
    pub range: Option<[f64; 2]>,
    /// How train, val and test are made.
    pub split: SplitRecord,
    /// The name in the `dataset` column of the study's published tables, for the sets that the study used.
    #[serde(default)]
    pub published_as: Option<String>,
    /// What a reader should know: what a mirror lacks, which counts were not confirmed.
    #[serde(default)]
    pub notes: Option<String>,
}

impl DatasetRecord {
    /// How the pictures' samples become grey levels.
    pub fn reading(&self) -> Reading {
        Reading { bands: self.bands.clone(), range: self.range }
    }
}

/// Where images come from. In TOML the kind is the name of the table: `[source.hub]`, `[source.archive]`, ...
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Parquet files that ship with the project, in order, under `data_manifests/embedded/`.
    Embedded {
        /// File names, read one after the other as one table.
        files: Vec<String>,
    },
    /// Parquet files of a data set repository on the Hugging Face hub, in the image form of its `datasets` library.
    Hub {
        /// `owner/name`.
        repo: String,
        /// Branch, tag or commit.
        #[serde(default = "main_branch")]
        revision: String,
        /// Official split name to the paths of its files in the repository; `*` stands for any run of characters
        /// without `/`. Matches are read in the order of their names.
        files: BTreeMap<String, Vec<String>>,
    },
    /// Files fetched from the owner's address. Those ending in `.zip`, `.tar`, `.tar.gz` or `.tgz` are unpacked into
    /// the data set's folder, others are put there as they are.
    Archive {
        /// What to fetch, in order.
        downloads: Vec<Download>,
        /// How to read the unpacked folder.
        layout: ArchiveLayout,
    },
    /// A folder of the user's own with one sub-folder a class. Classes are sorted by name.
    Folder {
        /// The folder; relative paths start at the project's root. It is looked up when the data are first read.
        path: String,
    },
}

fn main_branch() -> String {
    "main".into()
}

/// One file to fetch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Download {
    /// The address.
    pub url: String,
    /// The name to keep it under; by default what follows the last `/` of the address.
    #[serde(default)]
    pub file: Option<String>,
    /// MD5 of the file in lower-case hex, where the owner or a loader library states one.
    #[serde(default)]
    pub md5: Option<String>,
    /// SHA-256 of the file in lower-case hex, where known.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Bytes, where known.
    #[serde(default)]
    pub size: Option<u64>,
}

impl Download {
    /// The name under which the file is kept: `file`, or what follows the last `/` of the address.
    pub fn file_name(&self) -> &str {
        self.file.as_deref().unwrap_or_else(|| self.url.rsplit('/').next().unwrap_or(&self.url))
    }
}

/// How an unpacked archive is read. Every path is relative to the data set's folder. In TOML the kind is the name of
/// the table: `[source.archive.layout.class_folders]` and so on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ArchiveLayout {
    /// One folder a class; the folders' sorted names are the classes. The loader lists each folder's files in the
    /// order of their names.
    ClassFolders {
        /// The folder that holds the class folders.
        root: String,
        /// Official split name to a text file with one base name (`agricultural07.tif`) a line; images in no list
        /// belong to no split. Empty where the owner gives no split: every image is then in the split `all`.
        #[serde(default)]
        lists: BTreeMap<String, String>,
    },
    /// A CSV table with a header row names the images.
    Table {
        /// The CSV file.
        table: String,
        /// The image's path with `{column}` replaced by that column's value and `{row}` by the row's index, counted
        /// from 0 over all rows of the table: `train/{filename}`, `images/rgb_img_{row}.png`.
        image: String,
        /// How official splits are told apart. Rows that are in none are left out. Without any part every row is in
        /// the split `all`.
        #[serde(default)]
        parts: Vec<TablePart>,
    },
    /// Text files list images and labels, one a line.
    Lists {
        /// The folder that the listed names start from.
        images: String,
        /// What is added to a listed name to make a file name (`.jpg`); nothing where it is complete.
        #[serde(default)]
        suffix: String,
        /// Official split name to its list.
        lists: BTreeMap<String, String>,
        /// Where a line's label is.
        label: ListLabel,
        /// A text file with one class name a line, which sets the order of the classes; by default they are sorted.
        #[serde(default)]
        classes: Option<String>,
    },
}

/// The rows of a table that make up one official split.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TablePart {
    /// The split's name.
    pub name: String,
    /// Rows with `value` in this column.
    pub column: String,
    /// The text that the column must hold.
    pub value: String,
    /// A column with times in ISO 8601, whose text order is the order in time, that narrows the part further.
    #[serde(default)]
    pub time_column: Option<String>,
    /// The first time that belongs to the part, compared as text; by default the beginning.
    #[serde(default)]
    pub from: Option<String>,
    /// The first time that no longer belongs to it, compared as text; by default the end.
    #[serde(default)]
    pub until: Option<String>,
}

/// Where the label stands in a line of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListLabel {
    /// `banded/banded_0002.jpg`: the first folder of the listed path.
    Folder,
    /// `1025794 707-320`: what follows the first space; labels may hold spaces and slashes.
    AfterSpace,
}

/// The meaning of columns: of the Parquet file, or of the table of an archive. Layouts that have no table (folders
/// and lists) give the columns `image` and `label`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// The image: a struct of `bytes` and `path` in Parquet.
    pub image: String,
    /// The class: text, or a number that indexes the class names.
    pub label: String,
    /// Images with the same value here show (nearly) the same thing and must not be on two sides of a split.
    #[serde(default)]
    pub group: Option<String>,
    /// Where an image comes from (a drawing style, a camera), for the drift arms.
    #[serde(default)]
    pub domain: Option<String>,
    /// A short name of what is shown.
    #[serde(default)]
    pub name: Option<String>,
    /// A sentence about what is shown.
    #[serde(default)]
    pub caption: Option<String>,
}

impl Columns {
    /// Image and label, nothing else.
    pub fn new(image: &str, label: &str) -> Self {
        Columns { image: image.into(), label: label.into(), group: None, domain: None, name: None, caption: None }
    }
}

/// How train, val and test are made, with the counts to hold them to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRecord {
    /// The official split that train, val and test are drawn from: `train`, or `all` where there is none.
    pub pool: String,
    /// Images in the pool, after balancing.
    pub total: usize,
    /// Classes in the pool.
    pub classes: usize,
    /// M of the study's rule: the count of the smallest class, after balancing; `None` where nobody has published it.
    #[serde(default)]
    pub smallest_class: Option<usize>,
    /// Images a class, where known: one number for all, or a table.
    #[serde(default)]
    pub per_class: Option<PerClass>,
    /// Draw this many images of every class first (seeded), and split only those.
    #[serde(default)]
    pub balance: Option<usize>,
    /// The rule that draws the parts.
    pub rule: SplitRule,
    /// For the drift arm: values of the domain column that take no part in training and form the out-of-distribution
    /// test. The plain arm uses every domain, and the counts here are over all of them.
    #[serde(default)]
    pub ood_domains: Vec<String>,
    /// The official split that val is drawn from, where that is not the pool.
    #[serde(default)]
    pub val: Option<OfficialSplit>,
    /// The official split that serves as in-distribution test, where one does in place of the rest of the pool.
    #[serde(default)]
    pub id_test: Option<OfficialSplit>,
    /// The official split that serves as out-of-distribution test.
    #[serde(default)]
    pub ood_test: Option<OfficialSplit>,
    /// The label budgets (N) of the study for this set, ascending.
    pub budgets: Vec<usize>,
}

impl SplitRecord {
    /// What decides the parts of a split, beside the images' columns, a budget and a seed. Counts are there to be held to
    /// and decide nothing.
    pub fn key(&self) -> Key {
        let official = |part: &Option<OfficialSplit>| part.as_ref().map_or_else(|| "none".into(), |p| p.name.clone());
        Key::new("split")
            .with("pool", &self.pool)
            .with("balance", self.balance.map_or_else(|| "none".into(), |n| n.to_string()))
            .with("rule", self.rule.as_str())
            .with("ood_domains", self.ood_domains.join(", "))
            .with("val", official(&self.val))
            .with("id_test", official(&self.id_test))
            .with("ood_test", official(&self.ood_test))
    }

    /// Whether some images are measured on as out of distribution: domains that are held out, or an official test.
    pub fn has_drift(&self) -> bool {
        !self.ood_domains.is_empty() || self.ood_test.is_some()
    }
}

/// How a data set is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SplitRule {
    /// The study's: the same count for every class, the rest is test.
    Study,
    /// The study's count for the budget alone, of which each class gives what it has: train from the pool, val and
    /// the tests from official splits.
    StudyCapped,
    /// The study's counts, drawn so that no group is on two sides of the split.
    StudyGrouped,
}

impl SplitRule {
    /// The name in manifests.
    pub fn as_str(self) -> &'static str {
        match self {
            SplitRule::Study => "study",
            SplitRule::StudyCapped => "study_capped",
            SplitRule::StudyGrouped => "study_grouped",
        }
    }
}

/// An official split that is used beside the pool.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfficialSplit {
    /// The split's name.
    pub name: String,
    /// Its images.
    pub total: usize,
}

/// Images a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerClass {
    /// Every class has this many.
    Uniform(usize),
    /// Class name to count.
    Each(BTreeMap<String, usize>),
}

impl PerClass {
    /// The smallest count; `None` for an empty table.
    pub fn smallest(&self) -> Option<usize> {
        match self {
            PerClass::Uniform(n) => Some(*n),
            PerClass::Each(counts) => counts.values().min().copied(),
        }
    }
}

impl<'de> Deserialize<'de> for PerClass {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counts;
        impl<'de> Visitor<'de> for Counts {
            type Value = PerClass;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number of images or a table of class = number")
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<PerClass, E> {
                let n = usize::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Signed(n), &self))?;
                Ok(PerClass::Uniform(n))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PerClass, A::Error> {
                let mut counts = BTreeMap::new();
                while let Some((class, n)) = map.next_entry()? {
                    counts.insert(class, n);
                }
                Ok(PerClass::Each(counts))
            }
        }
        deserializer.deserialize_any(Counts)
    }
}

impl Record for DatasetRecord {
    const KIND: &'static str = "data set";

    fn id(&self) -> &str {
        &self.id
    }

    fn check(&self) -> Result<(), Problem> {
        check_id(&self.id)?;
        for (key, text) in [("name", &self.name), ("licence", &self.licence), ("citation", &self.citation)] {
            check_not_empty(key, text)?;
        }
        if let Some((key, expected, found)) = self.reading().problem() {
            return Err(Problem::new(key, expected, found));
        }
        self.source.check()?;
        self.split.check()?;
        if !self.split.ood_domains.is_empty() && self.columns.domain.is_none() {
            return Err(Problem::new("split.ood_domains", "a domain column under `columns`", "none"));
        }
        let mut names = vec![self.split.pool.as_str()];
        let split = &self.split;
        for (key, part) in [("val", &split.val), ("id_test", &split.id_test), ("ood_test", &split.ood_test)] {
            let Some(part) = part else { continue };
            if split.rule != SplitRule::StudyCapped {
                return Err(Problem::new("split.rule", "`study_capped` beside official splits", "another rule"));
            }
            if names.contains(&part.name.as_str()) {
                let found = format!("`{}` again", part.name);
                return Err(Problem::new(format!("split.{key}"), "a part of its own", found));
            }
            names.push(&part.name);
        }
        if self.split.rule == SplitRule::StudyGrouped && self.columns.group.is_none() {
            return Err(Problem::new("split.rule", "a group column under `columns` for this rule", "none"));
        }
        Ok(())
    }
}

impl Source {
    fn check(&self) -> Result<(), Problem> {
        match self {
            Source::Embedded { files } if files.is_empty() => {
                Err(Problem::new("source.embedded.files", "at least one file", "an empty list"))
            }
            Source::Hub { files, .. } if files.is_empty() => {
                Err(Problem::new("source.hub.files", "at least one split", "an empty table"))
            }
            Source::Archive { downloads, .. } if downloads.is_empty() => {
                Err(Problem::new("source.archive.downloads", "at least one file", "an empty list"))
            }
            Source::Archive { downloads, .. } => downloads.iter().enumerate().try_for_each(|(i, download)| {
                if download.file_name().is_empty() || download.file_name().contains(['/', '\\']) {
                    let found = format!("`{}`", download.file_name());
                    return Err(Problem::new(format!("source.archive.downloads.{i}"), "a file name to keep", found));
                }
                check_digest(&format!("source.archive.downloads.{i}.md5"), download.md5.as_deref(), 32)?;
                check_digest(&format!("source.archive.downloads.{i}.sha256"), download.sha256.as_deref(), 64)
            }),
            _ => Ok(()),
        }
    }
}

impl SplitRecord {
    /// Holds the counts against each other: nothing empty, nothing larger than what contains it.
    fn check(&self) -> Result<(), Problem> {
        let positive = |key: &str, n: usize| match n {
            0 => Err(Problem::new(key, "a number above 0", "0")),
            _ => Ok(()),
        };
        positive("split.total", self.total)?;
        positive("split.classes", self.classes)?;
        if self.budgets.is_empty() || self.budgets.contains(&0) || !self.budgets.is_sorted_by(|a, b| a < b) {
            let found = format!("{:?}", self.budgets);
            return Err(Problem::new("split.budgets", "ascending budgets above 0", found));
        }
        if let Some(m) = self.smallest_class {
            positive("split.smallest_class", m)?;
            if m.saturating_mul(self.classes) > self.total {
                let expected = format!("at most total / classes = {}", self.total / self.classes);
                return Err(Problem::new("split.smallest_class", expected, m.to_string()));
            }
        }
        match &self.per_class {
            Some(PerClass::Uniform(n)) if n.checked_mul(self.classes) != Some(self.total) => {
                let expected = format!("a number that times {} classes is {}", self.classes, self.total);
                Err(Problem::new("split.per_class", expected, n.to_string()))
            }
            Some(PerClass::Each(counts))
                if counts.len() != self.classes || counts.values().sum::<usize>() != self.total =>
            {
                let expected = format!("{} classes with {} images together", self.classes, self.total);
                let found = format!("{} classes with {}", counts.len(), counts.values().sum::<usize>());
                Err(Problem::new("split.per_class", expected, found))
            }
            _ => Ok(()),
        }
    }
}
