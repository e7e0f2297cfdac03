//! Where a redirect action leads.

use model::edge::Redirect;

/// The parts of a request that the keywords stand for.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    pub protocol: &'a str,
    /// Without the port.
    pub host: &'a str,
    pub port: u16,
    /// With its first slash.
    pub path: &'a str,
    pub query: &'a str,
}

/// The value of `Location`. The port is always in it, as AWS has it.
pub fn location(redirect: &Redirect, parts: &Parts) -> String {
    let fill = |template: &str| fill(template, parts);
    let protocol = fill(&redirect.protocol).to_ascii_lowercase();
    let (host, port, path) = (fill(&redirect.host), fill(&redirect.port), fill(&redirect.path));
    let query = fill(&redirect.query);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{protocol}://{host}:{port}{path}{mark}{query}")
}

/// One pass, so that what a request brings in is never taken for a keyword.
fn fill(template: &str, parts: &Parts) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find("#{") {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        let end = rest.find('}').map_or(rest.len(), |end| end + 1);
        match &rest[..end] {
            "#{protocol}" => filled.push_str(parts.protocol),
            "#{host}" => filled.push_str(parts.host),
            "#{port}" => filled.push_str(&parts.port.to_string()),
            "#{path}" => filled.push_str(parts.path.strip_prefix('/').unwrap_or(parts.path)),
            "#{query}" => filled.push_str(parts.query),
            other => filled.push_str(other),
        }
        rest = &rest[end..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations() {
        let parts = Parts { protocol: "http", host: "a.com", port: 80, path: "/x/y", query: "q=1" };
        let check = |redirect: Redirect, parts: &Parts, expected: &str| {
            assert_eq!(location(&redirect, parts), expected, "{redirect:?}");
        };
        let same = Redirect::default;
        check(Redirect { protocol: "HTTPS".into(), port: "443".into(), ..same() }, &parts, "https://a.com:443/x/y?q=1");
        check(Redirect { host: "www.#{host}".into(), ..same() }, &parts, "http://www.a.com:80/x/y?q=1");
        check(
            Redirect { path: "/new/#{path}".into(), query: String::new(), ..same() },
            &parts,
            "http://a.com:80/new/x/y",
        );
        check(
            Redirect { query: "#{query}&from=#{host}".into(), ..same() },
            &parts,
            "http://a.com:80/x/y?q=1&from=a.com",
        );
        check(
            Redirect { path: "/#{odd".into(), query: "#{what}".into(), ..same() },
            &parts,
            "http://a.com:80/#{odd?#{what}",
        );
        let sly = Parts { path: "/#{host}", query: "", ..parts };
        check(same(), &sly, "http://a.com:80/#{host}");
    }
}
