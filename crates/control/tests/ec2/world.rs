//! A control plane's operations over one transaction that is never committed. Requests and answers are JSON, with the
//! names that SDKs have for them.

use control::traffic::Traffic;
use control::{Caller, Config, Cx, Ledger};
use model::{Scope, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use store::{Tables, Txn};
use wire::ec2::Request;
use wire::error::Failure;
use wire::schema::{Kind, Schema};

pub struct World {
    pub txn: Txn,
    pub now: Timestamp,
    pub caller: Caller,
    random: StdRng,
    config: Config,
    ledger: Ledger,
    traffic: Traffic,
}

impl World {
    pub fn new() -> Self {
        Self {
            txn: Txn::on(&Tables::default()),
            now: Timestamp(1_700_000_000_000),
            caller: Caller::root(Scope::new("000000000000", "us-east-1"), "AKIA"),
            random: StdRng::seed_from_u64(1),
            config: Config::new("/nowhere"),
            ledger: Ledger::default(),
            traffic: Traffic::default(),
        }
    }

    /// # Errors
    /// The operation's exception and text, as `Exception: text`.
    pub fn try_call(&mut self, operation: &str, request: Value) -> Result<Value, String> {
        let mut parsed = Request::empty(operation).expect("an operation of the model");
        let request = renamed(parsed.structure().schema(), request, Direction::ToWire);
        wire::json::read(request.to_string().as_bytes(), parsed.structure_mut()).expect("JSON that fits the model");
        let mut cx = Cx {
            txn: &mut self.txn,
            caller: &self.caller,
            now: self.now,
            random: &mut self.random,
            config: &self.config,
            ledger: &self.ledger,
            traffic: &self.traffic,
        };
        let response = control::ec2::dispatch(&mut cx, parsed).map_err(|error| {
            let failure = Failure::from(error);
            format!("{}: {}", failure.code, failure.message)
        })?;
        let mut json = Vec::new();
        wire::json::write(response.structure(), &mut json);
        let answer = serde_json::from_slice(&json).expect("an answer is JSON");
        Ok(renamed(response.structure().schema(), answer, Direction::FromWire))
    }

    #[track_caller]
    pub fn call(&mut self, operation: &str, request: Value) -> Value {
        self.try_call(operation, request).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// Calls what must be refused.
    #[track_caller]
    pub fn refused(&mut self, operation: &str, request: Value) -> String {
        match self.try_call(operation, request.clone()) {
            Ok(answer) => panic!("{operation} {request} was answered: {answer}"),
            Err(error) => error,
        }
    }

    /// Each request is refused with exactly this exception and text.
    #[track_caller]
    pub fn check_refusals(&mut self, operation: &str, cases: &[(Value, &str)]) {
        for (request, expected) in cases {
            assert_eq!(self.refused(operation, request.clone()), *expected, "{operation} {request}");
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    ToWire,
    FromWire,
}

/// EC2 has other names on the wire than in SDKs.
fn renamed(schema: &Schema, value: Value, direction: Direction) -> Value {
    match (&schema.kind, value) {
        (Kind::Structure(members), Value::Object(map)) => {
            let rename = |(key, value): (String, Value)| {
                let from = |member: &&wire::schema::Member| match direction {
                    Direction::ToWire => member.name == key,
                    Direction::FromWire => member.wire_name() == key,
                };
                let member = members.iter().find(from).unwrap_or_else(|| panic!("{} has no {key}", schema.name));
                let name = match direction {
                    Direction::ToWire => member.wire_name(),
                    Direction::FromWire => member.name,
                };
                (name.to_owned(), renamed(member.target, value, direction))
            };
            map.into_iter().map(rename).collect()
        }
        (Kind::List(element), Value::Array(items)) => {
            items.into_iter().map(|item| renamed(element.target, item, direction)).collect()
        }
        (_, value) => value,
    }
}
