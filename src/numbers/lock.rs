//! Locks between processes, of one machine or of many that share a disk.
//!
//! On a disk of this machine the system's own lock (`flock`) is enough: it ends with its holder, however that ends. On a disk
//! that machines share, the system's lock may hold on one machine alone (NFS mounted with `nolock` or `local_lock`), or be
//! refused (Lustre without `flock`). There a lease stands beside it: a file that its holder writes anew every few seconds,
//! made by the one call that such disks promise to let succeed once. Whoever waits takes it away once it has stood still for
//! long, or at once where its holder was a process of this machine that is gone.
//!
//! A lock saves work that would be done twice. Nothing that it keeps apart may be lost where it fails: what is written is
//! written whole, and many machines write files of their own ([`crate::storage::write_atomic`]).

use crate::error::{Error, Result};
use crate::storage::{process_mark, sweep_left_behind};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Time between two signs of life of a lease's holder.
const BEAT: Duration = Duration::from_secs(5);

/// A lease that has stood still so long is of a holder that is gone. Much longer than a beat: a disk that many machines share
/// now and then lets a call wait.
const GONE: Duration = Duration::from_secs(60);

/// Between two looks at another's lease, at first and in the end.
const LOOK: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// An exclusive lock between processes, held until dropped.
#[derive(Debug)]
pub struct FolderLock {
    // Given back before the file is.
    _lease: Option<Lease>,
    _file: File,
}

impl FolderLock {
    /// Takes the lock `.lock` in `folder`, which is created. Where another process holds it, `waiting` is called once
    /// and the call blocks until that process is done.
    ///
    /// # Errors
    /// [`Error::Io`] for a folder that cannot be made or written.
    pub fn acquire(folder: &Path, waiting: impl FnOnce()) -> Result<FolderLock> {
        FolderLock::named(folder, ".lock", waiting)
    }

    /// The lock of `folder` where nobody holds it; `None` where somebody does.
    ///
    /// # Errors
    /// As [`FolderLock::acquire`].
    pub fn free(folder: &Path) -> Result<Option<FolderLock>> {
        FolderLock::take(folder, ".lock", &mut || false)
    }

    /// The same under a name of its own, for parts of a folder that may be worked on side by side.
    ///
    /// # Errors
    /// As [`FolderLock::acquire`].
    pub fn named(folder: &Path, name: &str, waiting: impl FnOnce()) -> Result<FolderLock> {
        let mut waiting = Some(waiting);
        let mut tell = || {
            if let Some(waiting) = waiting.take() {
                waiting();
            }
            true
        };
        let lock = FolderLock::take(folder, name, &mut tell)?;
        lock.ok_or_else(|| Error::argument("lock", "one that is waited for", "none"))
    }

    /// Takes the lock; where another holds it, `waits` is asked whether to wait.
    fn take(folder: &Path, name: &str, waits: &mut dyn FnMut() -> bool) -> Result<Option<FolderLock>> {
        fs::create_dir_all(folder).map_err(Error::io(folder, "creating the folder"))?;
        let path = folder.join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::io(&path, "opening the lock"))?;
        let refused = match file.try_lock() {
            Ok(()) => false,
            Err(TryLockError::WouldBlock) if !waits() => return Ok(None),
            Err(TryLockError::WouldBlock) => {
                file.lock().map_err(Error::io(&path, "locking"))?;
                false
            }
            Err(TryLockError::Error(source)) if is_refusal(&source) => true,
            Err(TryLockError::Error(source)) => return Err(Error::io(&path, "locking")(source)),
        };
        let lease = match refused || is_shared(folder) {
            true => match Lease::take(folder.join(format!("{name}.lease")), waits)? {
                Some(lease) => Some(lease),
                None => return Ok(None),
            },
            false => None,
        };
        sweep_left_behind(folder);
        Ok(Some(FolderLock { _lease: lease, _file: file }))
    }
}

