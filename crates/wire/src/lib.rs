//! AWS's wire: generated shapes, one codec per protocol over them, errors, and SigV4. Pure: bytes in, values out.
//!
//! # For the author of an operation
//! Every shape of a service is a plain structure in that service's module ([`ecs`], [`logs`], [`sts`], [`ec2`]), named
//! as in AWS's model, with snake_case fields.
//! - A member that the model requires is a plain `T`; every other one is an `Option<T>`. The rule is the same for
//!   requests, nested shapes and answers. `..Default::default()` fills in the rest.
//! - A request that reaches an operation satisfies the model's constraints (required, lengths, ranges, patterns).
//!   One exception, on purpose: where a service has its own words for an empty string or list (ECS), a missing
//!   required string or list arrives empty and the operation refuses it.
//! - Enumerations are open: `LaunchType::Unknown("X".into())` is a value the model does not know, which the operation
//!   refuses or carries along. A modelled value spelled `UNKNOWN` is `UnknownValue`. The default is an empty unknown.
//! - A union is a structure with exactly one member set. A shape that is any JSON is [`value::Document`].
//! - `Error` has one variant per modelled exception and a constructor each: `Error::cluster_not_found("…")`.
//!   `Error::other(status, code, message)` is for codes without a shape, as EC2's are.
//! - `Debug` leaves out what is absent and hides what the model marks sensitive.

pub mod constraint;
pub mod error;
pub mod json;
pub mod limits;
pub mod protocol;
pub mod query;
pub mod schema;
pub mod service;
pub mod sigv4;
pub mod time;
pub mod value;
pub mod xml;

#[rustfmt::skip]
#[path = "generated/ecs.rs"]
pub mod ecs;
#[rustfmt::skip]
#[path = "generated/logs.rs"]
pub mod logs;
#[rustfmt::skip]
#[path = "generated/sts.rs"]
pub mod sts;
#[rustfmt::skip]
#[path = "generated/ec2.rs"]
pub mod ec2;
