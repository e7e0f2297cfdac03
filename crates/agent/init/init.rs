//! The first process of a container whose definition asks for one (`initProcessEnabled`): starts the command, passes
//! signals on to it, reaps what is left to it, and ends as the command ends.
//!
//! It runs in any image, so it uses nothing of one: no C library, no dynamic linker. Built by `build.rs`, mounted
//! into the container by `runtime::spec`. Usage: `init -- COMMAND [ARGUMENT…]`.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};

const SIGCHLD: usize = 17;
const SIG_BLOCK: usize = 0;
const SIG_UNBLOCK: usize = 1;
const WNOHANG: usize = 1;
const EINTR: isize = -4;
const ENOENT: isize = -2;
const ENOTDIR: isize = -20;
/// As shells end for a command that is not there, or cannot be run.
const NOT_FOUND: usize = 127;
const CANNOT_RUN: usize = 126;
const PATH_LIMIT: usize = 4096;
const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const ALL_SIGNALS: u64 = u64::MAX;

#[cfg(target_arch = "x86_64")]
mod number {
    pub const RT_SIGPROCMASK: usize = 14;
    pub const CLONE: usize = 56;
    pub const EXECVE: usize = 59;
    pub const WAIT4: usize = 61;
    pub const KILL: usize = 62;
    pub const RT_SIGTIMEDWAIT: usize = 128;
    pub const EXIT_GROUP: usize = 231;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const RT_SIGTIMEDWAIT: usize = 137;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const WAIT4: usize = 260;
}

// The kernel enters with argc, argv and envp on the stack.
#[cfg(target_arch = "x86_64")]
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "mov rdi, rsp", "and rsp, -16", "call {main}", main = sym main);
#[cfg(target_arch = "aarch64")]
global_asm!(".globl _start", "_start:", "mov x0, sp", "bl {main}", main = sym main);

#[cfg(target_arch = "x86_64")]
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             in("r10") d, in("r8") 0usize, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

#[cfg(target_arch = "aarch64")]
unsafe fn call(number: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let result: isize;
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
             in("x4") 0usize, options(nostack));
    }
    result
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    exit(CANNOT_RUN)
}

fn exit(code: usize) -> ! {
    loop {
        unsafe { call(number::EXIT_GROUP, code, 0, 0, 0) };
    }
}

/// # Safety
/// `stack` is what the kernel gave: a count, that many arguments, null, the environment, null.
unsafe extern "C" fn main(stack: *const usize) -> ! {
    let (count, arguments) = unsafe { (*stack, stack.add(1).cast::<*const u8>()) };
    let environment = unsafe { arguments.add(count + 1) };
    // The program's own name and `--` come first.
    if count < 3 {
        exit(CANNOT_RUN);
    }
    let command = unsafe { arguments.add(2) };
    mask(SIG_BLOCK);
    let child = unsafe { call(number::CLONE, SIGCHLD, 0, 0, 0) };
    if child < 0 {
        exit(CANNOT_RUN);
    }
    if child == 0 {
        mask(SIG_UNBLOCK);
        unsafe { run(command, environment) };
    }
    tend(child)
}

fn mask(how: usize) {
    let set = ALL_SIGNALS;
    unsafe { call(number::RT_SIGPROCMASK, how, &raw const set as usize, 0, size_of::<u64>()) };
}

/// Waits for signals; ends with the child.
fn tend(child: isize) -> ! {
    let set = ALL_SIGNALS;
    loop {
        let signal = unsafe { call(number::RT_SIGTIMEDWAIT, &raw const set as usize, 0, 0, size_of::<u64>()) };
        if signal == SIGCHLD as isize {
            reap(child);
        } else if signal > 0 {
            unsafe { call(number::KILL, child as usize, signal as usize, 0, 0) };
        }
    }
}

/// Signals of a kind merge, so one may stand for several dead.
fn reap(child: isize) {
    loop {
        let mut status: i32 = 0;
        let dead = unsafe { call(number::WAIT4, usize::MAX, &raw mut status as usize, WNOHANG, 0) };
        if dead == EINTR {
            continue;
        }
        if dead <= 0 {
            return;
        }
        if dead == child {
            let signal = (status & 0x7f) as usize;
            exit(if signal == 0 { (status >> 8 & 0xff) as usize } else { 128 + signal });
        }
    }
}

/// # Safety
/// Both lists end with null.
unsafe fn run(command: *const *const u8, environment: *const *const u8) -> ! {
    let name = unsafe { text(*command) };
    let execute =
        |path: *const u8| unsafe { call(number::EXECVE, path as usize, command as usize, environment as usize, 0) };
    if name.contains(&b'/') {
        let error = execute(name.as_ptr());
        exit(if error == ENOENT { NOT_FOUND } else { CANNOT_RUN });
    }
    let mut result = NOT_FOUND;
    let path = unsafe { find(environment, b"PATH=") }.unwrap_or(DEFAULT_PATH);
    for directory in path.split(|byte| *byte == b':') {
        let mut full = [0u8; PATH_LIMIT];
        let parts = [directory, b"/", name];
        let bytes = parts.iter().flat_map(|part| part.iter());
        // The last place stays zero and ends the text.
        if directory.is_empty() || directory.len() + name.len() + 2 > PATH_LIMIT {
            continue;
        }
        full.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        let error = execute(full.as_ptr());
        if error != ENOENT && error != ENOTDIR {
            result = CANNOT_RUN;
        }
    }
    exit(result)
}

unsafe fn find<'a>(mut environment: *const *const u8, prefix: &[u8]) -> Option<&'a [u8]> {
    loop {
        let entry = unsafe { *environment };
        if entry.is_null() {
            return None;
        }
        if let Some(value) = unsafe { text(entry) }.strip_prefix(prefix) {
            return Some(value);
        }
        environment = unsafe { environment.add(1) };
    }
}

/// # Safety
/// `start` is a text that ends with zero.
unsafe fn text<'a>(start: *const u8) -> &'a [u8] {
    unsafe { core::slice::from_raw_parts(start, strlen(start)) }
}

// What the compiler may call without being asked. Written by volatile steps, or it would see a memset in memset.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    (0..length).for_each(|n| unsafe { to.add(n).write_volatile(value as u8) });
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    (0..length).for_each(|n| unsafe { to.add(n).write_volatile(*from.add(n)) });
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    for n in 0..length {
        let (a, b) = unsafe { (a.add(n).read_volatile(), b.add(n).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(start: *const u8) -> usize {
    let mut length = 0;
    while unsafe { start.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

/// The core library is built for unwinding and names this; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    unsafe { memcmp(a, b, length) }
}
