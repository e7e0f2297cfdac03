//! The ECS API as a caller sees it, with JSON for requests and answers.

use control::Caller;
use serde_json::Value;
use store::WriteError;
use wire::ecs::{Error, Request};
use wire::error::Failure;
use wire::value::Structure;

use super::World;

impl World {
    /// Runs an operation as one durable write.
    pub async fn call(&self, operation: &str, request: Value) -> Value {
        self.try_call(operation, request).await.unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// The same of Elastic Load Balancing, with JSON that names its members.
    pub async fn balance(&self, operation: &str, request: Value) -> Value {
        let caller = Caller::root(self.scope(), "AKIA");
        let mut parsed = wire::elbv2::Request::empty(operation).expect("an operation of the model");
        let missing = wire::json::read(request.to_string().as_bytes(), parsed.structure_mut());
        assert!(missing.expect("JSON that fits the model").is_empty(), "{request}");
        let answered = self.control.write(&caller, |cx| control::elbv2::dispatch(cx, parsed)).await;
        match answered {
            Ok(response) => json(response.structure()),
            Err(WriteError::Refused(error)) => panic!("{operation}: {}", Failure::from(error).message),
            Err(WriteError::Log(error)) => panic!("{operation}: {error}"),
        }
    }

    /// The same of Cloud Map.
    pub async fn discover(&self, operation: &str, request: Value) -> Value {
        let caller = Caller::root(self.scope(), "AKIA");
        let mut parsed = wire::servicediscovery::Request::empty(operation).expect("an operation of the model");
        wire::json::read(request.to_string().as_bytes(), parsed.structure_mut()).expect("JSON that fits the model");
        let answered = self.control.call_servicediscovery(&caller, parsed).await;
        json(answered.unwrap_or_else(|error| panic!("{operation}: {}", Failure::from(error).message)).structure())
    }

    /// # Errors
    /// The operation's exception and text, as `Exception: text`.
    pub async fn try_call(&self, operation: &str, request: Value) -> Result<Value, String> {
        let caller = Caller::root(self.scope(), "AKIA");
        let mut parsed = Request::empty(operation).expect("an operation of the model");
        let missing = wire::json::read(request.to_string().as_bytes(), parsed.structure_mut());
        assert!(missing.expect("JSON that fits the model").is_empty(), "{request}");
        let answered = self.control.write(&caller, |cx| control::ecs::dispatch(cx, parsed)).await;
        answered.map(|response| json(response.structure())).map_err(|error| match error {
            WriteError::Refused(error) => text(error),
            WriteError::Log(error) => error.to_string(),
        })
    }
}

fn json(structure: &dyn Structure) -> Value {
    let mut json = Vec::new();
    wire::json::write(structure, &mut json);
    serde_json::from_slice(&json).expect("an answer is JSON")
}

fn text(error: Error) -> String {
    let failure = Failure::from(error);
    format!("{}: {}", failure.code, failure.message)
}
