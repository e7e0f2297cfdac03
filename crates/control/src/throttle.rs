//! Request rates per account and region, as AWS documents them ("Request throttling for the Amazon ECS API",
//! CloudWatch Logs quotas, EC2 API throttling): operations share a bucket by class; a bucket holds the burst and is
//! refilled at the sustained rate.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use model::{Scope, Timestamp};

/// Buckets kept at once; beyond that all are dropped: a new one is full.
const BUCKETS_MAX: usize = 10_000;

/// A class of operations of one service.
#[derive(Clone, Copy, Debug)]
struct Class {
    name: &'static str,
    /// Requests that a rested bucket lets through at once.
    burst: f64,
    /// Requests per second that it gains.
    rate: f64,
}

const fn class(name: &'static str, burst: u32, rate: u32) -> Class {
    Class { name, burst: burst as f64, rate: rate as f64 }
}

fn class_of(service: &str, operation: &str) -> Class {
    match service {
        "ecs" => class_of_ecs(operation),
        "logs" => class_of_logs(operation),
        "ec2" if operation.starts_with("Describe") => class("ec2/non-mutating", 100, 20),
        "ec2" => class("ec2/mutating", 50, 5),
        _ => class("other", 600, 600),
    }
}

fn class_of_ecs(operation: &str) -> Class {
    match operation {
        "CreateCluster"
        | "DeleteCluster"
        | "PutClusterCapacityProviders"
        | "UpdateCluster"
        | "UpdateClusterSettings" => class("ecs/cluster-modify", 20, 1),
        "DescribeClusters" | "ListClusters" => class("ecs/cluster-read", 50, 20),
        "DeregisterTaskDefinition" | "RegisterTaskDefinition" => class("ecs/task-definition-modify", 20, 1),
        "DescribeTaskDefinition" | "ListTaskDefinitions" | "ListTaskDefinitionFamilies" => {
            class("ecs/task-definition-read", 50, 20)
        }
        "DeleteTaskDefinitions" => class("ecs/task-definition-deletion", 5, 1),
        "CreateCapacityProvider" | "DeleteCapacityProvider" | "UpdateCapacityProvider" => {
            class("ecs/capacity-provider-modify", 10, 1)
        }
        "DescribeCapacityProviders" => class("ecs/capacity-provider-read", 50, 20),
        "TagResource" | "UntagResource" => class("ecs/tag-modify", 20, 10),
        "ListTagsForResource" => class("ecs/tag-read", 50, 20),
        "DeleteAccountSetting" | "PutAccountSetting" | "PutAccountSettingDefault" => class("ecs/setting-modify", 10, 1),
        "ListAccountSettings" => class("ecs/setting-read", 50, 20),
        "DeleteAttributes"
        | "DeregisterContainerInstance"
        | "ExecuteCommand"
        | "PutAttributes"
        | "RunTask"
        | "StartTask"
        | "StopTask"
        | "UpdateContainerAgent"
        | "UpdateContainerInstancesState" => class("ecs/cluster-resource-modify", 100, 40),
        "DescribeContainerInstances" | "DescribeTasks" | "ListAttributes" | "ListContainerInstances" | "ListTasks" => {
            class("ecs/cluster-resource-read", 100, 20)
        }
        "RegisterContainerInstance"
        | "SubmitAttachmentStateChanges"
        | "SubmitContainerStateChange"
        | "SubmitTaskStateChange" => class("ecs/agent-modify", 200, 120),
        "ContinueServiceDeployment"
        | "CreateService"
        | "CreateTaskSet"
        | "DeleteService"
        | "DeleteTaskSet"
        | "StopServiceDeployment"
        | "UpdateService"
        | "UpdateServicePrimaryTaskSet"
        | "UpdateTaskSet" => class("ecs/service-modify", 50, 5),
        "DescribeServices" | "DescribeTaskSets" | "ListServices" => class("ecs/service-read", 100, 20),
        "DescribeServiceDeployments" | "ListServiceDeployments" => class("ecs/service-deployment", 50, 20),
        "DescribeServiceRevisions" => class("ecs/service-revision", 50, 20),
        "UpdateTaskProtection" | "GetTaskProtection" => class("ecs/task-protection", 200, 80),
        "ListServicesByNamespace" => class("ecs/cluster-service-read", 10, 1),
        _ => class("ecs/other", 50, 20),
    }
}

fn class_of_logs(operation: &str) -> Class {
    match operation {
        "PutLogEvents" => class("logs/put-log-events", 5000, 5000),
        "GetLogEvents" => class("logs/get-log-events", 25, 25),
        "FilterLogEvents" => class("logs/filter-log-events", 10, 10),
        "CreateLogStream" => class("logs/create-log-stream", 50, 50),
        "DescribeLogStreams" => class("logs/describe-log-streams", 25, 25),
        "DeleteLogStream" => class("logs/delete-log-stream", 15, 15),
        _ => class("logs/other", 10, 10),
    }
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled_at: Timestamp,
}

impl Bucket {
    /// Takes one token if there is one.
    fn take(&mut self, class: Class, now: Timestamp) -> bool {
        let gained = now.since(self.filled_at).as_secs_f64() * class.rate;
        self.tokens = (self.tokens + gained).min(class.burst);
        self.filled_at = now;
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

/// The buckets of everyone who has called.
#[derive(Default)]
pub struct Throttle {
    buckets: Mutex<BTreeMap<(Scope, &'static str), Bucket>>,
}

impl Throttle {
    /// Whether a call may go on. A refused one costs nothing.
    pub fn admit(&self, scope: &Scope, service: &str, operation: &str, now: Timestamp) -> bool {
        let class = class_of(service, operation);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= BUCKETS_MAX {
            buckets.clear();
        }
        let full = Bucket { tokens: class.burst, filled_at: now };
        buckets.entry((scope.clone(), class.name)).or_insert(full).take(class, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(throttle: &Throttle, scope: &Scope, operation: &str, at: i64, calls: usize) -> usize {
        (0..calls).filter(|_| throttle.admit(scope, "ecs", operation, Timestamp(at))).count()
    }

    #[test]
    fn a_class_shares_its_burst_and_regains_its_rate() {
        let (throttle, scope) = (Throttle::default(), Scope::new("000000000000", "us-east-1"));
        assert_eq!(admitted(&throttle, &scope, "DescribeTasks", 0, 60), 60);
        assert_eq!(admitted(&throttle, &scope, "ListTasks", 0, 60), 40, "the bucket of 100 is shared");
        assert_eq!(admitted(&throttle, &scope, "ListTasks", 500, 60), 10, "20 a second come back");
        assert_eq!(admitted(&throttle, &scope, "ListClusters", 500, 60), 50, "another class has its own");
        assert_eq!(admitted(&throttle, &scope, "ListTasks", 3_600_000, 200), 100, "never more than the burst");
        let elsewhere = Scope::new("000000000000", "eu-west-1");
        assert_eq!(admitted(&throttle, &elsewhere, "ListTasks", 3_600_000, 200), 100, "and so has another region");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing() {
        let (throttle, scope) = (Throttle::default(), Scope::new("000000000000", "us-east-1"));
        assert_eq!(admitted(&throttle, &scope, "CreateCluster", 10_000, 30), 20);
        assert_eq!(admitted(&throttle, &scope, "CreateCluster", 0, 30), 0);
    }
}
