//! The system calls that a container may make unless it is privileged: what docker allows by default, as data.
//!
//! All else answers EPERM. Names that a kernel or libseccomp does not know are passed over by runc.

use std::collections::BTreeSet;

use super::document::{Seccomp, SyscallArgument, SyscallRule};

const ALLOW: &str = "SCMP_ACT_ALLOW";
const ERRNO: &str = "SCMP_ACT_ERRNO";
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;

/// Allowed to every container.
const COMMON: &str = "
    access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
    fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
    fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listxattr llistxattr _llseek
    lremovexattr lseek lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat
    openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv
    removexattr rename renameat renameat2 rmdir sendfile sendfile64 setxattr splice stat stat64 statfs statfs64 statx
    symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat
    utimensat_time64 utimes vmsplice write writev cachestat

    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
    mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages

    capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid
    getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set
    landlock_add_rule landlock_create_ruleset landlock_restrict_self pidfd_open pidfd_send_signal prctl prlimit64
    process_mrelease restart_syscall rseq sched_get_priority_max sched_get_priority_min sched_getaffinity
    sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp set_robust_list
    set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32
    setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit
    setsid setuid setuid32 sysinfo times ugetrlimit uname vfork wait4 waitid waitpid

    kill pause rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait
    rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn tgkill tkill

    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64

    accept accept4 bind connect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2
    epoll_wait epoll_wait_old eventfd eventfd2 getpeername getsockname getsockopt listen _newselect poll ppoll
    ppoll_time64 pselect6 pselect6_time64 recv recvfrom recvmmsg recvmmsg_time64 recvmsg select send sendmmsg sendmsg
    sendto setsockopt shutdown socketcall socketpair

    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake getrandom io_cancel io_destroy io_getevents
    io_pgetevents io_pgetevents_time64 io_setup io_submit ipc mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop
    semtimedop semtimedop_time64 shmat shmctl shmdt shmget

    process_vm_readv process_vm_writev ptrace
";

/// Allowed to those who hold a capability.
const GRANTED: [(&str, &str); 14] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount \
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module finit_module init_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp pidfd_getfd process_madvise"),
    ("SYS_RAWIO", "ioperm iopl"),
    ("SYS_TIME", "clock_settime clock_settime64 settimeofday stime"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
];

/// Without x32, which docker has too: hardly a kernel runs it, and each architecture costs milliseconds per container.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: [&str; 2] = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
#[cfg(target_arch = "x86_64")]
const NATIVE: &str = "arch_prctl modify_ldt";
#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: [&str; 2] = ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"];
#[cfg(target_arch = "aarch64")]
const NATIVE: &str = "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls sync_file_range2";

/// `personality` with these only: Linux, its 32-bit and old-number forms, and the query.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
const AF_VSOCK: u64 = 40;
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;

/// `capabilities`: the container's, without `CAP_`.
pub fn profile(capabilities: &BTreeSet<&'static str>) -> Seccomp {
    let words = |text: &'static str| text.split_whitespace();
    let granted = GRANTED.iter().filter(|(name, _)| capabilities.contains(name)).flat_map(|(_, names)| words(names));
    let names: BTreeSet<&'static str> = words(COMMON).chain(words(NATIVE)).chain(granted).collect();
    let mut syscalls = vec![allow(names.into_iter().collect(), None)];
    syscalls.push(allow(vec!["socket"], Some(argument(AF_VSOCK, 0, "SCMP_CMP_NE"))));
    let personality = |value| allow(vec!["personality"], Some(argument(value, 0, "SCMP_CMP_EQ")));
    syscalls.extend(PERSONALITIES.map(personality));
    if !capabilities.contains("SYS_ADMIN") {
        // New processes, but no new namespaces.
        syscalls.push(allow(vec!["clone"], Some(argument(CLONE_NAMESPACES, 0, "SCMP_CMP_MASKED_EQ"))));
        // Its flags are in memory, where a filter cannot look; the C library falls back to clone.
        let unknown = SyscallRule { names: vec!["clone3"], action: ERRNO, errno_ret: Some(ENOSYS), args: Vec::new() };
        syscalls.push(unknown);
    }
    Seccomp { default_action: ERRNO, default_errno_ret: EPERM, architectures: ARCHITECTURES.to_vec(), syscalls }
}

fn allow(names: Vec<&'static str>, argument: Option<SyscallArgument>) -> SyscallRule {
    SyscallRule { names, action: ALLOW, errno_ret: None, args: argument.into_iter().collect() }
}

fn argument(value: u64, value_two: u64, op: &'static str) -> SyscallArgument {
    SyscallArgument { index: 0, value, value_two, op }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(profile: &Seccomp, name: &str) -> bool {
        profile.syscalls[0].names.contains(&name)
    }

    #[test]
    fn capabilities_open_system_calls() {
        let bare = profile(&BTreeSet::new());
        for name in ["mount", "unshare", "setns", "bpf", "reboot", "keyctl", "io_uring_setup", "kexec_load", "clone"] {
            assert!(!allows(&bare, name), "{name}");
        }
        assert!(allows(&bare, "openat") && allows(&bare, "futex"));
        assert!(bare.syscalls.iter().any(|rule| rule.names == ["clone3"] && rule.errno_ret == Some(ENOSYS)));
        let admin = profile(&BTreeSet::from(["SYS_ADMIN"]));
        assert!(allows(&admin, "mount") && allows(&admin, "clone") && !allows(&admin, "reboot"));
        assert!(admin.syscalls.iter().all(|rule| rule.action == ALLOW));
    }
}
