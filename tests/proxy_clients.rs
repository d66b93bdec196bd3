//! Clients of the proxy kernel, in Python with jupyter_client, as JupyterLab's server is one: with a child made for it
//! (`proxy/fake_child.py`), and with the real kernel. `proxy/clients.py` holds the tests; `-- --nocapture` shows what they measure.

use std::path::Path;
use std::process::Command;
use wider_clip::workbench::{Workbench, setup};
use wider_clip_proxy::events::Settings;

#[test]
fn what_clients_see() {
    let workbench = Workbench::new(env!("CARGO_MANIFEST_DIR"), env!("CARGO_BIN_EXE_wider-clip")).unwrap();
    setup::ensure(&workbench).unwrap();
    let output = Command::new(workbench.python())
        .arg(workbench.root().join("tests/proxy/clients.py"))
        .envs(workbench.jupyter_environment())
        .env("TEST_PROGRAM", std::env::current_exe().unwrap())
        .env("KERNEL_PROGRAM", workbench.program())
        .output()
        .unwrap();
    print!("{}", String::from_utf8_lossy(&output.stdout));
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "a client saw something else");
}

/// Not a test by itself: what `clients.py` starts as a program of its own.
#[test]
#[ignore = "a kernel; clients.py starts it"]
fn proxy_of_a_child() {
    let named = |name: &str| std::env::var(name).unwrap();
    let (file, child) = (named("PROXY_FILE"), named("PROXY_CHILD"));
    let file = Path::new(&file);
    let settings = Settings { cells_tell_end: true, language_version: "1.0.0".to_string(), ..Settings::default() };
    let command = |inner: &Path| {
        let mut command = Command::new(named("PROXY_PYTHON"));
        command.arg(child).arg(inner);
        command
    };
    std::process::exit(wider_clip_proxy::run(file, file.parent().unwrap(), settings, command).unwrap());
}
