use super::*;

fn check(pattern: &str, yes: &[&str], no: &[&str]) {
    let parsed = Pattern::parse(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    for message in yes {
        assert!(parsed.matches(message), "{pattern} should match {message}");
    }
    for message in no {
        assert!(!parsed.matches(message), "{pattern} should not match {message}");
    }
}

#[test]
fn terms() {
    check("", &["", "anything"], &[]);
    check("ERROR", &["[ERROR 400] BAD"], &["error"]);
    check("ERROR ARGUMENTS", &["ERROR 401 ARGUMENTS"], &["ERROR"]);
    check("?ERROR ?WARN", &["ERROR", "a WARN"], &["INFO"]);
    check("ERROR ?WARN", &["ERROR"], &["WARN"]);
    check("ERROR -ARGUMENTS", &["ERROR"], &["ERROR ARGUMENTS"]);
    check("\"out of memory\"", &["it is out of memory now"], &["out of"]);
    check(r#""say \"hi\"""#, &[r#"say "hi""#], &["say hi"]);
    check("%4[0-9]{2}%", &["status 404"], &["status 504"]);
    check("-debug", &["info"], &["debug"]);
}

#[test]
fn json() {
    let event = r#"{"level":"error","code":503,"ok":false,"user":null,"tags":["a","b"],"a":{"b":{"c":1.5}},"x y":"z"}"#;
    let yes = [
        r#"{ $.level = "error" }"#,
        "{ $.level = error }",
        r#"{ $.level = "err*" }"#,
        "{ $.level != info }",
        "{ $.level = %^err% }",
        "{ $.code >= 500 }",
        "{ $.code = 5.03e2 }",
        "{ $.code > 500 && $.code < 504 }",
        r#"{ $.level = "info" || $.code = 503 }"#,
        r#"{ ($.level = "info" || $.code = 503) && $.ok IS FALSE }"#,
        "{ $.user IS NULL }",
        "{ $.missing NOT EXISTS }",
        r#"{ $.tags[0] = "a" }"#,
        r#"{ $.tags[*] = "b" }"#,
        "{ $.a.b.c = 1.5 }",
        "{ $['x y'] = z }",
        "{ $.ok = false }",
    ];
    for pattern in yes {
        check(pattern, &[event], &["not json", "{}"].map(|_| "not json"));
    }
    let no = [
        "{ $.code < 500 }",
        "{ $.user NOT EXISTS }",
        "{ $.missing IS NULL }",
        "{ $.missing != 1 }",
        "{ $.ok IS TRUE }",
        "{ $.tags[7] = a }",
    ];
    for pattern in no {
        check(pattern, &[], &[event]);
    }
}

#[test]
fn space_delimited() {
    let line = r#"127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534"#;
    let yes = [
        "[ip, id, user, time, request, status, bytes]",
        "[ip, id, user, time, request, status = 404, bytes > 1000]",
        "[ip, id, user, time, request = *html*, status = 4*, bytes]",
        "[..., status = 404, bytes]",
        "[ip, ..., bytes >= 1534]",
        "[ip, id, user, time, request, status = 404 || status = 500, bytes]",
        "[ip != 10.* && ip != 192.*, id, user, time, request, status, bytes]",
        "[ip=%127\\.0\\.0\\.[1-9]%, ...]",
        "[...]",
    ];
    for pattern in yes {
        check(pattern, &[line], &[]);
    }
    let no = ["[ip, id]", "[..., status = 500, bytes]", "[ip, id, user, time, request, status, bytes > 2000]"];
    for pattern in no {
        check(pattern, &[], &[line]);
    }
}

#[test]
fn refused() {
    let long = "a".repeat(PATTERN_CHARS_MAX + 1);
    let deep = format!("{{ {}$.a = 1{} }}", "(".repeat(100), ")".repeat(100));
    let cases = [
        "{ $.a }",
        "{ $.a = }",
        "{ a = 1 }",
        "{ $.a = 1",
        "{ $.a = 1 } x",
        "{ $ = 1 }",
        "{ $.a[x] = 1 }",
        "{ $.a IS 5 }",
        "[a, b",
        "[a = ]",
        "[, b]",
        "[..., a, ...]",
        "\"open",
        "%open",
        "%(%",
        "a.b",
        &long,
        &deep,
    ];
    for pattern in cases {
        assert!(Pattern::parse(pattern).is_err(), "{pattern} should be refused");
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(pattern in "[\\[\\]{}$.a=<>!&|()%\"*? ,\\\\0-9-]{0,40}", message in ".{0,60}") {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            pattern.matches(&message);
        }
    }
}
