//! Service revisions between wire and model.

use model::service_revision::RevisionImage;
use model::{Arn, Deployment, Service, ServiceLoadBalancer, ServiceRevision};
use wire::ecs;

use super::load_balancer::to_wire as load_balancers_to_wire;
use super::service::{Count, network_to_wire, platform_family, shown_launch_type, shown_strategy};
use super::{service_connect, service_registry, signed, time};

pub fn to_wire(row: &ServiceRevision) -> ecs::ServiceRevision {
    ecs::ServiceRevision {
        capacity_provider_strategy: shown_strategy(&row.capacity),
        cluster_arn: Some(Arn::cluster(&row.scope, &row.cluster).to_string()),
        container_images: Some(row.images.iter().map(image_to_wire).collect()),
        created_at: Some(time(row.created_at)),
        ecs_managed_resources: None,
        fargate_ephemeral_storage: None,
        gateway_connectors: None,
        guard_duty_enabled: Some(false),
        launch_type: shown_launch_type(&row.capacity),
        load_balancers: Some(load_balancers_to_wire(&row.load_balancers)),
        monitoring: None,
        network_configuration: row.network.as_ref().map(network_to_wire),
        overrides: None,
        platform_family: platform_family(row.capacity.launch_type),
        platform_version: row.platform_version.clone(),
        resolved_configuration: resolved_to_wire(&row.load_balancers),
        service_arn: Some(Arn::service(&row.scope, &row.cluster, &row.service).to_string()),
        service_connect_configuration: row.connect.as_ref().map(service_connect::to_wire),
        service_registries: Some(service_registry::to_wire(&row.registries)),
        service_revision_arn: Some(Arn::service_revision(&row.scope, &row.cluster, &row.service, &row.id).to_string()),
        task_definition: Some(Arn::task_definition(&row.scope, &row.family, row.revision).to_string()),
        volume_configurations: None,
        vpc_lattice_configurations: None,
    }
}

/// What the tasks of the revision are registered in.
fn resolved_to_wire(rows: &[ServiceLoadBalancer]) -> Option<ecs::ResolvedConfiguration> {
    let load_balancer = |row: &ServiceLoadBalancer| ecs::ServiceRevisionLoadBalancer {
        production_listener_rule: row.advanced.as_ref().map(|advanced| advanced.production_listener_rule.clone()),
        target_group_arn: Some(row.group().to_owned()),
    };
    (!rows.is_empty()).then(|| ecs::ResolvedConfiguration {
        load_balancers: Some(rows.iter().map(load_balancer).collect()),
        vpc_lattice_configurations: None,
    })
}

fn image_to_wire(image: &RevisionImage) -> ecs::ContainerImage {
    ecs::ContainerImage {
        container_name: Some(image.container.clone()),
        image: Some(image.image.clone()),
        image_digest: image.digest.clone(),
    }
}

/// A revision as its service and deployments show it. `live` is what the service has of it still: the deployment, how
/// many tasks are asked for, and how many there are.
pub fn summary_to_wire(
    service: &Service,
    id: &str,
    live: Option<(&Deployment, u32, Count)>,
) -> ecs::ServiceRevisionSummary {
    let traffic = live.and_then(|(deployment, ..)| deployment.traffic);
    let requested = live.map_or(0, |(_, requested, _)| requested);
    let count = live.map(|(.., count)| count).unwrap_or_default();
    ecs::ServiceRevisionSummary {
        arn: Some(Arn::service_revision(&service.scope, &service.cluster, &service.name, id).to_string()),
        pending_task_count: Some(signed(count.pending)),
        requested_production_traffic_weight: traffic.map(|traffic| traffic.production.percent()),
        requested_task_count: Some(signed(requested)),
        requested_test_traffic_weight: traffic.map(|traffic| traffic.test.percent()),
        running_task_count: Some(signed(count.running)),
    }
}
