//! Pages of a listing. A token is the key of the last item that was given, so that a page holds together while items
//! come and go; it is opaque to callers and proves nothing: what it names is looked up again under the caller's scope.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Longer tokens are none of ours.
const TOKEN_CHARS_MAX: usize = 4096;

/// A token that this control plane did not make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Invalid token")]
pub struct InvalidToken;

/// The key after which the page begins; `None` for the first page.
///
/// # Errors
/// When the token is none of ours.
pub fn start(token: Option<&str>) -> Result<Option<String>, InvalidToken> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(None) };
    if token.len() > TOKEN_CHARS_MAX {
        return Err(InvalidToken);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidToken)?;
    String::from_utf8(bytes).map(Some).map_err(|_| InvalidToken)
}

/// The first `limit` items and the token of the next page, if there is one. `items` begin after [`start`]'s key.
pub fn cut<T>(items: impl Iterator<Item = T>, limit: usize, key: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let mut items = items;
    let page: Vec<T> = items.by_ref().take(limit).collect();
    let more = items.next().is_some();
    let token = page.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(key(last)));
    (page, token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_join_to_the_whole() {
        let all: Vec<String> = (0..7).map(|n| format!("item-{n}")).collect();
        for limit in 1..9 {
            let mut seen = Vec::new();
            let mut token = None;
            loop {
                let after = start(token.as_deref()).unwrap();
                let rest = all.iter().filter(|item| after.as_ref().is_none_or(|after| *item > after)).cloned();
                let (page, next) = cut(rest, limit, String::clone);
                seen.extend(page);
                token = next;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(seen, all, "limit {limit}");
        }
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for token in ["?", "====", &"a".repeat(5000), "_w"] {
            assert_eq!(start(Some(token)), Err(InvalidToken), "{token}");
        }
    }
}
