//! A bundle: one compressed file that does the work of many machines ([`crate::experiments::work`]) where there is no cargo, no
//! Python and no network.
//!
//! In it are the program with the library inside it (one file that needs the C library alone), the manifests, and the embedded
//! data; a script in front of it says what is wrong where the machine is another kind or its C library is older. It is linked
//! from what is compiled already, which takes seconds.

use super::Workbench;
use super::kernel::Toolchain;
use super::process::failed;
use crate::error::{Error, Result};
use crate::storage::write_atomic_with;
use crate::target::check_kind;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const LAUNCHER: &str = include_str!("bundle.sh");
/// The folder in the bundle.
const FOLDER: &str = "wider-clip";
/// What of `data_manifests` no work needs.
const LEFT_OUT: [&str; 2] = ["build", "corpus"];
/// What is large there.
const DATA: [&str; 2] = ["embedded", "results"];

/// What a bundle is made of.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The file that is written.
    pub out: PathBuf,
    /// Features of the build, as cargo takes them (`cuda`).
    pub features: Vec<String>,
    /// Leaves out the embedded pictures and weights, and the rows that came with the project.
    pub without_data: bool,
    /// Leaves out the program itself and its manifests: what is left are benches.
    pub without_program: bool,
    /// Programs of the project's `benches` that come along, by their names in `Cargo.toml`, with the scripts and pages of
    /// their folders.
    pub benches: Vec<String>,
}

/// A bundle that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// Bytes of the file.
    pub size: u64,
    /// The oldest C library that it runs with, as `2.35`.
    pub glibc: String,
}

/// Builds what is not built, links it into one program, and packs it with what it needs.
///
/// # Errors
/// [`Error::Program`] with the end of what cargo or rustc said; another system than Linux; a file that cannot be written.
pub fn make(workbench: &Workbench, asked: &Asked) -> Result<Bundle> {
    if !cfg!(target_os = "linux") {
        return Err(Error::argument("bundle", "a machine with Linux, as those that run it", std::env::consts::OS));
    }
    if asked.without_program && asked.benches.is_empty() {
        return Err(Error::argument("bundle", "the program, or a bench", "neither"));
    }
    check_kind(&asked.out, "a bundle", |beginning| beginning.starts_with(&[0x1f, 0x8b]))?;
    let build = Build::of(workbench, asked)?;
    let folder = tempfile::tempdir().map_err(Error::io("a temporary folder", "creating"))?;
    let mut programs = Vec::new();
    if !asked.without_program {
        programs.push(build.link(workbench, "wider-clip", &workbench.root().join("src/main.rs"), folder.path())?);
    }
    for name in &asked.benches {
        let source = workbench.root().join("benches").join(name).join("main.rs");
        programs.push(build.link(workbench, name, &source, folder.path())?);
    }
    let mut oldest = (2, 0);
    for program in &programs {
        oldest = oldest.max(glibc_of(&fs::read(program).map_err(Error::io(program, "reading"))?));
    }
    let glibc = format!("{}.{}", oldest.0, oldest.1);
    let machine = format!("Linux {}", std::env::consts::ARCH);
    let needs = format!("It needs {machine} with glibc {glibc} or later.");
    let launcher = LAUNCHER.replace("@NEEDS@", &needs).replace("@MACHINE@", &machine).replace("@GLIBC@", &glibc);
    write_atomic_with(&asked.out, |file| {
        let failed = |error: std::io::Error| Error::io(&asked.out, "writing")(error);
        let mut tar = tar::Builder::new(GzEncoder::new(file, Compression::best()));
        if !asked.without_program {
            put(&mut tar, FOLDER, launcher.as_bytes(), true).map_err(failed)?;
        }
        for program in &programs {
            let name = format!("bin/{}", program.file_name().unwrap_or_default().to_string_lossy());
            let bytes = fs::read(program).map_err(Error::io(program, "reading"))?;
            put(&mut tar, &name, &bytes, true).map_err(failed)?;
        }
        let mut all = files(workbench.root(), asked)?;
        for name in &asked.benches {
            all.extend(beside(workbench.root(), name)?);
        }
        for path in all {
            let bytes = fs::read(workbench.root().join(&path)).map_err(Error::io(&path, "reading"))?;
            let runs = path.extension().is_some_and(|end| end == "sh");
            put(&mut tar, &path.to_string_lossy(), &bytes, runs).map_err(failed)?;
        }
        tar.into_inner().and_then(GzEncoder::finish).map_err(failed)?.flush().map_err(failed)
    })?;
    let size = fs::metadata(&asked.out).map_err(Error::io(&asked.out, "looking at"))?.len();
    Ok(Bundle { size, glibc })
}

