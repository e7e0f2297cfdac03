//! Service deployments between wire and model.

use model::deployment_configuration::HookTarget;
use model::service_deployment::{HookRun, Rollback};
use model::{Arn, Service, ServiceDeployment};
use store::Tables;
use wire::ecs;

use super::deployment_configuration::{self, action_to_wire};
use super::service::Counts;
use super::service_revision::summary_to_wire;
use super::{signed, time};

pub fn to_wire(tables: &Tables, row: &ServiceDeployment) -> ecs::ServiceDeployment {
    let service = tables.services.get(&row.service_key());
    let counts = service.map(|service| Counts::of(tables, service));
    let summary = |id: &String| {
        let (service, counts) = (service?, counts.as_ref()?);
        Some(revision_to_wire(service, counts, id))
    };
    ecs::ServiceDeployment {
        alarms: row.configuration.alarms.as_ref().map(|alarms| ecs::ServiceDeploymentAlarms {
            alarm_names: Some(alarms.names.clone()),
            status: Some(row.alarms.status.as_str().into()),
            triggered_alarm_names: Some(row.alarms.triggered.clone()),
        }),
        cluster_arn: Some(Arn::cluster(&row.scope, &row.cluster).to_string()),
        created_at: Some(time(row.created_at)),
        deployment_circuit_breaker: Some(ecs::ServiceDeploymentCircuitBreaker {
            failure_count: Some(signed(row.breaker.failures)),
            status: Some(row.breaker.status.as_str().into()),
            threshold: Some(signed(row.breaker.threshold)),
        }),
        deployment_configuration: Some(deployment_configuration::to_wire(&row.configuration)),
        finished_at: row.finished_at.map(time),
        lifecycle_hook_details: row
            .progress
            .as_ref()
            .map(|progress| progress.hooks.iter().filter_map(|run| hook_to_wire(row, run)).collect()),
        lifecycle_stage: row.progress.as_ref().map(|progress| progress.stage.as_str().into()),
        rollback: row.rollback.as_ref().map(|rollback| rollback_to_wire(row, rollback)),
        service_arn: Some(Arn::service(&row.scope, &row.cluster, &row.service).to_string()),
        service_deployment_arn: Some(arn(row)),
        source_service_revisions: Some(row.sources.iter().filter_map(summary).collect()),
        started_at: row.started_at.map(time),
        status: Some(row.status.as_str().into()),
        status_reason: row.status_reason.clone(),
        stopped_at: row.stopped_at.map(time),
        target_service_revision: summary(&row.target),
        updated_at: Some(time(row.updated_at)),
    }
}

fn arn(row: &ServiceDeployment) -> String {
    Arn::service_deployment(&row.scope, &row.cluster, &row.service, &row.id).to_string()
}

/// A revision with what the service has of it.
fn revision_to_wire(service: &Service, counts: &Counts<'_>, id: &str) -> ecs::ServiceRevisionSummary {
    let is_of = |(row, _): &(&model::Deployment, &u32)| row.service_revision.as_deref() == Some(id);
    let live = service.deployments.iter().zip(&counts.requested).find(is_of);
    summary_to_wire(service, id, live.map(|(row, requested)| (row, *requested, counts.of_deployment(&row.id))))
}

pub fn brief_to_wire(row: &ServiceDeployment) -> ecs::ServiceDeploymentBrief {
    let target = Arn::service_revision(&row.scope, &row.cluster, &row.service, &row.target);
    ecs::ServiceDeploymentBrief {
        cluster_arn: Some(Arn::cluster(&row.scope, &row.cluster).to_string()),
        created_at: Some(time(row.created_at)),
        finished_at: row.finished_at.map(time),
        service_arn: Some(Arn::service(&row.scope, &row.cluster, &row.service).to_string()),
        service_deployment_arn: Some(arn(row)),
        started_at: row.started_at.map(time),
        status: Some(row.status.as_str().into()),
        status_reason: row.status_reason.clone(),
        target_service_revision_arn: Some(target.to_string()),
    }
}

fn rollback_to_wire(row: &ServiceDeployment, rollback: &Rollback) -> ecs::Rollback {
    let arn = |id: &String| Arn::service_revision(&row.scope, &row.cluster, &row.service, id).to_string();
    ecs::Rollback {
        reason: Some(rollback.reason.clone()),
        service_revision_arn: rollback.revision.as_ref().map(arn),
        started_at: Some(time(rollback.started_at)),
    }
}

fn hook_to_wire(row: &ServiceDeployment, run: &HookRun) -> Option<ecs::DeploymentLifecycleHookDetail> {
    let hook = row.configuration.hooks.get(run.hook)?;
    let (target_type, target_arn) = match &hook.target {
        HookTarget::Pause => (ecs::DeploymentLifecycleHookTargetType::Pause, None),
        HookTarget::Lambda(arn) => (ecs::DeploymentLifecycleHookTargetType::AwsLambda, Some(arn.clone())),
    };
    Some(ecs::DeploymentLifecycleHookDetail {
        expires_at: Some(time(run.expires_at)),
        hook_id: Some(run.id.clone()),
        status: Some(run.status.as_str().into()),
        target_arn,
        target_type: Some(target_type),
        timeout_action: Some(action_to_wire(hook.timeout_action)),
    })
}
