//! The record of a data set: where its images come from, which columns mean what, and how it is split.

use super::parse::{Problem, Record, check_id, check_not_empty};
use super::source::{ArchiveLayout, Source};
use super::split::{SplitRecord, SplitRule};
use crate::images::Reading;
use serde::Deserialize;
use toml::de::{DeTable, DeValue};

/// One file of `data_manifests/datasets/`.
///
/// A reader's own folder needs a source and nothing else: `[source.folder]` with its path. Id and name are then the file's
/// name, columns `image` and `label`, and the split the study's rule on all images. Published data also say what they are:
/// name, description, licence, homepage and citation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRecord {
    /// Equal to the file's name without `.toml`, which it is by default; the key used in every result row.
    #[serde(default)]
    pub id: String,
    /// The name to print; a reader's own folder has the id by default.
    #[serde(default)]
    pub name: String,
    /// A sentence or two: what the pictures show and what the labels are.
    #[serde(default)]
    pub description: String,
    /// SPDX expression, or the owner's terms in words where there is no such licence; `not stated` for a reader's own folder
    /// that says none.
    #[serde(default)]
    pub licence: String,
    /// Where the owner describes the data.
    #[serde(default)]
    pub homepage: String,
    /// The paper or page to cite.
    #[serde(default)]
    pub citation: String,
    /// Where the images come from.
    pub source: Source,
    /// Which columns hold image, label, group and so on; by default `image` and `label`.
    #[serde(default)]
    pub columns: Columns,
    /// The bands of scientific TIFF pictures that are shown, counted from 1: one for grey or three for red, green and blue.
    /// As [`Reading::bands`].
    #[serde(default)]
    pub bands: Option<Vec<u16>>,
    /// The sample values that become black and white, `[0, 4095]` for 12 bits. As [`Reading::range`].
    #[serde(default)]
    pub range: Option<[f64; 2]>,
    /// How train, val and test are made; by default the study's rule on all images.
    #[serde(default)]
    pub split: SplitRecord,
    /// How an image may be changed and stay what it is, for training with augmentation; by default it is only cropped.
    #[serde(default)]
    pub augment: AugmentRecord,
    /// The name in the `dataset` column of the study's published tables, for the sets that the study used.
    #[serde(default)]
    pub published_as: Option<String>,
    /// What a reader should know: what a mirror lacks, which counts were not confirmed.
    #[serde(default)]
    pub notes: Option<String>,
}

impl DatasetRecord {
    /// Of a reader's own data, of which nothing else is said: id, licence and the rest are still to be completed.
    pub fn own(id: &str, source: Source) -> DatasetRecord {
        DatasetRecord {
            id: id.into(),
            name: String::new(),
            description: String::new(),
            licence: String::new(),
            homepage: String::new(),
            citation: String::new(),
            source,
            columns: Columns::default(),
            bands: None,
            range: None,
            split: SplitRecord::default(),
            augment: AugmentRecord::default(),
            published_as: None,
            notes: None,
        }
    }

    /// Whether these are a reader's own data, which need to say nothing of licence, owner and the like.
    pub fn is_own(&self) -> bool {
        matches!(self.source, Source::Folder { .. } | Source::Parquet { .. })
    }

    /// How the pictures' samples become grey levels.
    pub fn reading(&self) -> Reading {
        Reading { bands: self.bands.clone(), range: self.range }
    }
}

/// How an image may be changed without becoming another thing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentRecord {
    /// Mirror images that show the same class: `horizontal` left for right, `vertical` top for bottom.
    #[serde(default)]
    pub flips: Vec<Flip>,
    /// Whether brightness, contrast, saturation and hue may change.
    #[serde(default)]
    pub colour: bool,
}

/// A mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flip {
    /// Left for right.
    Horizontal,
    /// Top for bottom.
    Vertical,
}

/// The meaning of columns: of the Parquet file, or of the table of an archive. Layouts that have no table (folders
/// and lists) give the columns `image` and `label`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// The image: in Parquet a struct of `bytes` and `path`, or the bytes alone. A column inside a struct is named with
    /// dots.
    #[serde(default = "image_column")]
    pub image: String,
    /// The class: text, or a number that indexes the class names.
    #[serde(default = "label_column")]
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
    /// When an image was made, in ISO 8601: drift is told by year.
    #[serde(default)]
    pub time: Option<String>,
    /// A sentence about what is shown.
    #[serde(default)]
    pub caption: Option<String>,
    /// The published part (train, val, test) that an image is in; of a reader's own data alone.
    #[serde(default)]
    pub split: Option<String>,
}

