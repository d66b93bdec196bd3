//! A bundle: made, unpacked elsewhere, and at work where there is neither cargo nor Python nor network.
#![cfg(target_os = "linux")]

#[path = "support/tiny_project.rs"]
mod tiny_project;
#[path = "support/work.rs"]
mod work;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use wider_clip::experiments::representations;
use wider_clip::prelude::*;
use wider_clip::workbench::Workbench;
use wider_clip::workbench::bundle::{Asked, make};
use work::project;

/// Where nothing is but what every system has.
fn bare(program: &Path, arguments: &[&str], root: &Path) -> Output {
    let isolated = ["--user", "--map-root-user", "--net"];
    let alone = Command::new("unshare").args(isolated).arg("true").status().is_ok_and(|status| status.success());
    let mut command = match alone {
        true => Command::new("/usr/bin/env"),
        false => Command::new(program),
    };
    command.env_clear().env("PATH", "/usr/bin:/bin").env("WIDER_CLIP_RESULTS", root.join("results"));
    command.env("WIDER_CLIP_CACHE", root.join("cache")).env("WIDER_CLIP_FRESH", "1").current_dir("/");
    if root.join("data_manifests").exists() {
        command.env("WIDER_CLIP_ROOT", root);
    }
    if alone {
        command.arg("unshare").args(isolated).arg(program);
    }
    command.args(arguments).output().expect("starts")
}

#[test]
fn a_bundle_does_the_work_without_cargo_and_without_network() -> Result<()> {
    let (one, many, place) = (folder(), folder(), folder());
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip"))?;
    let file = place.path().join("bundle.tar.gz");
    let made = make(&workbench, &Asked { out: file.clone(), ..Asked::default() })?;
    assert_eq!(made.size, fs::metadata(&file).expect("written").len());
    assert!(made.size < 90_000_000, "{}", made.size);
    let unpacked = Command::new("tar").arg("-xzf").arg(&file).arg("-C").arg(place.path()).status();
    assert!(unpacked.expect("tar").success());
    let root = place.path().join("wider-clip");
    let program = root.join("wider-clip");
    // It needs the C library and what comes with it.
    let needs = Command::new("ldd").arg(root.join("bin/wider-clip")).output().expect("ldd");
    let needs = String::from_utf8_lossy(&needs.stdout).into_owned();
    assert!(!needs.contains("wider_clip") && !needs.contains("libstd"), "{needs}");
    // Its own data.
    let own = many.path().join("own");
    let plan = bare(&program, &["plan", "--suite", "smoke", "--what", "features"], &own);
    let lines = String::from_utf8_lossy(&plan.stdout).into_owned();
    assert!(plan.status.success() && lines.lines().count() > 20, "{lines}{}", String::from_utf8_lossy(&plan.stderr));
    let cell = "features/icons/pixels.raw/0-900";
    let done = bare(&program, &["run", "--suite", "smoke", "--cell", cell], &own);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    // A project elsewhere: rows are those of the program as cargo builds it.
    representations::run(&project(one.path()), &Device::Cpu)?;
    project(many.path());
    let cells = ["good", "drift"]
        .map(|set| ["pixels.raw", "vit_p16_pocket.random"].map(|model| format!("representations/{set}/{model}")));
    for cell in cells.iter().flatten() {
        let done = bare(&program, &["run", "--cell", cell], many.path());
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let gathered = bare(&program, &["gather"], many.path());
    assert_eq!(gathered.status.code(), Some(65), "the other experiments are missing");
    for (set, model) in [("good", "pixels.raw"), ("drift", "vit_p16_pocket.random")] {
        let rows = format!("results/representations/{set}/{model}.parquet");
        let rows = |root: &Path| fs::read(root.join(&rows)).expect("rows");
        assert!(rows(one.path()) == rows(many.path()), "{set} under {model}");
    }

    // On another kind of machine it says so, before it does anything.
    let text = fs::read_to_string(&program).expect("a script");
    for (from, to, said) in [
        (made.glibc.as_str(), "2.99", "this bundle needs glibc 2.99 or later, and this machine has 2."),
        (std::env::consts::ARCH, "vax", "this bundle is for Linux vax, and this machine is Linux"),
    ] {
        assert!(text.contains(from));
        let other = root.join("other");
        fs::write(&other, text.replace(from, to)).expect("writes");
        fs::set_permissions(&other, fs::metadata(&program).expect("there").permissions()).expect("may run");
        let refused = bare(&other, &["plan"], &own);
        assert_eq!(refused.status.code(), Some(65));
        assert!(
            String::from_utf8_lossy(&refused.stderr).contains(said),
            "{}",
            String::from_utf8_lossy(&refused.stderr)
        );
    }

    // Without data it is small.
    let again = place.path().join("again.tar.gz");
    make(&workbench, &Asked { out: again.clone(), without_data: true, ..Asked::default() })?;
    let slim = fs::metadata(&again).expect("written").len();
    assert!(slim + 20_000_000 < made.size, "{slim} of {}", made.size);
    Ok(())
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}
