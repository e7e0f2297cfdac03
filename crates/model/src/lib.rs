//! The nouns of Gantry: what a cluster, a task definition, a task, a node is, and the arithmetic on them.
//!
//! Everything here is plain data and pure functions: no clock, no I/O, no randomness, no `HashMap` iteration order.
//! Time, ids and random bits are passed in by the caller. AWS wire shapes live in `wire` and are strangers to this
//! crate; `control::convert` is the only place that knows both.
//!
//! Invariants
//! - A `Task`'s `last_status` never goes back ([`task::TaskStatus`] is ordered; [`task::advance`] keeps the rule).
//! - Every row that a tenant can see carries a [`Scope`] (account and region).

pub mod arn;
pub mod capability;
pub mod capacity_provider;
pub mod certificate;
pub mod cluster;
pub mod container_instance;
pub mod deployment_configuration;
pub mod discovery;
pub mod dns;
pub mod edge;
pub mod elastic_address;
pub mod firewall;
pub mod id;
pub mod internet_gateway;
pub mod link;
pub mod load_balancer;
pub mod logs;
pub mod mesh;
pub mod nat_gateway;
pub mod network;
pub mod node;
pub mod prefix_list;
pub mod query;
pub mod resources;
pub mod route_table;
pub mod security_group;
pub mod service;
pub mod service_connect;
pub mod service_deployment;
pub mod service_event;
pub mod service_load_balancer;
pub mod service_registry;
pub mod service_revision;
pub mod setting;
pub mod ssl_policy;
pub mod tag;
pub mod task;
pub mod task_definition;
pub mod task_registration;
pub mod task_set;
pub mod task_target;
pub mod time;

pub use arn::Arn;
pub use capacity_provider::CapacityProvider;
pub use certificate::Certificate;
pub use cluster::Cluster;
pub use container_instance::{Attribute, ContainerInstance, InstanceStatus};
pub use elastic_address::ElasticAddress;
pub use id::{ContainerInstanceId, NodeId, Scope, TaskId};
pub use internet_gateway::InternetGateway;
pub use nat_gateway::NatGateway;
pub use network::{NetworkInterface, Subnet, Vpc};
pub use node::Node;
pub use prefix_list::PrefixList;
pub use query::Query;
pub use resources::{CpuUnits, MemoryMib, Port, Protocol, Resources};
pub use route_table::RouteTable;
pub use security_group::SecurityGroup;
pub use service::{Deployment, Service, ServiceKey};
pub use service_connect::ServiceConnect;
pub use service_deployment::ServiceDeployment;
pub use service_event::{ServiceAction, ServiceEvent};
pub use service_load_balancer::ServiceLoadBalancer;
pub use service_registry::ServiceRegistry;
pub use service_revision::ServiceRevision;
pub use tag::Tag;
pub use task::{DesiredStatus, HealthStatus, LaunchType, StopCode, Task, TaskStatus};
pub use task_definition::{ContainerDefinition, NetworkMode, TaskDefinition};
pub use task_registration::TaskRegistration;
pub use task_set::TaskSet;
pub use task_target::TaskTarget;
pub use time::Timestamp;
