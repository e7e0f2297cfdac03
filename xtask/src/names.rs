//! Rust names from the names of the models.

const KEYWORDS: [&str; 25] = [
    "abstract", "as", "async", "box", "break", "const", "enum", "final", "for", "if", "impl", "in", "loop", "macro",
    "match", "move", "mod", "override", "ref", "return", "static", "struct", "type", "use", "where",
];

/// `enableECSManagedTags` → `enable_ecs_managed_tags`; keywords become raw identifiers.
pub fn field(name: &str) -> String {
    let snake = snake(name);
    if KEYWORDS.contains(&snake.as_str()) { format!("r#{snake}") } else { snake }
}

/// `RunTaskRequest` → `run_task_request`.
pub fn snake(name: &str) -> String {
    words(name).join("_")
}

/// `RunTaskRequest` → `RUN_TASK_REQUEST`.
pub fn screaming(name: &str) -> String {
    snake(name).to_uppercase()
}

/// A shape's name, which is one already unless it begins with a small letter.
pub fn type_name(name: &str) -> String {
    let name = name.trim_start_matches('_');
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}

/// `RUN_TASK` → `RunTask`, `distinctInstance` → `DistinctInstance`, `X86_64` stays itself. A value called `UNKNOWN`
/// becomes `UnknownValue`, because `Unknown` holds the values that the model does not know.
pub fn variant(value: &str) -> String {
    let mut out = String::new();
    for word in words(value) {
        let between_digits =
            out.ends_with(|c: char| c.is_ascii_digit()) && word.starts_with(|c: char| c.is_ascii_digit());
        if between_digits {
            out.push('_');
        }
        out.push_str(&type_name(&word));
    }
    if out == "Unknown" {
        return "UnknownValue".to_owned();
    }
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        return format!("V{out}");
    }
    out
}

/// Lower-case words, cut at anything but letters and digits and where the case says so: `Ipv6CIDRBlocks` is
/// `ipv6 cidr blocks`.
fn words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    for (i, &c) in letters.iter().enumerate() {
        if !c.is_ascii_alphanumeric() {
            words.push(std::mem::take(&mut word));
            continue;
        }
        let before = i.checked_sub(1).map(|i| letters[i]);
        let after = letters.get(i + 1);
        let rises = c.is_ascii_uppercase() && before.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let leaves_acronym = c.is_ascii_uppercase()
            && before.is_some_and(|b| b.is_ascii_uppercase())
            && after.is_some_and(|a| a.is_ascii_lowercase());
        let plural = leaves_acronym && after == Some(&'s') && letters.get(i + 2).is_none_or(|c| c.is_ascii_uppercase());
        if rises || (leaves_acronym && !plural) {
            words.push(std::mem::take(&mut word));
        }
        word.push(c.to_ascii_lowercase());
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_like_rust() {
        for (given, expected) in [
            ("enableECSManagedTags", "enable_ecs_managed_tags"),
            ("cluster", "cluster"),
            ("Ipv6CidrBlock", "ipv6_cidr_block"),
            ("VpcIds", "vpc_ids"),
            ("elasticGPUs", "elastic_gpus"),
            ("EBSKMSKeyId", "ebskms_key_id"),
            ("type", "r#type"),
        ] {
            assert_eq!(field(given), expected);
        }
        for (given, expected) in [
            ("FARGATE", "Fargate"),
            ("EC2", "Ec2"),
            ("RUN_TASK", "RunTask"),
            ("distinctInstance", "DistinctInstance"),
            ("X86_64", "X86_64"),
            ("UNKNOWN", "UnknownValue"),
            ("Bytes/Second", "BytesSecond"),
        ] {
            assert_eq!(variant(given), expected);
        }
    }
}