/// What cargo has compiled: the library, what the program names beside it, and where native libraries are.
struct Build {
    toolchain: Toolchain,
    /// Those of the library, as cargo resolved them.
    features: Vec<String>,
    externs: Vec<(String, PathBuf)>,
    dependencies: BTreeSet<PathBuf>,
    native: BTreeSet<String>,
}

impl Build {
    /// Lets cargo build what is not built yet, and hears from it where everything is.
    fn of(workbench: &Workbench, asked: &Asked) -> Result<Build> {
        let advice = "The lines above say why";
        let toolchain = Toolchain::find(workbench)?;
        let mut cargo = Command::new(&toolchain.cargo);
        cargo.args(["build", "--locked", "--bin", "wider-clip", "--message-format=json-render-diagnostics"]);
        if !asked.features.is_empty() {
            cargo.arg("--features").arg(asked.features.join(","));
        }
        // What cargo tells a program that it runs is not for the build: dependencies would be compiled again for it.
        let told =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "CARGO_TARGET_TMPDIR"];
        for (name, _) in std::env::vars_os() {
            if told.iter().any(|begin| name.to_string_lossy().starts_with(begin)) {
                cargo.env_remove(name);
            }
        }
        let mut child =
            cargo.current_dir(workbench.root()).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(
                |error| {
                    failed(
                        "cargo",
                        format!("could not be started ({error})"),
                        "A bundle is made where the project is built",
                    )
                },
            )?;
        let mut text = String::new();
        if let Some(out) = child.stdout.take() {
            BufReader::new(out).read_to_string(&mut text).map_err(Error::io("cargo", "reading what it says"))?;
        }
        let status = child.wait().map_err(Error::io("cargo", "waiting for"))?;
        if !status.success() {
            return Err(failed("cargo build", format!("ended with {status}"), advice));
        }
        let mut build = Build {
            toolchain,
            features: Vec::new(),
            externs: Vec::new(),
            dependencies: BTreeSet::new(),
            native: BTreeSet::new(),
        };
        for message in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            build.hear(&message);
        }
        match build.externs.iter().any(|(name, _)| name == "wider_clip") {
            true => Ok(build),
            false => Err(failed("cargo build", "told of no library `wider_clip`", advice)),
        }
    }

    fn hear(&mut self, message: &Value) {
        let texts = |list: &Value| -> Vec<String> {
            list.as_array().into_iter().flatten().filter_map(|one| one.as_str().map(String::from)).collect()
        };
        match message["reason"].as_str() {
            Some("compiler-artifact") => {
                let name = message["target"]["name"].as_str().unwrap_or_default().replace('-', "_");
                for file in texts(&message["filenames"]).into_iter().map(PathBuf::from) {
                    let is_library = file.extension().is_some_and(|end| end == "rlib" || end == "so");
                    if let (true, Some(folder)) = (is_library, file.parent()) {
                        self.dependencies.insert(folder.to_path_buf());
                        self.dependencies.insert(folder.join("deps"));
                    }
                    let is_named = matches!(name.as_str(), "wider_clip" | "clap");
                    if name == "wider_clip" {
                        self.features = texts(&message["features"]);
                    }
                    if is_named && file.extension().is_some_and(|end| end == "rlib") {
                        self.externs.push((name.clone(), file));
                    }
                }
            }
            Some("build-script-executed") => self.native.extend(texts(&message["linked_paths"])),
            _ => {}
        }
    }

    /// Links a program from its source and what is compiled.
    fn link(&self, workbench: &Workbench, name: &str, source: &Path, folder: &Path) -> Result<PathBuf> {
        let out = folder.join(name);
        let mut rustc = Command::new(&self.toolchain.rustc);
        rustc
            .arg(source)
            .args(["--crate-type", "bin", "--edition", "2024", "--target", &self.toolchain.target])
            .args(["--crate-name", &format!("{}_bundle", name.replace('-', "_"))])
            .args([
                "-C",
                "opt-level=3",
                "-C",
                "prefer-dynamic=no",
                "-C",
                "strip=symbols",
                "-C",
                "link-arg=-Wl,--gc-sections",
            ])
            // No path of the machine that it is made on.
            .arg("--remap-path-prefix")
            .arg(format!("{}=.", workbench.root().display()))
            .arg("-o")
            .arg(&out);
        for feature in &self.features {
            rustc.arg("--cfg").arg(format!("feature=\"{feature}\""));
        }
        for (name, file) in &self.externs {
            rustc.arg("--extern").arg(format!("{name}={}", file.display()));
        }
        for folder in &self.dependencies {
            rustc.arg("-L").arg(format!("dependency={}", folder.display()));
        }
        for path in &self.native {
            rustc.arg("-L").arg(path);
        }
        rustc
            .env("CARGO_PKG_VERSION", env!("CARGO_PKG_VERSION"))
            .env("CARGO_PKG_NAME", env!("CARGO_PKG_NAME"))
            .env("CARGO_PKG_DESCRIPTION", env!("CARGO_PKG_DESCRIPTION"))
            .env("CARGO_MANIFEST_DIR", workbench.root())
            .current_dir(workbench.root());
        super::process::output(
            "rustc",
            &mut rustc,
            "It links what cargo has built; `cargo build` first, where that was for other features",
        )?;
        Ok(out)
    }
}

