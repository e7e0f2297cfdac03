//! ECS: one exhaustive match from request to operation. Each noun's operations are in the file of its name.
//!
//! An operation that is not built refuses with [`not_built`](crate::not_built::refuse); nothing answers a success that
//! did not happen.

pub mod attribute;
pub mod capacity_provider;
pub mod cluster;
pub mod container_instance;
pub mod convert;
pub mod identifier;
pub mod listing;
pub mod service;
pub mod service_deployment;
pub mod service_revision;
pub mod setting;
pub mod tag;
pub mod task;
pub mod task_definition;
pub mod task_protection;
pub mod task_set;

use wire::ecs::{Error, Request, Response};

use crate::{Cx, not_built};

/// Runs one operation.
///
/// # Errors
/// The operation's own, with AWS's exception and text.
pub fn dispatch(cx: &mut Cx<'_>, request: Request) -> Result<Response, Error> {
    let operation = request.operation();
    match request {
        Request::TagResource(request) => tag::tag_resource(cx, request).map(Response::TagResource),
        Request::UntagResource(request) => tag::untag_resource(cx, request).map(Response::UntagResource),
        Request::ListTagsForResource(request) => {
            tag::list_tags_for_resource(cx, request).map(Response::ListTagsForResource)
        }
        Request::DeleteAccountSetting(request) => {
            setting::delete_account_setting(cx, request).map(Response::DeleteAccountSetting)
        }
        Request::ListAccountSettings(request) => {
            setting::list_account_settings(cx, request).map(Response::ListAccountSettings)
        }
        Request::PutAccountSetting(request) => {
            setting::put_account_setting(cx, request).map(Response::PutAccountSetting)
        }
        Request::PutAccountSettingDefault(request) => {
            setting::put_account_setting_default(cx, request).map(Response::PutAccountSettingDefault)
        }
        Request::CreateCluster(request) => cluster::create_cluster(cx, request).map(Response::CreateCluster),
        Request::DeleteCluster(request) => cluster::delete_cluster(cx, request).map(Response::DeleteCluster),
        Request::DescribeClusters(request) => cluster::describe_clusters(cx, request).map(Response::DescribeClusters),
        Request::ListClusters(request) => cluster::list_clusters(cx, request).map(Response::ListClusters),
        Request::UpdateCluster(request) => cluster::update_cluster(cx, request).map(Response::UpdateCluster),
        Request::UpdateClusterSettings(request) => {
            cluster::update_cluster_settings(cx, request).map(Response::UpdateClusterSettings)
        }
        Request::CreateCapacityProvider(request) => {
            capacity_provider::create_capacity_provider(cx, request).map(Response::CreateCapacityProvider)
        }
        Request::UpdateCapacityProvider(request) => {
            capacity_provider::update_capacity_provider(cx, request).map(Response::UpdateCapacityProvider)
        }
        Request::DescribeCapacityProviders(request) => {
            capacity_provider::describe_capacity_providers(cx, request).map(Response::DescribeCapacityProviders)
        }
        Request::DeleteCapacityProvider(request) => {
            capacity_provider::delete_capacity_provider(cx, request).map(Response::DeleteCapacityProvider)
        }
        Request::PutClusterCapacityProviders(request) => {
            capacity_provider::put_cluster_capacity_providers(cx, request).map(Response::PutClusterCapacityProviders)
        }
        Request::DeleteTaskDefinitions(request) => {
            task_definition::delete_task_definitions(cx, request).map(Response::DeleteTaskDefinitions)
        }
        Request::DeregisterTaskDefinition(request) => {
            task_definition::deregister_task_definition(cx, request).map(Response::DeregisterTaskDefinition)
        }
        Request::DescribeTaskDefinition(request) => {
            task_definition::describe_task_definition(cx, request).map(Response::DescribeTaskDefinition)
        }
        Request::ListTaskDefinitionFamilies(request) => {
            task_definition::list_task_definition_families(cx, request).map(Response::ListTaskDefinitionFamilies)
        }
        Request::ListTaskDefinitions(request) => {
            task_definition::list_task_definitions(cx, request).map(Response::ListTaskDefinitions)
        }
        Request::RegisterTaskDefinition(request) => {
            task_definition::register_task_definition(cx, request).map(Response::RegisterTaskDefinition)
        }
        Request::RunTask(request) => task::run_task(cx, request).map(Response::RunTask),
        Request::StartTask(request) => task::start_task(cx, request).map(Response::StartTask),
        Request::StopTask(request) => task::stop_task(cx, request).map(Response::StopTask),
        Request::DescribeTasks(request) => task::describe_tasks(cx, request).map(Response::DescribeTasks),
        Request::ListTasks(request) => task::list_tasks(cx, request).map(Response::ListTasks),
        Request::ListContainerInstances(request) => {
            container_instance::list_container_instances(cx, request).map(Response::ListContainerInstances)
        }
        Request::DescribeContainerInstances(request) => {
            container_instance::describe_container_instances(cx, request).map(Response::DescribeContainerInstances)
        }
        Request::DeregisterContainerInstance(request) => {
            container_instance::deregister_container_instance(cx, request).map(Response::DeregisterContainerInstance)
        }
        Request::UpdateContainerInstancesState(request) => {
            container_instance::update_container_instances_state(cx, request)
                .map(Response::UpdateContainerInstancesState)
        }
        Request::PutAttributes(request) => attribute::put_attributes(cx, request).map(Response::PutAttributes),
        Request::DeleteAttributes(request) => attribute::delete_attributes(cx, request).map(Response::DeleteAttributes),
        Request::ListAttributes(request) => attribute::list_attributes(cx, request).map(Response::ListAttributes),
        Request::CreateService(request) => service::create_service(cx, request).map(Response::CreateService),
        Request::UpdateService(request) => service::update_service(cx, request).map(Response::UpdateService),
        Request::DescribeServices(request) => service::describe_services(cx, request).map(Response::DescribeServices),
        Request::ListServices(request) => service::list_services(cx, request).map(Response::ListServices),
        Request::ListServicesByNamespace(request) => {
            service::service_connect::list_services_by_namespace(cx, request).map(Response::ListServicesByNamespace)
        }
        Request::DeleteService(request) => service::delete_service(cx, request).map(Response::DeleteService),
        Request::UpdateTaskProtection(request) => {
            task_protection::update_task_protection(cx, request).map(Response::UpdateTaskProtection)
        }
        Request::GetTaskProtection(request) => {
            task_protection::get_task_protection(cx, request).map(Response::GetTaskProtection)
        }
        Request::DescribeServiceDeployments(request) => {
            service_deployment::describe_service_deployments(cx, request).map(Response::DescribeServiceDeployments)
        }
        Request::ListServiceDeployments(request) => {
            service_deployment::list_service_deployments(cx, request).map(Response::ListServiceDeployments)
        }
        Request::StopServiceDeployment(request) => {
            service_deployment::stop_service_deployment(cx, request).map(Response::StopServiceDeployment)
        }
        Request::ContinueServiceDeployment(request) => {
            service_deployment::continue_service_deployment(cx, request).map(Response::ContinueServiceDeployment)
        }
        Request::DescribeServiceRevisions(request) => {
            service_revision::describe_service_revisions(cx, request).map(Response::DescribeServiceRevisions)
        }
        Request::CreateTaskSet(request) => task_set::create_task_set(cx, request).map(Response::CreateTaskSet),
        Request::UpdateTaskSet(request) => task_set::update_task_set(cx, request).map(Response::UpdateTaskSet),
        Request::DescribeTaskSets(request) => task_set::describe_task_sets(cx, request).map(Response::DescribeTaskSets),
        Request::DeleteTaskSet(request) => task_set::delete_task_set(cx, request).map(Response::DeleteTaskSet),
        Request::UpdateServicePrimaryTaskSet(request) => {
            task_set::update_service_primary_task_set(cx, request).map(Response::UpdateServicePrimaryTaskSet)
        }
        Request::AssociateGatewayWithCluster(_)
        | Request::CreateDaemon(_)
        | Request::CreateExpressGatewayService(_)
        | Request::CreateGateway(_)
        | Request::DeleteDaemon(_)
        | Request::DeleteDaemonTaskDefinition(_)
        | Request::DeleteExpressGatewayService(_)
        | Request::DeleteGateway(_)
        | Request::DescribeDaemon(_)
        | Request::DescribeDaemonDeployments(_)
        | Request::DescribeDaemonRevisions(_)
        | Request::DescribeDaemonTaskDefinition(_)
        | Request::DescribeExpressGatewayService(_)
        | Request::DescribeGateway(_)
        | Request::DescribeGatewayResources(_)
        | Request::DescribeGatewayRoute(_)
        | Request::DisassociateGatewayFromCluster(_)
        | Request::DiscoverPollEndpoint(_)
        | Request::ExecuteCommand(_)
        | Request::ListDaemonDeployments(_)
        | Request::ListDaemonTaskDefinitions(_)
        | Request::ListDaemons(_)
        | Request::ListGatewayClusterAssociations(_)
        | Request::ListGatewayRoutes(_)
        | Request::ListGateways(_)
        | Request::RegisterContainerInstance(_)
        | Request::RegisterDaemonTaskDefinition(_)
        | Request::SubmitAttachmentStateChanges(_)
        | Request::SubmitContainerStateChange(_)
        | Request::SubmitTaskStateChange(_)
        | Request::UpdateContainerAgent(_)
        | Request::UpdateDaemon(_)
        | Request::UpdateExpressGatewayService(_)
        | Request::UpdateGateway(_) => Err(not_built::refuse("ecs", operation).into()),
    }
}
