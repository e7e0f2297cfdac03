//! Who sent a request: the SigV4 signature checked against the keys that are known here.

use model::Scope;
use wire::service::Service;
use wire::sigv4::{self, Claim, Refusal, SigningKey};

use crate::{Auth, Caller, Control};

/// Longer than any region's name.
const REGION_LENGTH_MAX: usize = 32;

impl Control {
    /// The caller of a request, from what it claims. Without authentication, the root of the account in the region that
    /// the request claims, or else in the default one.
    ///
    /// # Errors
    /// [`Refusal`] says why the signature is not accepted.
    pub(crate) fn authenticate(
        &self,
        request: &sigv4::Request<'_>,
        claim: Result<Claim, Refusal>,
        service: Option<&Service>,
    ) -> Result<Caller, Refusal> {
        if self.config.auth == Auth::Off {
            return Ok(self.claimed_caller(claim.ok()));
        }
        let claim = claim?;
        let now = self.now().as_millis().div_euclid(1000);
        let mut fresh_key = None;
        sigv4::verify_claim(request, &claim, now, |claim| {
            if !self.knows(claim) {
                return None;
            }
            if let Some(key) = self.signing_keys.get(&claim.scope) {
                return Some(key);
            }
            let key = SigningKey::derive(&self.root_key.secret_access_key, &claim.scope);
            fresh_key = Some(key.clone());
            Some(key)
        })?;
        check_scope(&claim, service)?;
        if let Some(key) = fresh_key {
            self.signing_keys.keep(claim.scope.clone(), key);
        }
        Ok(self.root_in(&claim.scope.region, &claim.access_key_id))
    }

    fn knows(&self, claim: &Claim) -> bool {
        // Temporary credentials do not exist here yet, so a session token is never valid.
        claim.session_token.is_none() && claim.access_key_id == self.root_key.access_key_id
    }

    fn claimed_caller(&self, claim: Option<Claim>) -> Caller {
        match claim.filter(|claim| is_region(&claim.scope.region)) {
            Some(claim) => self.root_in(&claim.scope.region, &claim.access_key_id),
            None => self.root_in(&self.config.region, &self.root_key.access_key_id),
        }
    }

    fn root_in(&self, region: &str, access_key_id: &str) -> Caller {
        Caller::root(Scope::new(&self.config.account_id, region), access_key_id)
    }
}

/// A signature for one service must not open another.
fn check_scope(claim: &Claim, service: Option<&Service>) -> Result<(), Refusal> {
    if !is_region(&claim.scope.region) {
        return Err(Refusal::Scope("Credential should be scoped to a valid region. ".to_owned()));
    }
    match service {
        Some(service) if service.signing_name != claim.scope.service => {
            Err(Refusal::Scope(format!("Credential should be scoped to correct service: '{}'. ", service.signing_name)))
        }
        _ => Ok(()),
    }
}

/// `<area>-<direction>-<number>`, the form of every region's name: `us-east-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [words @ .., number] = parts.as_slice() else { return false };
    let is_word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    text.len() <= REGION_LENGTH_MAX
        && words.len() >= 2
        && words.iter().all(is_word)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::is_region;

    #[test]
    fn regions_have_one_form() {
        let cases = [
            ("us-east-1", true),
            ("us-gov-west-1", true),
            ("ap-southeast-12", true),
            ("", false),
            ("us", false),
            ("us-1", false),
            ("us-east", false),
            ("us-east-", false),
            ("US-EAST-1", false),
            ("us-east-1/../x", false),
            ("us--1", false),
            ("aaaaaaaaaaaaaaaaaaaa-aaaaaaaaaaaaaaaaaaaa-1", false),
        ];
        for (text, expected) in cases {
            assert_eq!(is_region(text), expected, "{text:?}");
        }
    }
}
