//! `docs/api-coverage.md` says which operations are served. The page is asked of the operations themselves, by calling
//! each of them; `UPDATE=1 cargo test -p control --test api_coverage` writes it.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use control::{Caller, Clock, Config, Control, logs, sts};
use model::{Scope, Timestamp};
use store::log::memory::MemoryDisk;
use wire::error::Failure;
use wire::service::{self, Request, Service};

/// Whether something answers the operation. An empty request is enough to tell: most refuse it, in their own words.
async fn is_built(control: &Arc<Control>, service: &Service, operation: &str) -> bool {
    let caller = Caller::root(Scope::new("000000000000", "us-east-1"), "AKIA");
    let request = Request::empty(service, operation).expect("a generated request");
    let failure: Option<Failure> = match request {
        Request::Ecs(request) => control.call_ecs(&caller, request).await.err().map(Into::into),
        Request::Logs(request) => logs::call(control, &caller, request).await.err().map(Into::into),
        Request::Elbv2(request) => control.call_elbv2(&caller, request).await.err().map(Into::into),
        Request::Acm(request) => control.call_acm(&caller, request).await.err().map(Into::into),
        Request::Servicediscovery(request) => {
            control.call_servicediscovery(&caller, request).await.err().map(Into::into)
        }
        Request::Sts(request) => sts::dispatch(&caller, request).err().map(Into::into),
        Request::Ec2(request) => control.call_ec2(&caller, request).await.err().map(Into::into),
    };
    failure.is_none_or(|failure| !failure.code.starts_with("UnsupportedOperation"))
}

async fn render(control: &Arc<Control>) -> String {
    let mut summary = String::new();
    let mut lists = String::new();
    for service in service::BUILT {
        let (mut served, mut other) = (Vec::new(), service.other_operations.to_vec());
        for operation in service.operations {
            let list = if is_built(control, service, operation.name).await { &mut served } else { &mut other };
            list.push(operation.name);
        }
        other.sort_unstable();
        let (name, done, left) = (service.name, served.len(), other.len());
        writeln!(summary, "| {name} | {done} | {} |", done + left).unwrap();
        writeln!(lists, "\n## {name}\n").unwrap();
        served.iter().for_each(|operation| writeln!(lists, "- {operation}").unwrap());
        if left > 0 {
            let other = other.join(", ");
            writeln!(lists, "\n<details><summary>{left} not served yet</summary>\n\n{other}\n\n</details>").unwrap();
        }
    }
    let later: Vec<&str> = service::all().filter(|service| !service.is_built()).map(|service| service.name).collect();
    format!("{HEAD}{summary}\nKnown, and not served at all yet: {}.\n{lists}", later.join(", "))
}

const HEAD: &str = "\
# API coverage

What is served, as the operations themselves say: `UPDATE=1 cargo test -p control --test api_coverage` asks each of them
and writes this page. An operation that is not served answers 400, `UnsupportedOperationException` (JSON) or
`UnsupportedOperation` (Query, EC2), and changes nothing.

| service | operations served | of |
|---|---|---|
";

#[tokio::test]
async fn the_page_says_what_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { seed: Some(1), ..Config::new(directory.path()) };
    let clock = Clock::manual(Timestamp(1_795_251_600_000));
    let control = Control::open_with(config, MemoryDisk::new().log(), clock).await.unwrap();
    let page = render(&control).await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api-coverage.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, page, "run `UPDATE=1 cargo test -p control --test api_coverage`");
}
