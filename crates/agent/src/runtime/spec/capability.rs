//! Linux capabilities of a container: docker's default set but for one, and what a definition adds and drops.

use std::collections::BTreeSet;

/// By number, as the kernel counts them.
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Without NET_RAW, which docker has: raw packets serve to pretend, and `ping` does without.
const DEFAULT: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Capabilities by their bit in `/proc/self/status`.
pub fn from_bits(bits: u64) -> BTreeSet<&'static str> {
    let numbered = NAMES.iter().enumerate();
    numbered.filter(|(number, _)| bits >> number & 1 == 1).map(|(_, name)| *name).collect()
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("invalid CapAdd or CapDrop: unknown capability: \"{0}\"")]
    Unknown(String),
    #[error("capability {0} cannot be added: this node does not have it itself")]
    Lacking(&'static str),
}

/// Which capabilities a container gets (ecs-semantics §2.3): privileged ignores both lists and takes all of the
/// node's; adding ALL takes all but those dropped; dropping ALL leaves those added; else the default set, drops first.
///
/// `node`: what the node itself has, without `CAP_`.
pub fn choose(
    privileged: bool,
    add: &[String],
    drop: &[String],
    node: &BTreeSet<&'static str>,
) -> Result<BTreeSet<&'static str>, Refused> {
    if privileged {
        return Ok(node.clone());
    }
    let (add_all, add) = read(add)?;
    let (drop_all, drop) = read(drop)?;
    if add_all {
        return Ok(node.difference(&drop).copied().collect());
    }
    if let Some(lacking) = add.difference(node).next() {
        return Err(Refused::Lacking(lacking));
    }
    if drop_all {
        return Ok(add);
    }
    let default = DEFAULT.iter().copied().filter(|name| node.contains(name) && !drop.contains(name));
    Ok(default.chain(add).collect())
}

/// Whether ALL is among the names, and the others.
fn read(names: &[String]) -> Result<(bool, BTreeSet<&'static str>), Refused> {
    let mut all = false;
    let mut known = BTreeSet::new();
    for given in names {
        let upper = given.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" {
            all = true;
            continue;
        }
        let name = NAMES.iter().find(|name| **name == bare);
        known.insert(*name.ok_or_else(|| Refused::Unknown(given.clone()))?);
    }
    Ok((all, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(privileged: bool, add: &[&str], drop: &[&str], expected: Result<&[&str], &str>) {
        let node = BTreeSet::from(["CHOWN", "KILL", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]);
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let got = choose(privileged, &owned(add), &owned(drop), &node);
        let got = got.map(Vec::from_iter).map_err(|error| error.to_string());
        assert_eq!(got, expected.map(<[_]>::to_vec).map_err(str::to_owned), "add {add:?} drop {drop:?}");
    }

    #[test]
    fn adding_and_dropping() {
        check(false, &[], &[], Ok(&["CHOWN", "KILL"]));
        check(false, &["NET_RAW"], &[], Ok(&["CHOWN", "KILL", "NET_RAW"]));
        check(false, &["SYS_PTRACE"], &["KILL"], Ok(&["CHOWN", "SYS_PTRACE"]));
        check(false, &["cap_sys_ptrace"], &["ALL"], Ok(&["SYS_PTRACE"]));
        check(false, &["ALL"], &["SYS_ADMIN"], Ok(&["CHOWN", "KILL", "NET_RAW", "SYS_PTRACE"]));
        check(false, &["KILL"], &["KILL"], Ok(&["CHOWN", "KILL"]));
        check(false, &[], &["ALL"], Ok(&[]));
        check(true, &["FLY"], &["ALL"], Ok(&["CHOWN", "KILL", "NET_RAW", "SYS_ADMIN", "SYS_PTRACE"]));
        check(false, &["FLY"], &[], Err("invalid CapAdd or CapDrop: unknown capability: \"FLY\""));
        check(false, &["SYS_TIME"], &[], Err("capability SYS_TIME cannot be added: this node does not have it itself"));
    }

    #[test]
    fn bits_are_the_kernels() {
        assert_eq!(Vec::from_iter(from_bits(0b10_0001)), ["CHOWN", "KILL"]);
        assert!(!from_bits(0x1ff_feff_ffff).contains("SYS_RESOURCE"));
        assert!(from_bits(u64::MAX).contains("CHECKPOINT_RESTORE"));
    }
}
