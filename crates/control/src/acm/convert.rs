//! Certificates in ACM's shapes.

use model::{Certificate, Timestamp};
use wire::acm::{
    CertificateDetail, CertificateKeyPairOrigin, CertificateOptions, CertificateStatus, CertificateSummary,
    CertificateTransparencyLoggingPreference, CertificateType, ExtendedKeyUsage, ExtendedKeyUsageName, KeyAlgorithm,
    KeyUsage, KeyUsageName, RenewalEligibility,
};
use wire::value;

fn at(time: Timestamp) -> Option<value::Timestamp> {
    Some(value::Timestamp(time.as_millis()))
}

fn status(row: &Certificate, now: Timestamp) -> CertificateStatus {
    if row.facts.not_after < now { CertificateStatus::Expired } else { CertificateStatus::Issued }
}

pub fn detail(row: &Certificate, used_by: Vec<String>, now: Timestamp) -> CertificateDetail {
    let facts = &row.facts;
    let usage = |name: &String| KeyUsage { name: Some(KeyUsageName::from(name.as_str())) };
    let extended = |(name, oid): &(String, String)| ExtendedKeyUsage {
        name: Some(ExtendedKeyUsageName::from(name.as_str())),
        oid: Some(oid.clone()),
    };
    CertificateDetail {
        certificate_arn: Some(row.arn().to_string()),
        certificate_key_pair_origin: Some(CertificateKeyPairOrigin::CustomerProvided),
        created_at: at(row.created_at),
        domain_name: facts.names.first().cloned(),
        extended_key_usages: Some(facts.extended_key_usages.iter().map(extended).collect()),
        imported_at: at(row.imported_at),
        in_use_by: Some(used_by),
        issuer: Some(facts.issuer.clone()),
        key_algorithm: Some(KeyAlgorithm::from(facts.key_algorithm.as_str())),
        key_usages: Some(facts.key_usages.iter().map(usage).collect()),
        not_after: at(facts.not_after),
        not_before: at(facts.not_before),
        options: Some(CertificateOptions {
            certificate_transparency_logging_preference: Some(CertificateTransparencyLoggingPreference::Disabled),
            ..CertificateOptions::default()
        }),
        renewal_eligibility: Some(RenewalEligibility::Ineligible),
        serial: Some(facts.serial.clone()),
        signature_algorithm: Some(facts.signature_algorithm.clone()),
        status: Some(status(row, now)),
        subject: Some(facts.subject.clone()),
        subject_alternative_names: Some(facts.names.clone()).filter(|names| !names.is_empty()),
        r#type: Some(CertificateType::Imported),
        ..CertificateDetail::default()
    }
}

pub fn summary(row: &Certificate, is_in_use: bool, now: Timestamp) -> CertificateSummary {
    let facts = &row.facts;
    let extended = |(name, _): &(String, String)| ExtendedKeyUsageName::from(name.as_str());
    CertificateSummary {
        certificate_arn: Some(row.arn().to_string()),
        certificate_key_pair_origin: Some(CertificateKeyPairOrigin::CustomerProvided),
        created_at: at(row.created_at),
        domain_name: facts.names.first().cloned(),
        extended_key_usages: Some(facts.extended_key_usages.iter().map(extended).collect()),
        has_additional_subject_alternative_names: Some(false),
        imported_at: at(row.imported_at),
        in_use: Some(is_in_use),
        key_algorithm: Some(KeyAlgorithm::from(facts.key_algorithm.as_str())),
        key_usages: Some(facts.key_usages.iter().map(|name| KeyUsageName::from(name.as_str())).collect()),
        not_after: at(facts.not_after),
        not_before: at(facts.not_before),
        renewal_eligibility: Some(RenewalEligibility::Ineligible),
        status: Some(status(row, now)),
        subject_alternative_name_summaries: Some(facts.names.clone()).filter(|names| !names.is_empty()),
        r#type: Some(CertificateType::Imported),
        ..CertificateSummary::default()
    }
}
