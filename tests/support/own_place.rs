//! A reader's folder of pictures, of which nothing is said.
#![allow(dead_code)]

use std::fs;
use std::path::PathBuf;
use wider_clip::datasets::{self, ImageSet, Wanted, recognise};
use wider_clip::error::Result;
use wider_clip::images::encode_png;
use wider_clip::manifest::DatasetRecord;

/// A reader's folder.
pub struct Place(pub tempfile::TempDir);

impl Place {
    pub fn new() -> Place {
        Place(tempfile::tempdir().expect("a folder"))
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Place {
        let path = self.at(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("makes a folder");
        fs::write(path, bytes).expect("writes");
        self
    }

    pub fn pictures(&self, names: &[&str]) -> &Place {
        for (i, name) in names.iter().enumerate() {
            self.write(name, picture(i));
        }
        self
    }

    pub fn record(&self, wanted: &Wanted) -> Result<DatasetRecord> {
        recognise(self.0.path(), wanted).map(|found| found.record)
    }

    pub fn open(&self) -> ImageSet {
        self.open_as(&Wanted::default())
    }

    pub fn open_as(&self, wanted: &Wanted) -> ImageSet {
        let record = self.record(wanted).expect("is recognised");
        datasets::open(self.0.path(), &self.at("cache"), &record).expect("opens")
    }

    pub fn error(&self) -> String {
        match self.record(&Wanted::default()) {
            Ok(record) => {
                datasets::open(self.0.path(), &self.at("cache"), &record).expect_err("is refused").to_string()
            }
            Err(error) => error.to_string(),
        }
    }
}

pub fn picture(i: usize) -> Vec<u8> {
    let pixel = wider_clip::image::Rgb([i as u8, 40, (i * 7) as u8]);
    encode_png(&wider_clip::image::RgbImage::from_pixel(8, 8, pixel)).expect("encodes")
}

pub fn labelled(set: &ImageSet) -> Vec<(&str, &str)> {
    let class = |row: usize| set.classes[set.labels[row] as usize].as_str();
    let mut all: Vec<(&str, &str)> = set.ids.iter().enumerate().map(|(row, id)| (id.as_str(), class(row))).collect();
    all.sort_unstable();
    all
}

pub fn left_out(set: &ImageSet) -> Vec<(&str, usize)> {
    set.ignored.iter().map(|ignored| (ignored.reason.as_str(), ignored.count)).collect()
}