/// The newest version of glibc that a program asks for, by the names of versions in it.
fn glibc_of(program: &[u8]) -> (u32, u32) {
    const NAME: &[u8] = b"GLIBC_2.";
    let at = |i: usize| {
        let digits: String = program[i + NAME.len()..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .map(|&byte| byte as char)
            .collect();
        digits.parse().map_or((2, 0), |minor| (2, minor))
    };
    let names = program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    names.map(|(i, _)| at(i)).max().unwrap_or((2, 0))
}

/// What comes along of the project, by its path there, in order.
fn files(root: &Path, asked: &Asked) -> Result<Vec<PathBuf>> {
    let mut all = vec![PathBuf::from("LICENSE-MIT"), PathBuf::from("LICENSE-APACHE")];
    let mut folders = if asked.without_program { Vec::new() } else { vec![PathBuf::from("data_manifests")] };
    while let Some(folder) = folders.pop() {
        let place = root.join(&folder);
        for entry in fs::read_dir(&place).map_err(Error::io(&place, "listing"))? {
            let entry = entry.map_err(Error::io(&place, "listing"))?;
            let (name, path) = (entry.file_name().to_string_lossy().into_owned(), folder.join(entry.file_name()));
            let is_first = folder == Path::new("data_manifests");
            let is_out = LEFT_OUT.contains(&name.as_str()) || asked.without_data && DATA.contains(&name.as_str());
            match entry.path().is_dir() {
                true if is_first && is_out => {}
                true => folders.push(path),
                false if name.starts_with('.') => {}
                false => all.push(path),
            }
        }
    }
    all.sort();
    Ok(all)
}

/// What lies beside a bench's source and is no source of it, by its path in the project, in order.
fn beside(root: &Path, bench: &str) -> Result<Vec<PathBuf>> {
    let folder = Path::new("benches").join(bench);
    let place = root.join(&folder);
    let mut all = Vec::new();
    for entry in fs::read_dir(&place).map_err(Error::io(&place, "listing"))? {
        let entry = entry.map_err(Error::io(&place, "listing"))?;
        let path = folder.join(entry.file_name());
        let is_source = path.extension().is_some_and(|end| end == "rs");
        if !is_source && entry.path().is_file() {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// A file of the bundle, the same whenever it is made.
fn put(tar: &mut tar::Builder<impl Write>, name: &str, bytes: &[u8], runs: bool) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(if runs { 0o755 } else { 0o644 });
    header.set_mtime(0);
    tar.append_data(&mut header, Path::new(FOLDER).join(name), bytes)
}
