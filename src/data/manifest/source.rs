//! Where the images of a data set come from, and how an archive is read.

use super::parse::{Problem, check_digest, check_inside, check_not_empty};
use serde::Deserialize;
use std::collections::BTreeMap;

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
    /// A folder of the user's own with one sub-folder per class, or with folders `train`, `val`, `test` that hold them: see
    /// [`crate::datasets::open_folder`]. Classes are sorted by name.
    Folder {
        /// The folder: anywhere on this machine, for it is the reader's own. Relative paths start at the project's root and
        /// may lead out of it; `~/` is the home folder. It is looked up when the data are first read.
        path: String,
        /// Tables (`.csv`, `.tsv`, `.jsonl`, `.parquet`) below the folder that name its pictures and their labels, in the
        /// columns of the record: `metadata.csv`, or `train/metadata.jsonl`, whose folder is then the published part.
        /// None by default: labels are then the names of folders.
        #[serde(default)]
        tables: Vec<String>,
    },
    /// Parquet files of the user's own, in the image form of Hugging Face's `datasets` library.
    Parquet {
        /// The files, read in this order, each anywhere on this machine. One whose name begins with `train`, `val`,
        /// `test` or the like, or lies in a folder called so, is that published part.
        files: Vec<String>,
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
    /// The name to keep it under; by default what follows the last `/` of the address, without `?` and what comes after.
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
    /// The name under which the file is kept: `file`, or what follows the last `/` of the address's path; empty where there is none.
    pub fn file_name(&self) -> &str {
        let address = self.url.split(['?', '#']).next().unwrap_or(&self.url);
        // A host is no name of a file, least of all with a password in front.
        let after = address.split_once("://").map_or(address, |(_, after)| after);
        self.file.as_deref().unwrap_or_else(|| after.rsplit_once('/').map_or("", |(_, name)| name))
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
        /// Columns that come from other tables, each added after the one before.
        #[serde(default)]
        lookups: Vec<Lookup>,
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

/// A column that a table does not have: what another CSV table says of the value in one of its columns. Every place in the
/// record that names a column of the table may name it. FMoW's region is that of its `country_code`:
///
/// ```toml
/// [[source.archive.layout.table.lookups]]
/// column = "region"
/// from = "country_code"
/// table = "country_code_mapping.csv"
/// key = "alpha-3"
/// value = "region"
/// otherwise = "Other"
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The name of the new column, which takes the place of one that is called so.
    pub column: String,
    /// The column of the table whose value is looked up.
    pub from: String,
    /// The other CSV file. Its rows without a key or a value say nothing; no key may have two values.
    pub table: String,
    /// The column of the other table that holds what `from` holds.
    pub key: String,
    /// The column of the other table that is taken.
    pub value: String,
    /// What stands for a value that is not found; by default that is an error.
    #[serde(default)]
    pub otherwise: Option<String>,
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

impl Source {
    pub(super) fn check(&self) -> Result<(), Problem> {
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
            Source::Archive { downloads, layout } => {
                for (i, download) in downloads.iter().enumerate() {
                    download.check(&format!("source.archive.downloads.{i}"), &downloads[..i])?;
                }
                layout.check()
            }
            Source::Folder { path, .. } if path.trim().is_empty() || path.contains('\0') => {
                Err(Problem::new("source.folder.path", "a folder", format!("`{path}`")))
            }
            Source::Folder { tables, .. } => {
                let check =
                    |(i, table): (usize, &String)| check_inside(format!("source.folder.tables.{i}"), table, false);
                tables.iter().enumerate().try_for_each(check)
            }
            Source::Parquet { files } if files.is_empty() || files.iter().any(|file| file.contains('\0')) => {
                Err(Problem::new("source.parquet.files", "at least one file", format!("{files:?}")))
            }
            _ => Ok(()),
        }
    }
}

impl Download {
    fn check(&self, key: &str, before: &[Download]) -> Result<(), Problem> {
        /// What the folder of the downloads holds beside them.
        const TAKEN: [&str; 5] = ["unpacked", "unpacking", "unpacked.ok", "unpacked.left_out", ".lock"];
        let name = self.file_name();
        let named_by = format!("{key}.{}", if self.file.is_some() { "file" } else { "url" });
        if self.file.is_none() && name.is_empty() {
            let expected = "an address that ends in the name of a file, or a `file` beside it";
            return Err(Problem::new(named_by, expected, "no name"));
        }
        let plain = !name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control());
        if !plain || matches!(name, "" | "." | "..") || TAKEN.contains(&name.to_lowercase().as_str()) {
            return Err(Problem::new(named_by, "a file name to keep", format!("`{name}`")));
        }
        if before.iter().any(|other| other.file_name().to_lowercase() == name.to_lowercase()) {
            let expected = "a file name of its own; `file` gives one";
            return Err(Problem::new(named_by, expected, format!("`{name}` again")));
        }
        check_digest(&format!("{key}.md5"), self.md5.as_deref(), 32)?;
        check_digest(&format!("{key}.sha256"), self.sha256.as_deref(), 64)
    }
}

impl ArchiveLayout {
    /// Every path leads into the data set's folder.
    fn check(&self) -> Result<(), Problem> {
        const KEY: &str = "source.archive.layout";
        match self {
            ArchiveLayout::ClassFolders { root, lists } => {
                check_inside(format!("{KEY}.class_folders.root"), root, true)?;
                lists
                    .iter()
                    .try_for_each(|(part, list)| check_inside(format!("{KEY}.class_folders.lists.{part}"), list, false))
            }
            ArchiveLayout::Table { table, lookups, .. } => {
                check_inside(format!("{KEY}.table.table"), table, false)?;
                for (i, lookup) in lookups.iter().enumerate() {
                    lookup.check(&format!("{KEY}.table.lookups.{i}"), &lookups[..i])?;
                }
                Ok(())
            }
            ArchiveLayout::Lists { images, lists, classes, .. } => {
                check_inside(format!("{KEY}.lists.images"), images, true)?;
                for (part, list) in lists {
                    check_inside(format!("{KEY}.lists.lists.{part}"), list, false)?;
                }
                classes.iter().try_for_each(|file| check_inside(format!("{KEY}.lists.classes"), file, false))
            }
        }
    }
}

impl Lookup {
    fn check(&self, key: &str, before: &[Lookup]) -> Result<(), Problem> {
        let columns = [("column", &self.column), ("from", &self.from), ("key", &self.key), ("value", &self.value)];
        for (field, text) in columns {
            check_not_empty(&format!("{key}.{field}"), text)?;
        }
        if self.column == "row" {
            let expected = "a name other than `row`, which stands for the row's index in the image's path";
            return Err(Problem::new(format!("{key}.column"), expected, "`row`"));
        }
        if before.iter().any(|other| other.column == self.column) {
            let found = format!("`{}` again", self.column);
            return Err(Problem::new(format!("{key}.column"), "a column of its own", found));
        }
        check_inside(format!("{key}.table"), &self.table, false)
    }
}