/// Whether the disk has no locks to give, as Lustre mounted without them.
fn is_refusal(error: &std::io::Error) -> bool {
    #[cfg(unix)]
    if matches!(error.raw_os_error(), Some(libc::ENOLCK | libc::ENOSYS | libc::EOPNOTSUPP)) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

/// Whether the folder is on a kind of disk that machines share.
#[cfg(target_os = "linux")]
fn is_shared(folder: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // NFS, SMB (three kinds), Lustre, GPFS, Ceph, BeeGFS, OCFS2, GFS2, AFS, 9P, FUSE: numbers of statfs(2) and of their sources.
    const SHARED: [u32; 13] = [
        0x6969,
        0x517B,
        0xFE53_4D42,
        0xFF53_4D42,
        0x0BD0_0BD0,
        0x4750_4653,
        0x00C3_6400,
        0x1983_0326,
        0x7461_636F,
        0x0116_1970,
        0x5346_414F,
        0x0102_1997,
        0x6573_5546,
    ];
    let Ok(path) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else { return false };
    let mut answer = std::mem::MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a path that ends in 0, and room for the answer, which is read only where the call says that it was given.
    let kind = unsafe {
        match libc::statfs(path.as_ptr(), answer.as_mut_ptr()) {
            0 => answer.assume_init().f_type,
            _ => return false,
        }
    };
    SHARED.contains(&(kind as u32))
}

#[cfg(not(target_os = "linux"))]
fn is_shared(_: &Path) -> bool {
    false
}

/// A file that says that its holder is alive, until dropped.
#[derive(Debug)]
struct Lease {
    path: PathBuf,
    holder: String,
    beats: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Lease {
    /// Takes the lease at `path`, as soon as no other holder is alive; `None` where `waits` says not to wait.
    fn take(path: PathBuf, waits: &mut dyn FnMut() -> bool) -> Result<Option<Lease>> {
        let holder = unique();
        let (mut seen, mut since, mut pause) = (String::new(), Instant::now(), LOOK.0);
        loop {
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    file.write_all(line(&holder, 0).as_bytes()).map_err(Error::io(&path, "writing"))?;
                    return Ok(Some(Lease::held(path, holder)));
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Error::io(&path, "making the lease")(error)),
            }
            // Opened anew each time: that is what makes a shared disk tell what others have written.
            let now = fs::read_to_string(&path).unwrap_or_default();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
            // One that may not be taken away is waited for as one of the living.
            if (since.elapsed() > GONE || is_of_the_dead(&seen)) && take_away(&path, &seen, &holder) {
                continue;
            }
            if !waits() {
                return Ok(None);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(LOOK.1);
        }
    }

    fn held(path: PathBuf, holder: String) -> Lease {
        let (stop, stopped) = channel::<()>();
        let (of, who) = (path.clone(), holder.clone());
        let beat = move || {
            for n in 1u64.. {
                // The lock is given back where the other end is.
                if stopped.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) || !is_of(&of, &who) {
                    return;
                }
                // A beat that fails is made up for by the next one.
                let file = OpenOptions::new().write(true).open(&of);
                let _ = file.and_then(|mut file| file.write_all(line(&who, n).as_bytes()));
            }
        };
        let beats = thread::Builder::new().name("lease".into()).spawn(beat).ok().map(|thread| (stop, thread));
        Lease { path, holder, beats }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beats.take() {
            drop(stop);
            let _ = thread.join();
        }
        if is_of(&self.path, &self.holder) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What stands in a lease: its holder, and how often that has been heard of. Always as long, so that one takes the place of
/// the one before at once.
fn line(holder: &str, beat: u64) -> String {
    format!("{holder} {beat:020}\n")
}

/// A name that no other holder has: machine and process, and which of its leases.
fn unique() -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{}-{}", process_mark(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn is_of(path: &Path, holder: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.split(' ').next() == Some(holder))
}

/// Whether a lease's holder was a process of this machine that is gone.
fn is_of_the_dead(text: &str) -> bool {
    text.split(' ')
        .next()
        .and_then(|holder| holder.rsplit_once('-'))
        .is_some_and(|(mark, _)| crate::storage::is_gone(mark))
}

/// Takes away the lease of a holder that is gone, if it still is what was `seen`. A rename succeeds for one of those that try. False
/// where the disk refuses it.
fn take_away(path: &Path, seen: &str, by: &str) -> bool {
    let aside = path.with_extension(format!("lease-{by}"));
    if let Err(error) = fs::rename(path, &aside) {
        return error.kind() == ErrorKind::NotFound;
    }
    if fs::read_to_string(&aside).is_ok_and(|found| found != seen) {
        // Somebody was quicker, and this is the new holder's: back with it.
        let _ = fs::hard_link(&aside, path);
    }
    let _ = fs::remove_file(&aside);
    true
}
