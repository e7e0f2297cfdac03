//! Query forms, read into the shapes of every operation. The first byte picks the operation, the rest is the form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::constraint;
use wire::query::{self, Dialect, Parameters};
use wire::service::{BUILT, Request};

fuzz_target!(|data: &[u8]| {
    let Some((pick, form)) = data.split_first() else { return };
    let operations: Vec<_> = BUILT.iter().flat_map(|s| s.operations.iter().map(move |o| (s, o.name))).collect();
    let (service, operation) = operations[usize::from(*pick) % operations.len()];
    let mut parameters = Parameters::default();
    if parameters.add(form).is_err() {
        return;
    }
    let mut request = Request::empty(service, operation).expect("operations have shapes");
    if query::read(&parameters, Dialect::Aws, request.structure_mut()).is_ok() {
        constraint::check(request.structure());
    }
});
