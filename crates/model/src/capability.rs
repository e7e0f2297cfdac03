//! What a node must be able to do, by the attribute names of ecs-semantics §2.10. A task definition asks for some of
//! them, a node advertises [`ALL`], placement compares; so a definition can never ask for a name that is not here.

pub const ECR_AUTH: &str = "com.amazonaws.ecs.capability.ecr-auth";
pub const LOGGING_DRIVER_AWSLOGS: &str = "com.amazonaws.ecs.capability.logging-driver.awslogs";
pub const PRIVILEGED_CONTAINER: &str = "com.amazonaws.ecs.capability.privileged-container";
/// The levels of Docker's API stand for features that came with them; which one for which is in `plan`.
pub const REMOTE_API_1_17: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.17";
pub const REMOTE_API_1_18: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.18";
pub const REMOTE_API_1_19: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.19";
pub const REMOTE_API_1_21: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.21";
pub const REMOTE_API_1_22: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.22";
pub const REMOTE_API_1_24: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.24";
pub const REMOTE_API_1_25: &str = "com.amazonaws.ecs.capability.docker-remote-api.1.25";
pub const CONTAINER_HEALTH_CHECK: &str = "ecs.capability.container-health-check";
pub const CONTAINER_ORDERING: &str = "ecs.capability.container-ordering";
pub const EXECUTION_ROLE_AWSLOGS: &str = "ecs.capability.execution-role-awslogs";
pub const EXECUTION_ROLE_ECR_PULL: &str = "ecs.capability.execution-role-ecr-pull";
pub const TASK_CPU_MEM_LIMIT: &str = "ecs.capability.task-cpu-mem-limit";
pub const TASK_ENI: &str = "ecs.capability.task-eni";

/// What this version's node can do, each a name without a value.
pub const ALL: [&str; 16] = [
    ECR_AUTH,
    LOGGING_DRIVER_AWSLOGS,
    PRIVILEGED_CONTAINER,
    REMOTE_API_1_17,
    REMOTE_API_1_18,
    REMOTE_API_1_19,
    REMOTE_API_1_21,
    REMOTE_API_1_22,
    REMOTE_API_1_24,
    REMOTE_API_1_25,
    CONTAINER_HEALTH_CHECK,
    CONTAINER_ORDERING,
    EXECUTION_ROLE_AWSLOGS,
    EXECUTION_ROLE_ECR_PULL,
    TASK_CPU_MEM_LIMIT,
    TASK_ENI,
];

/// With the value `x86_64` or `arm64`.
pub const CPU_ARCHITECTURE: &str = "ecs.cpu-architecture";
