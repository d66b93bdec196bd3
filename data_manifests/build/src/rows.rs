//! Reading back the Parquet files that this crate writes, whole, in file order.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

/// A row as read.
pub struct Record {
    /// Encoded image.
    pub image: Vec<u8>,
    texts: BTreeMap<String, String>,
}

impl Record {
    /// A text column.
    pub fn text(&self, column: &str) -> Result<&str> {
        let text = self.texts.get(column);
        text.map(String::as_str).with_context(|| format!("the file has no column {column}"))
    }
}

/// All rows of a file.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    let reader = SerializedFileReader::new(file).with_context(|| path.display().to_string())?;
    let mut records = Vec::new();
    for row in reader.get_row_iter(None)? {
        let mut image = None;
        let mut texts = BTreeMap::new();
        for (name, field) in row?.get_column_iter() {
            match field {
                Field::Group(group) => {
                    for (_, part) in group.get_column_iter() {
                        if let Field::Bytes(bytes) = part {
                            image = Some(bytes.data().to_vec());
                        }
                    }
                }
                Field::Str(text) => {
                    texts.insert(name.clone(), text.clone());
                }
                Field::Long(_) => {}
                other => bail!("{}: column {name} holds {other}", path.display()),
            }
        }
        records
            .push(Record { image: image.with_context(|| format!("{}: a row without image", path.display()))?, texts });
    }
    Ok(records)
}
