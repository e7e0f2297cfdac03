//! RPC v2 CBOR bodies of every operation. The first byte picks the operation, the rest is the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::service::{BUILT, Request};
use wire::{cbor, constraint};

fuzz_target!(|data: &[u8]| {
    let Some((pick, body)) = data.split_first() else { return };
    let operations: Vec<_> = BUILT.iter().flat_map(|s| s.operations.iter().map(move |o| (s, o.name))).collect();
    let (service, operation) = operations[usize::from(*pick) % operations.len()];
    let mut request = Request::empty(service, operation).expect("operations have shapes");
    if cbor::read(body, request.structure_mut()).is_err() {
        return;
    }
    constraint::check(request.structure());
    let mut written = Vec::new();
    cbor::write(request.structure(), &mut written);
    let mut again = Request::empty(service, operation).expect("operations have shapes");
    cbor::read(&written, again.structure_mut()).expect("what was written can be read");
    let mut twice = Vec::new();
    cbor::write(again.structure(), &mut twice);
    assert_eq!(written, twice);
});
