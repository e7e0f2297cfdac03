//! Amazon Resource Names of the things that Gantry has (ecs-semantics §0.1).

use std::fmt;

use crate::{ContainerInstanceId, Scope, TaskId};

/// `arn:<partition>:<service>:<region>:<account>:<resource>`. The partition is always `aws`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Arn {
    pub service: String,
    pub region: String,
    pub account: String,
    pub resource: String,
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:aws:{}:{}:{}:{}", self.service, self.region, self.account, self.resource)
    }
}

impl Arn {
    /// `None` for text that is not an ARN.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(6, ':');
        if parts.next()? != "arn" || parts.next()?.is_empty() {
            return None;
        }
        let mut next = || parts.next().map(str::to_owned);
        Some(Self { service: next()?, region: next()?, account: next()?, resource: next()? })
    }

    fn ecs(scope: &Scope, resource: String) -> Self {
        Self {
            service: "ecs".to_owned(),
            region: scope.region.to_string(),
            account: scope.account.to_string(),
            resource,
        }
    }

    pub fn cluster(scope: &Scope, name: &str) -> Self {
        Self::ecs(scope, format!("cluster/{name}"))
    }

    pub fn task(scope: &Scope, cluster: &str, id: TaskId) -> Self {
        Self::ecs(scope, format!("task/{cluster}/{id}"))
    }

    /// [`task`](Self::task) as text at once, since a listing shows a hundred of them.
    pub fn task_text(scope: &Scope, cluster: &str, id: TaskId) -> String {
        format!("arn:aws:ecs:{}:{}:task/{cluster}/{id}", scope.region, scope.account)
    }

    pub fn container(scope: &Scope, cluster: &str, task: TaskId, id: &str) -> Self {
        Self::ecs(scope, format!("container/{cluster}/{task}/{id}"))
    }

    pub fn container_instance(scope: &Scope, cluster: &str, id: ContainerInstanceId) -> Self {
        Self::ecs(scope, format!("container-instance/{cluster}/{id}"))
    }

    pub fn service(scope: &Scope, cluster: &str, name: &str) -> Self {
        Self::ecs(scope, format!("service/{cluster}/{name}"))
    }

    pub fn service_deployment(scope: &Scope, cluster: &str, service: &str, id: &str) -> Self {
        Self::ecs(scope, format!("service-deployment/{cluster}/{service}/{id}"))
    }

    pub fn service_revision(scope: &Scope, cluster: &str, service: &str, id: &str) -> Self {
        Self::ecs(scope, format!("service-revision/{cluster}/{service}/{id}"))
    }

    pub fn task_definition(scope: &Scope, family: &str, revision: u32) -> Self {
        Self::ecs(scope, format!("task-definition/{family}:{revision}"))
    }

    pub fn task_set(scope: &Scope, cluster: &str, service: &str, id: &str) -> Self {
        Self::ecs(scope, format!("task-set/{cluster}/{service}/{id}"))
    }

    pub fn capacity_provider(scope: &Scope, name: &str) -> Self {
        Self::ecs(scope, format!("capacity-provider/{name}"))
    }

    /// `…:*` is not part of it.
    pub fn log_group(scope: &Scope, name: &str) -> Self {
        Self { service: "logs".to_owned(), ..Self::ecs(scope, format!("log-group:{name}")) }
    }

    pub fn belongs_to(&self, scope: &Scope) -> bool {
        *self.region == *scope.region && *self.account == *scope.account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_tasks_arn_is_the_arns_text() {
        let scope = Scope::new("000000000000", "us-east-1");
        let id = TaskId(31);
        assert_eq!(Arn::task_text(&scope, "default", id), Arn::task(&scope, "default", id).to_string());
    }
}
