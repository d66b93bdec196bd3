//! A system that has no symbolic links, as some file systems have none: the kernel refuses to make one.

/// From now on this thread, and those that it starts, cannot make a link.
pub fn forbid() {
    // Load the number of the system call; refuse the two that make links with EPERM; let all others pass.
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let refuse_if = |number: libc::c_long| {
        [
            libc::sock_filter { code: 0x15, jt: 0, jf: 1, k: number as u32 },
            statement(0x06, 0x0005_0000 | libc::EPERM as u32),
        ]
    };
    let mut filter = vec![statement(0x20, 0)];
    filter.extend(refuse_if(libc::SYS_symlinkat));
    #[cfg(target_arch = "x86_64")]
    filter.extend(refuse_if(libc::SYS_symlink));
    filter.push(statement(0x06, 0x7fff_0000));
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program is valid for the length that it states, and the kernel copies it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
    assert!(std::os::unix::fs::symlink("nowhere", "/tmp/wider-clip-no-link").is_err(), "links are still made");
}
