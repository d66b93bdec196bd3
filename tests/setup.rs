//! Set-up without a network: what is asked of pip, that pages need no kernel, and paths with anything in them. Python,
//! cargo and the compilers are stand-ins that write down how they were called.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use wider_clip::workbench::{Workbench, setup};

/// A project folder with all that a shell could trip over in its name, and a folder of stand-ins.
struct Place {
    _folder: tempfile::TempDir,
    project: PathBuf,
    programs: PathBuf,
    calls: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let (project, programs) = (folder.path().join(name), folder.path().join("programs"));
        fs::create_dir_all(project.join("src/workbench")).expect("a folder");
        fs::create_dir(&programs).expect("a folder");
        let calls = folder.path().join("calls");
        fs::write(&calls, "").expect("writes");
        Place { _folder: folder, project, programs, calls }
    }

    /// A stand-in that writes its name and arguments down, then does `more`.
    fn stand_in(&self, name: &str, more: &str) -> PathBuf {
        let path = self.programs.join(name);
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> \"$CALLS\"\n{more}\n");
        fs::write(&path, text).expect("writes");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        path
    }

    /// The tools of the system that a script needs, and no others: neither a CUDA toolkit nor a compiler is found.
    fn tools(&self, names: &[&str]) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        for name in names {
            let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
            symlink(found.unwrap_or_else(|| panic!("no {name}")), self.programs.join(name)).expect("a link");
        }
    }

    fn run(&self, command: &mut Command) -> Output {
        command.env("PATH", &self.programs).env("CALLS", &self.calls).output().expect("it starts")
    }

    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(&self.calls).expect("reads");
        fs::write(&self.calls, "").expect("writes");
        calls.lines().map(String::from).collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `-m venv FOLDER` makes a folder in which Python is this stand-in again; pip fills its `--target`.
const PYTHON: &str = r#"
case "$*" in
    *"-m venv"*)
        for folder; do :; done
        mkdir -p "$folder/bin"
        cp "$0" "$folder/bin/python"
        ;;
    *"-m pip"*)
        while [ $# -gt 0 ]; do
            if [ "$1" = --target ]; then
                mkdir -p "$2/nvidia/cu13/bin" "$2/nvidia/cu13/lib"
                for name in cudart cublas cublasLt curand nvrtc; do : > "$2/nvidia/cu13/lib/lib$name.so.13"; done
            fi
            shift
        done
        ;;
    *json.load*) cat > /dev/null; echo "$DRIVER" ;;
    *libcuda.so.1*) exit 1 ;;
esac
"#;

const NAMES: [&str; 5] = ["plain", "it's", "a \"b\" $HOME `c` \\d", "'", "'; exit 9; '"];

/// Not a test by itself: the Python environment of the project that the environment names.
#[test]
#[ignore = "the child of the test below"]
fn sets_python_up() {
    let root = std::env::var_os("WIDER_CLIP_TEST_PROJECT").expect("set by the parent");
    let workbench = Workbench::new(PathBuf::from(root), "/nowhere/wider-clip").expect("a project");
    setup::ensure_python(&workbench).expect("sets up");
}

#[test]
fn pages_need_python_and_no_kernel() {
    for name in NAMES {
        let place = Place::new(name);
        let python = place.stand_in("python3", PYTHON);
        for other in ["cargo", "rustc", "rustup", "cc"] {
            place.stand_in(other, "exit 1");
        }
        place.tools(&["sh", "mkdir", "cp", "cat"]);
        let set_up = || {
            let mut child = Command::new(std::env::current_exe().expect("this test"));
            child.args(["--ignored", "--exact", "sets_python_up"]);
            let output = place.run(child.env("WIDER_CLIP_TEST_PROJECT", &place.project).env("PYTHON", &python));
            assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
            place.calls()
        };
        let calls = set_up();
        assert!(calls.iter().all(|call| call.starts_with("python3 ")), "{name}: no kernel is compiled: {calls:?}");
        let pip: Vec<&String> = calls.iter().filter(|call| call.contains("-m pip install")).collect();
        assert_eq!(pip.len(), 2, "{calls:?}");
        assert!(pip.iter().all(|call| call.contains("--require-hashes")), "{pip:?}");
        assert!(pip[0].ends_with(".wider-clip/requirements.txt"), "{pip:?}");
        assert!(pip[1].ends_with(".wider-clip/requirements-slides.txt"), "{pip:?}");
        let folder = place.project.join(".wider-clip");
        assert!(folder.join("venv/bin/python").is_file() && !folder.join("evcxr").exists(), "{name}");
        let asks = |calls: Vec<String>| calls.len() == 1 && calls[0].contains("-I -c import os");
        assert!(asks(set_up()), "{name}: all is there");
        // The system's Python is another one by now, and finds nothing of it.
        fs::write(folder.join("venv/bin/python"), "#!/bin/sh\nexit 1\n").expect("writes");
        assert!(set_up().iter().any(|call| call.contains("-m venv --clear")), "{name}: made anew");
        assert!(asks(set_up()), "{name}: all is there again");
    }
}

