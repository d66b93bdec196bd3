//! The child kernel's process and all that it starts: one process group, which ends with the proxy however that ends.

use crate::Failed;
use crate::channels::EventSenders;
use crate::events::Event;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// The running child.
pub struct ChildProcess {
    group: i32,
    ended: watch::Receiver<bool>,
    /// A shell that waits for the end of the proxy, however that comes, and then ends the group.
    watchdog: Option<std::process::Child>,
}

impl ChildProcess {
    /// Starts the child. To be called on a thread that lives as long as the process: on Linux the child ends with it.
    ///
    /// # Errors
    /// [`Failed`] where the program cannot be started.
    pub fn start(mut command: Command, events: EventSenders) -> Result<ChildProcess, Failed> {
        // Ctrl-C in a terminal is for the proxy, which passes it on.
        command.process_group(0).stdin(Stdio::null());
        #[cfg(target_os = "linux")]
        // SAFETY: prctl with PR_SET_PDEATHSIG only stores a signal number, and may be called between fork and exec.
        unsafe {
            command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().map_err(|error| Failed(format!("{program} cannot be started: {error}")))?;
        let group = i32::try_from(child.id()).map_err(|_| Failed(format!("{program} has no process id")))?;
        let (tell, ended) = watch::channel(false);
        std::thread::spawn(move || {
            let status = child.wait();
            // Where nobody listens any more, nobody needs to know.
            let _ = tell.send(true);
            let _ = events.wishes.blocking_send(Event::Died(status.map_or_else(|error| error.to_string(), describe)));
        });
        let script = format!("read word; [ \"$word\" = done ] || kill -s KILL -- -{group}");
        let watchdog = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).process_group(0).spawn().ok();
        Ok(ChildProcess { group, ended, watchdog })
    }

    /// Waits for the child to end by itself, then asks it and all that it started to end, then makes them.
    pub async fn end(mut self, patience: Duration) {
        for (signal, patience) in [(0, patience), (libc::SIGTERM, Duration::from_millis(500))] {
            self.signal(signal);
            let _ = timeout(patience, self.ended.wait_for(|ended| *ended)).await;
        }
        self.signal(libc::SIGKILL);
        let _ = timeout(Duration::from_secs(1), self.ended.wait_for(|ended| *ended)).await;
        if let Some(watchdog) = &mut self.watchdog {
            if let Some(mut pipe) = watchdog.stdin.take() {
                let _ = pipe.write_all(b"done\n");
            }
            let _ = watchdog.wait();
        }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill only sends a signal. The group has the id of a process that this one started; while members of it
        // live, the id is not given to another.
        unsafe { libc::kill(-self.group, signal) };
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}
