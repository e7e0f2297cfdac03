//! The named security policies of HTTPS and TLS listeners: which versions of TLS a client may speak, and with which
//! ciphers.
//!
//! Served are those that allow nothing older than TLS 1.2. Of their ciphers those are served that have forward secrecy
//! and authenticated encryption; a policy lists what is served, not what AWS would serve besides. Policies that exist
//! for the sake of older versions or of validated modules (FIPS) are known and refused.

/// Ciphers in AWS's words and in order of preference: those of TLS 1.3, then those of TLS 1.2.
const TLS13: &[&str] = &["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const TLS12: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
];

/// What a listener has whose maker names none. AWS has an older one there, which allows TLS 1.0.
pub const DEFAULT: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SslPolicy {
    pub name: &'static str,
    pub has_tls12: bool,
    pub has_tls13: bool,
    /// Keys are agreed on by post-quantum methods where the client knows them.
    pub is_post_quantum: bool,
}

const fn policy(name: &'static str, has_tls12: bool, has_tls13: bool, is_post_quantum: bool) -> SslPolicy {
    SslPolicy { name, has_tls12, has_tls13, is_post_quantum }
}

/// Those that are served, in the order in which they are shown.
pub const SERVED: &[SslPolicy] = &[
    policy("ELBSecurityPolicy-TLS13-1-2-2021-06", true, true, false),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-2021-06", true, true, false),
    policy("ELBSecurityPolicy-TLS13-1-3-2021-06", false, true, false),
    policy("ELBSecurityPolicy-TLS13-1-2-PQ-2025-09", true, true, true),
    policy("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09", true, true, true),
    policy("ELBSecurityPolicy-TLS13-1-3-PQ-2025-09", false, true, true),
    policy("ELBSecurityPolicy-TLS-1-2-2017-01", true, false, false),
    policy("ELBSecurityPolicy-FS-1-2-2019-08", true, false, false),
    policy("ELBSecurityPolicy-FS-1-2-Res-2019-08", true, false, false),
    policy("ELBSecurityPolicy-FS-1-2-Res-2020-10", true, false, false),
];

/// Those that AWS has and that are not served.
pub const REFUSED: &[&str] = &[
    "ELBSecurityPolicy-2015-05",
    "ELBSecurityPolicy-2016-08",
    "ELBSecurityPolicy-FS-2018-06",
    "ELBSecurityPolicy-FS-1-1-2019-08",
    "ELBSecurityPolicy-TLS-1-0-2015-04",
    "ELBSecurityPolicy-TLS-1-1-2017-01",
    "ELBSecurityPolicy-TLS-1-2-Ext-2018-06",
    "ELBSecurityPolicy-TLS13-1-0-2021-06",
    "ELBSecurityPolicy-TLS13-1-0-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-0-FIPS-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-0-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-1-2021-06",
    "ELBSecurityPolicy-TLS13-1-1-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-2-Ext0-FIPS-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-FIPS-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-2-Ext1-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-FIPS-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-2-Ext2-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-2-FIPS-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-PQ-2025-09",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-PQ-2025-09",
];

/// A served policy.
pub fn find(name: &str) -> Option<&'static SslPolicy> {
    SERVED.iter().find(|policy| policy.name == name)
}

impl SslPolicy {
    /// As DescribeSSLPolicies spells them.
    pub fn protocols(&self) -> impl Iterator<Item = &'static str> {
        let versions = [(self.has_tls12, "TLSv1.2"), (self.has_tls13, "TLSv1.3")];
        versions.into_iter().filter(|(has, _)| *has).map(|(_, name)| name)
    }

    /// In order of preference.
    pub fn ciphers(&self) -> impl Iterator<Item = &'static str> {
        let sets = [(self.has_tls13, TLS13), (self.has_tls12, TLS12)];
        sets.into_iter().filter(|(has, _)| *has).flat_map(|(_, ciphers)| ciphers.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_served_and_nothing_is_both_served_and_refused() {
        assert!(find(DEFAULT).is_some());
        assert!(SERVED.iter().all(|policy| !REFUSED.contains(&policy.name)));
    }

    #[test]
    fn versions_and_ciphers() {
        let policy = find("ELBSecurityPolicy-TLS13-1-3-2021-06").expect("served");
        assert_eq!(policy.protocols().collect::<Vec<_>>(), ["TLSv1.3"]);
        assert_eq!(policy.ciphers().count(), 3);
        let policy = find("ELBSecurityPolicy-TLS-1-2-2017-01").expect("served");
        assert_eq!(policy.protocols().collect::<Vec<_>>(), ["TLSv1.2"]);
        assert_eq!(policy.ciphers().next(), Some("ECDHE-ECDSA-AES128-GCM-SHA256"));
    }
}