/// What is in `list`: each requirement with its hashes.
fn requirements(list: &str) -> Vec<(String, usize)> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        match line.trim().strip_prefix("--hash=sha256:") {
            Some(hash) => {
                let hash = hash.trim_end_matches(" \\");
                assert!(hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{line}");
                found.last_mut().expect("a requirement before its hashes").1 += 1;
            }
            None => found.push((line.trim_end_matches(" \\").to_string(), 0)),
        }
    }
    found
}

#[test]
fn every_python_package_is_pinned_with_its_hashes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workbench");
    for (list, least) in [("requirements.txt", 90), ("requirements-cuda.txt", 8)] {
        let found = requirements(&fs::read_to_string(root.join(list)).expect("reads"));
        assert!(found.len() >= least, "{list}: {} packages", found.len());
        for (requirement, hashes) in found {
            assert!(requirement.contains("==") && hashes > 0, "{list}: {requirement} with {hashes} hashes");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_cuda_toolkits_environment_is_read_whatever_its_path_is() {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workbench");
    for name in NAMES {
        let place = Place::new(name);
        for file in ["cuda_toolkit.sh", "requirements-cuda.txt"] {
            fs::copy(from.join(file), place.project.join("src/workbench").join(file)).expect("copies");
        }
        // Python has such a name too.
        let python = place.stand_in("py'thon $3", PYTHON);
        place.stand_in("cargo", "echo '{}'");
        place.stand_in("g++", "");
        place.stand_in("cc", "while [ \"$1\" != -o ]; do shift; done; : > \"$2\"");
        place.tools(&[
            "sh", "dirname", "basename", "uname", "cat", "cp", "cmp", "rm", "mkdir", "ln", "sed", "sort", "grep", "env",
        ]);
        let driver = place.project.join("mod.rs");
        fs::write(&driver, "    pub unsafe fn cuInit(flags: u32);\n").expect("writes");
        let mut script = Command::new("sh");
        script.arg(place.project.join("src/workbench/cuda_toolkit.sh")).env("PYTHON", &python).env("DRIVER", &driver);
        script.env("CUDA_HOME", "/nowhere").env_remove("NVCC").env_remove("CC");
        let output = place.run(&mut script);
        assert!(output.status.success(), "{name}: {}{}", text(&output.stdout), text(&output.stderr));
        let pip = place.calls().into_iter().find(|call| call.contains("-m pip install")).expect("pip is called");
        assert!(pip.contains("--require-hashes") && pip.contains("--no-deps"), "{pip}");

        let mut reader = Command::new("sh");
        reader.current_dir(&place.project).env("LD_LIBRARY_PATH", "/before").env_remove("CUDA_COMPUTE_CAP");
        let output = place.run(reader.args(["-ec", ". .wider-clip/cuda/env.sh; env"]));
        assert!(output.status.success(), "{name}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{name}");
        let said = text(&output.stdout);
        let variable =
            |wanted: &str| said.lines().find_map(|line| line.strip_prefix(&format!("{wanted}="))).map(String::from);
        let folder = place.project.canonicalize().expect("there").join(".wider-clip/cuda");
        let home = folder.join("site/nvidia/cu13").display().to_string();
        for name in ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_TOOLKIT_ROOT_DIR"] {
            assert_eq!(variable(name).as_deref(), Some(home.as_str()));
        }
        let libraries = format!("{home}/lib:/before:{}", folder.join("no-driver").display());
        assert_eq!(variable("LD_LIBRARY_PATH"), Some(libraries), "the stand-in for the driver comes last");
        assert!(variable("PATH").is_some_and(|path| path.starts_with(&format!("{home}/bin:"))), "{said}");
        assert_eq!(variable("CUDA_COMPUTE_CAP").as_deref(), Some("80"));
        let asked: Vec<String> = place.calls();
        assert!(asked.len() == 1 && asked[0].contains("libcuda.so.1"), "Python is found by its name: {asked:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_divides_library_paths_is_refused() {
    let place = Place::new("a:b");
    let script = place.project.join("src/workbench/cuda_toolkit.sh");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/workbench/cuda_toolkit.sh"), &script).expect("copies");
    place.stand_in("cargo", "");
    place.tools(&["sh", "dirname", "uname", "sed"]);
    let output = place.run(Command::new("sh").arg(&script));
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains("without a colon") && said.contains("a:b"), "{said}");
    assert!(!place.project.join(".wider-clip").exists());
}
