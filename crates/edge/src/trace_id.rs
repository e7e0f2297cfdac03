//! X-Amzn-Trace-Id: `Root=1-<time>-<96 random bits>`. A request that brings a root keeps it and gets a `Self` of its
//! own before it; other fields stay.

/// The header's value. `random` is used as far as its low 96 bits.
pub fn value(brought: Option<&str>, seconds: u32, random: u128) -> String {
    let mut value = String::with_capacity(48 + brought.map_or(0, |text| text.len() + 48));
    let fields = brought.unwrap_or_default().split(';').map(str::trim).filter(|field| !field.is_empty());
    let kept = fields.filter(|field| !is(field, "Self"));
    let name = if kept.clone().any(|field| is(field, "Root")) { "Self" } else { "Root" };
    value.push_str(name);
    value.push_str("=1-");
    push_hex(&mut value, &seconds.to_be_bytes());
    value.push('-');
    push_hex(&mut value, &random.to_be_bytes()[4..]);
    for field in kept {
        value.push(';');
        value.push_str(field);
    }
    value
}

/// Every request has one: this takes a tenth of what formatting does.
fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

fn is(field: &str, name: &str) -> bool {
    field.split_once('=').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |brought, expected: &str| assert_eq!(value(brought, 0x67891233, 0xab), expected, "{brought:?}");
        let own = "1-67891233-0000000000000000000000ab";
        check(None, &format!("Root={own}"));
        check(Some(""), &format!("Root={own}"));
        check(Some("Root=1-2-3"), &format!("Self={own};Root=1-2-3"));
        check(Some("Self=1-9-9;Root=1-2-3;CalledFrom=app"), &format!("Self={own};Root=1-2-3;CalledFrom=app"));
        check(Some("CalledFrom=app"), &format!("Root={own};CalledFrom=app"));
    }
}
