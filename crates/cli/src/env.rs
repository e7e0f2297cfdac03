//! `gantry env`: the lines that point any AWS client at this gantry. For `eval "$(gantry env)"`.

use control::access_key::AccessKey;
use serde_json::json;

use crate::args::Output;
use crate::failure::{Context, Failure};
use crate::home::Home;
use crate::output;

pub fn run(home: &Home, format: Output) -> Result<(), Failure> {
    let running = home.require_running()?;
    let key = root_key(home)?;
    let variables = [
        ("AWS_ENDPOINT_URL", format!("http://{}", running.address)),
        ("AWS_REGION", running.region.clone()),
        ("AWS_DEFAULT_REGION", running.region.clone()),
        ("AWS_ACCESS_KEY_ID", key.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", key.secret_access_key),
        // Some operations are otherwise asked of a name before the endpoint's, such as `data-127.0.0.1`.
        ("AWS_DISABLE_HOST_PREFIX_INJECTION", "true".to_owned()),
    ];
    let object: serde_json::Map<_, _> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    output::print(format, &object, || {
        let exports = variables.iter().map(|(name, value)| format!("export {name}={value}\n"));
        // A session token of another account would be sent along and refused.
        exports.chain(["unset AWS_SESSION_TOKEN AWS_PROFILE\n".to_owned()]).collect()
    });
    Ok(())
}

pub fn root_key(home: &Home) -> Result<AccessKey, Failure> {
    AccessKey::load(home.directory()).context(|| "the root access key could not be read".to_owned())
}
