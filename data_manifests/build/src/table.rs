//! The Parquet file: the Hugging Face `datasets` form of an image classification set.
//!
//! Columns: `image` (struct of `bytes` and `path`), `label` (a `ClassLabel`, whose names are in the file's key-value
//! metadata under `huggingface`, as `datasets` writes them), then text columns. Row groups are small, so that a
//! reader can stream; image bytes are stored as they are, since they are compressed already; everything that could
//! differ from run to run (dates, versions, threads) is kept out, so equal input gives equal bytes.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use serde_json::{Map, Value, json};

/// Rows a row group.
const GROUP_ROWS: usize = 512;

/// A row: the image, its label and one text for each text column.
pub struct Row {
    /// Encoded image.
    pub image: Vec<u8>,
    /// File name, unique in the table.
    pub path: String,
    /// Index into the table's label names.
    pub label: usize,
    /// In the order of the table's text columns.
    pub texts: Vec<String>,
}

/// A whole data set.
pub struct Table {
    /// Class names; a row's label is a position in it.
    pub label_names: Vec<String>,
    /// Names of the text columns.
    pub text_columns: &'static [&'static str],
    /// In file order.
    pub rows: Vec<Row>,
}

impl Table {
    /// Writes the file; an existing one is replaced only once the new one is whole.
    pub fn write(&self, path: &Path) -> Result<u64> {
        let mut columns = String::from(
            "OPTIONAL GROUP image { OPTIONAL BYTE_ARRAY bytes; OPTIONAL BYTE_ARRAY path (UTF8); }",
        );
        columns.push_str(" OPTIONAL INT64 label;");
        for name in self.text_columns {
            columns.push_str(&format!(" OPTIONAL BYTE_ARRAY {name} (UTF8);"));
        }
        let schema = Arc::new(parse_message_type(&format!(
            "message schema {{ {columns} }}"
        ))?);
        let part = path.with_extension("part");
        let file = File::create(&part).with_context(|| part.display().to_string())?;
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(self.properties()?))?;
        for rows in self.rows.chunks(GROUP_ROWS) {
            let mut group = writer.next_row_group()?;
            write_bytes(&mut group, rows, 2, |row| &row.image)?;
            write_bytes(&mut group, rows, 2, |row| row.path.as_bytes())?;
            let labels: Vec<i64> = rows.iter().map(|row| row.label as i64).collect();
            let mut column = group
                .next_column()?
                .context("the schema ends before the label")?;
            column
                .typed::<Int64Type>()
                .write_batch(&labels, Some(&vec![1; labels.len()]), None)?;
            column.close()?;
            for index in 0..self.text_columns.len() {
                write_bytes(&mut group, rows, 1, |row| row.texts[index].as_bytes())?;
            }
            group.close()?;
        }
        writer.close()?;
        std::fs::rename(&part, path)?;
        Ok(std::fs::metadata(path)?.len())
    }

    fn properties(&self) -> Result<WriterProperties> {
        let bytes = ColumnPath::from(vec!["image".to_owned(), "bytes".to_owned()]);
        Ok(WriterProperties::builder()
            .set_created_by("wider-clip embedded-data-builder".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(19)?))
            .set_column_compression(bytes.clone(), Compression::UNCOMPRESSED)
            .set_column_dictionary_enabled(bytes.clone(), false)
            .set_column_statistics_enabled(bytes, EnabledStatistics::None)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_key_value_metadata(Some(vec![KeyValue::new(
                "huggingface".to_owned(),
                self.features().to_string(),
            )]))
            .build())
    }

    /// The `features` of `datasets`, one entry for each column.
    fn features(&self) -> Value {
        let mut features = Map::new();
        features.insert("image".to_owned(), json!({"_type": "Image"}));
        features.insert(
            "label".to_owned(),
            json!({"names": self.label_names, "_type": "ClassLabel"}),
        );
        for name in self.text_columns {
            features.insert(
                (*name).to_owned(),
                json!({"dtype": "string", "_type": "Value"}),
            );
        }
        json!({"info": {"features": features}})
    }
}

/// Writes one column of byte strings, none of them null. `depth` is how many optional levels lie above a value.
fn write_bytes<'a>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    rows: &'a [Row],
    depth: i16,
    value: impl Fn(&'a Row) -> &'a [u8],
) -> Result<()> {
    let values: Vec<ByteArray> = rows
        .iter()
        .map(|row| ByteArray::from(value(row).to_vec()))
        .collect();
    let mut column = group
        .next_column()?
        .context("the schema ends before the columns do")?;
    column
        .typed::<ByteArrayType>()
        .write_batch(&values, Some(&vec![depth; values.len()]), None)?;
    column.close()?;
    Ok(())
}
