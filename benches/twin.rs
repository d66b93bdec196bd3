//! The Python process that does the same work.

#![allow(dead_code)]

use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Twin {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Names and versions.
    pub versions: Value,
}

impl Twin {
    /// Starts `python benches/<script>` with so many threads; `requirements` is what it needs installed.
    fn start(python: &str, script: &str, requirements: &str, threads: usize) -> Result<Twin, String> {
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(script));
        for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        let advice = format!("set WIDER_CLIP_PYTHON to a Python with {requirements} installed");
        let failed = |reason: String| format!("{python}: {reason}; {advice}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| failed(error.to_string()))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("no pipes".into()));
        };
        let mut twin = Twin { child, input, output: BufReader::new(output), versions: Value::Null };
        twin.versions = twin.read().map_err(failed)?;
        Ok(twin)
    }

    /// The twin of `script` by the Python that `WIDER_CLIP_PYTHON` names; without it the program ends with what is missing.
    pub fn of(script: &str, requirements: &str, threads: usize) -> Twin {
        let python = std::env::var("WIDER_CLIP_PYTHON").unwrap_or_else(|_| "python3".into());
        Twin::start(&python, script, requirements, threads).unwrap_or_else(|error| {
            eprintln!("{error}");
            std::process::exit(1)
        })
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, command: &Value) -> Value {
        writeln!(self.input, "{command}").unwrap();
        self.read().unwrap_or_else(|reason| panic!("the twin failed at {}: {reason}", command["work"]))
    }

    fn read(&mut self) -> Result<Value, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        serde_json::from_str(&line).map_err(|_| "it ended without an answer (a package missing?)".into())
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