impl Columns {
    /// Image and label, nothing else.
    pub fn new(image: &str, label: &str) -> Self {
        Columns {
            image: image.into(),
            label: label.into(),
            group: None,
            domain: None,
            name: None,
            time: None,
            caption: None,
            split: None,
        }
    }

    /// The columns that a data set may do without, by key: groups, domains, names and times.
    pub(crate) fn optional(&self) -> [(&'static str, Option<&str>); 4] {
        let columns = [("group", &self.group), ("domain", &self.domain), ("name", &self.name), ("time", &self.time)];
        columns.map(|(key, column)| (key, column.as_deref()))
    }
}

fn image_column() -> String {
    "image".into()
}

fn label_column() -> String {
    "label".into()
}

impl Default for Columns {
    fn default() -> Self {
        Columns::new("image", "label")
    }
}

impl Record for DatasetRecord {
    const KIND: &'static str = "data set";

    fn id(&self) -> &str {
        &self.id
    }

    fn required(given: &DeTable) -> Vec<&'static str> {
        let source = given.get("source").map(|source| source.get_ref());
        let is_own = |source: &DeTable| source.contains_key("folder") || source.contains_key("parquet");
        let own = matches!(source, Some(DeValue::Table(source)) if is_own(source));
        let published = ["name", "description", "licence", "homepage", "citation"];
        let mut keys = if own { Vec::new() } else { published.to_vec() };
        keys.extend([
            "source",
            "source.embedded.files",
            "source.hub.repo",
            "source.hub.files",
            "source.folder.path",
            "source.parquet.files",
            "source.archive.downloads",
            "source.archive.downloads.*.url",
            "source.archive.layout",
            "source.archive.layout.class_folders.root",
            "source.archive.layout.table.table",
            "source.archive.layout.table.image",
            "source.archive.layout.table.parts.*.name",
            "source.archive.layout.table.parts.*.column",
            "source.archive.layout.table.parts.*.value",
            "source.archive.layout.table.lookups.*.column",
            "source.archive.layout.table.lookups.*.from",
            "source.archive.layout.table.lookups.*.table",
            "source.archive.layout.table.lookups.*.key",
            "source.archive.layout.table.lookups.*.value",
            "source.archive.layout.lists.images",
            "source.archive.layout.lists.lists",
            "source.archive.layout.lists.label",
            "split.val.name",
            "split.id_test.name",
            "split.ood_test.name",
        ]);
        keys
    }

    fn complete(&mut self, stem: &str) {
        if self.id.is_empty() {
            self.id = stem.into();
        }
        if self.is_own() {
            let stated = [(&mut self.name, stem), (&mut self.licence, "not stated"), (&mut self.citation, "none")];
            for (text, words) in stated {
                if text.is_empty() {
                    *text = words.into();
                }
            }
        }
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
        self.check_columns()?;
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

impl DatasetRecord {
    /// Folders and lists give an image and its label, and no other column.
    fn check_columns(&self) -> Result<(), Problem> {
        let layout = match &self.source {
            Source::Archive { layout, .. } => Some(layout),
            _ => None,
        };
        let has_more = match &self.source {
            Source::Embedded { .. } | Source::Hub { .. } | Source::Parquet { .. } => true,
            Source::Folder { tables, .. } => !tables.is_empty(),
            Source::Archive { .. } => matches!(layout, Some(ArchiveLayout::Table { .. })),
        };
        if let Some(column) = self.columns.split.as_ref().filter(|_| !has_more || !self.is_own()) {
            let expected = "left out, for published data name their parts in the source";
            return Err(Problem::new("columns.split", expected, format!("`{column}`")));
        }
        for (key, column) in self.columns.optional() {
            if let Some(column) = column.filter(|_| !has_more) {
                let expected = "left out, for folders and lists give an image and its label alone";
                return Err(Problem::new(format!("columns.{key}"), expected, format!("`{column}`")));
            }
        }
        Ok(())
    }
}
