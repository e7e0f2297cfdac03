//! Task sets between wire and model.

use model::task_set::Stability;
use model::{Arn, Deployment, Service, TaskSet};
use wire::ecs;
use wire::ecs::Error;

use super::service::{Count, network_to_wire, platform_family, shown_launch_type, shown_strategy};
use super::{signed, tag, time};

const SCALE_DEFAULT: f64 = 100.0;

/// The percentage.
///
/// # Errors
/// `InvalidParameterException` for a scale that cannot be.
pub fn scale_from_wire(given: Option<ecs::Scale>) -> Result<f64, Error> {
    let Some(ecs::Scale { unit, value }) = given else { return Ok(SCALE_DEFAULT) };
    if let Some(ecs::ScaleUnit::Unknown(_)) = unit {
        return Err(Error::invalid_parameter("The unit of a scale should be one of [PERCENT]"));
    }
    let value = value.unwrap_or(SCALE_DEFAULT);
    if !(0.0..=100.0).contains(&value) {
        return Err(Error::invalid_parameter("The value of a scale must be between 0 and 100."));
    }
    Ok(value)
}

/// A task set as Describe shows it. Tags are shown when they are asked for.
pub fn to_wire(service: &Service, set: &TaskSet, row: &Deployment, count: Count, tags: bool) -> ecs::TaskSet {
    let capacity = service.capacity_of(row);
    ecs::TaskSet {
        capacity_provider_strategy: shown_strategy(&capacity),
        cluster_arn: Some(Arn::cluster(&service.scope, &service.cluster).to_string()),
        computed_desired_count: Some(signed(set.computed_desired(service.desired_count))),
        created_at: Some(time(row.created_at)),
        external_id: set.external_id.clone(),
        fargate_ephemeral_storage: None,
        id: Some(set.id.clone()),
        launch_type: shown_launch_type(&capacity),
        load_balancers: Some(Vec::new()),
        network_configuration: row.network.as_ref().map(network_to_wire),
        pending_count: Some(signed(count.pending)),
        platform_family: platform_family(capacity.launch_type),
        platform_version: row.platform_version.clone(),
        running_count: Some(signed(count.running)),
        scale: Some(ecs::Scale { unit: Some(ecs::ScaleUnit::Percent), value: Some(set.scale) }),
        service_arn: Some(Arn::service(&service.scope, &service.cluster, &service.name).to_string()),
        service_registries: Some(Vec::new()),
        stability_status: Some(match set.stability {
            Stability::SteadyState => ecs::StabilityStatus::SteadyState,
            Stability::Stabilizing => ecs::StabilityStatus::Stabilizing,
        }),
        stability_status_at: Some(time(set.stability_at)),
        started_by: None,
        status: Some(set.status.as_str().to_owned()),
        tags: tags.then(|| tag::to_wire(&set.tags)),
        task_definition: Some(Arn::task_definition(&service.scope, &row.family, row.revision).to_string()),
        task_set_arn: Some(Arn::task_set(&service.scope, &service.cluster, &service.name, &set.id).to_string()),
        updated_at: Some(time(set.updated_at)),
    }
}
