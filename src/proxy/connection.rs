//! Connection files: where a kernel listens, and its key.

use crate::Failed;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What a connection file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The address.
    pub ip: String,
    /// The key of the signatures; empty for none.
    pub key: String,
    /// Requests.
    pub shell_port: u16,
    /// What all hear.
    pub iopub_port: u16,
    /// Questions to the client.
    pub stdin_port: u16,
    /// Requests that do not wait.
    pub control_port: u16,
    /// Heartbeat.
    pub hb_port: u16,
}

impl Connection {
    /// Reads the file that Jupyter wrote.
    ///
    /// # Errors
    /// [`Failed`] where it cannot be read, lacks something, or asks for another transport than TCP.
    pub fn read(path: &Path) -> Result<Connection, Failed> {
        let wrong = |reason: String| Failed(format!("the connection file {}: {reason}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let file: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let text = |name: &str| file[name].as_str().map(str::to_string).ok_or_else(|| wrong(format!("no {name}")));
        let port = |name: &str| {
            let port = file[name].as_u64().and_then(|port| u16::try_from(port).ok());
            port.ok_or_else(|| wrong(format!("no {name}")))
        };
        if text("transport")? != "tcp" {
            return Err(wrong("only the transport tcp is served".to_string()));
        }
        if !matches!(file["signature_scheme"].as_str(), None | Some("" | "hmac-sha256")) {
            return Err(wrong("only signatures by hmac-sha256 are served".to_string()));
        }
        Ok(Connection {
            ip: text("ip")?,
            key: text("key")?,
            shell_port: port("shell_port")?,
            iopub_port: port("iopub_port")?,
            stdin_port: port("stdin_port")?,
            control_port: port("control_port")?,
            hb_port: port("hb_port")?,
        })
    }

    /// Free ports of this machine, with the given key.
    ///
    /// # Errors
    /// [`Failed`] where there are none.
    pub fn local(key: &str) -> Result<Connection, Failed> {
        let failed = |error: std::io::Error| Failed(format!("no free port: {error}"));
        // All are held until all are chosen, so that no two are the same.
        let mut held = Vec::new();
        let mut port = || -> std::io::Result<u16> {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            let port = listener.local_addr()?.port();
            held.push(listener);
            Ok(port)
        };
        let mut next = || port().map_err(failed);
        Ok(Connection {
            ip: "127.0.0.1".to_string(),
            key: key.to_string(),
            shell_port: next()?,
            iopub_port: next()?,
            stdin_port: next()?,
            control_port: next()?,
            hb_port: next()?,
        })
    }

    /// All five.
    pub fn ports(&self) -> [u16; 5] {
        [self.shell_port, self.iopub_port, self.stdin_port, self.control_port, self.hb_port]
    }

    /// Writes the file for the child; only this user may read the key. It is gone when the value is dropped.
    ///
    /// # Errors
    /// [`Failed`] where it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<ConnectionFile, Failed> {
        let path = folder.join(format!("child-{}-{}.json", std::process::id(), self.shell_port));
        let failed = |error: std::io::Error| Failed(format!("{} cannot be written: {error}", path.display()));
        let content = json!({
            "transport": "tcp", "ip": self.ip, "key": self.key, "signature_scheme": "hmac-sha256",
            "shell_port": self.shell_port, "iopub_port": self.iopub_port, "stdin_port": self.stdin_port,
            "control_port": self.control_port, "hb_port": self.hb_port, "kernel_name": "",
        });
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        file.write_all(content.to_string().as_bytes()).map_err(failed)?;
        Ok(ConnectionFile(path))
    }
}

/// A connection file on disk.
#[derive(Debug)]
pub struct ConnectionFile(PathBuf);

impl ConnectionFile {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ConnectionFile {
    fn drop(&mut self) {
        // Nothing depends on it being gone.
        let _ = std::fs::remove_file(&self.0);
    }
}
