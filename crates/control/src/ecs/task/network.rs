//! The network of an awsvpc task: which subnets and security groups, and its interface.

use std::net::Ipv4Addr;
use std::sync::Arc;

use model::network::{mac_of, private_dns_name};
use model::security_group::GROUPS_PER_INTERFACE_MAX;
use model::task::{Attachment, AttachmentStatus};
use model::{LaunchType, NetworkInterface, NetworkMode, Subnet, TaskId, Vpc};
use rand::RngCore;
use store::{Tables, Txn};
use wire::ecs;
use wire::ecs::Error;

use super::run::{random_u128, random_uuid};
use crate::Cx;
use crate::ec2::{security_group, subnet};

/// Of one configuration (ecs-semantics §4.4).
const SUBNETS_MAX: usize = 16;

/// Where the interfaces of the tasks may be, judged.
#[derive(Clone, Debug)]
pub struct Network {
    pub subnets: Vec<Subnet>,
    pub security_groups: Vec<String>,
}

/// The network of tasks with this mode; `None` for modes without interfaces.
///
/// # Errors
/// `InvalidParameterException`, with the texts of ecs-semantics §4.1.
pub fn resolve(
    cx: &Cx<'_>,
    mode: NetworkMode,
    launch_type: LaunchType,
    configuration: Option<ecs::NetworkConfiguration>,
) -> Result<Option<Network>, Error> {
    let given = configuration.and_then(|configuration| configuration.awsvpc_configuration);
    match (mode, given) {
        (NetworkMode::Awsvpc, Some(given)) => judged(cx, launch_type, given).map(Some),
        (NetworkMode::Awsvpc, None) => Err(Error::invalid_parameter(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        )),
        (_, Some(_)) => Err(Error::invalid_parameter(
            "Network Configuration is not valid for the given networkMode of this task definition.",
        )),
        (_, None) => Ok(None),
    }
}

fn judged(cx: &Cx<'_>, launch_type: LaunchType, given: ecs::AwsVpcConfiguration) -> Result<Network, Error> {
    let ecs::AwsVpcConfiguration { assign_public_ip, security_groups, subnets: subnet_ids } = given;
    match assign_public_ip {
        Some(ecs::AssignPublicIp::Enabled) if launch_type != LaunchType::Fargate => {
            return Err(Error::invalid_parameter("Assign public IP is not supported for this launch type."));
        }
        Some(ecs::AssignPublicIp::Unknown(_)) => {
            return Err(Error::invalid_parameter("assignPublicIp should be one of [ENABLED,DISABLED]"));
        }
        _ => {}
    }
    if subnet_ids.is_empty() {
        return Err(Error::invalid_parameter("subnets can not be empty."));
    }
    if subnet_ids.len() > SUBNETS_MAX {
        return Err(Error::invalid_parameter(format!("subnets can have at most {SUBNETS_MAX} items.")));
    }
    let (vpc, subnets) = judged_subnets(cx, &subnet_ids)?;
    let security_groups = judged_security_groups(cx, &vpc, security_groups.unwrap_or_default())?;
    Ok(Network { subnets, security_groups })
}

/// All in one VPC.
fn judged_subnets(cx: &Cx<'_>, ids: &[String]) -> Result<(Arc<Vpc>, Vec<Subnet>), Error> {
    let mut found = ids.iter().map(|id| subnet::find(cx.txn, cx.scope(), id).ok_or_else(|| unknown_subnet(id)));
    let (vpc, first) = found.next().expect("at least one was asked for")?;
    let mut subnets = vec![first];
    for other in found {
        let (other_vpc, subnet) = other?;
        if other_vpc.id != vpc.id {
            return Err(Error::invalid_parameter("The provided subnets are not in the same VPC."));
        }
        if !subnets.contains(&subnet) {
            subnets.push(subnet);
        }
    }
    Ok((vpc, subnets))
}

fn unknown_subnet(id: &str) -> Error {
    Error::invalid_parameter(format!(
        "Error retrieving subnet information for [{id}]: The subnet ID '{id}' does not exist (ErrorCode: \
         InvalidSubnetID.NotFound)"
    ))
}

/// The groups of the tasks' interfaces; the VPC's default one when none is named.
fn judged_security_groups(cx: &Cx<'_>, vpc: &Vpc, ids: Vec<String>) -> Result<Vec<String>, Error> {
    if ids.len() > GROUPS_PER_INTERFACE_MAX {
        return Err(Error::invalid_parameter(format!(
            "securityGroups can have at most {GROUPS_PER_INTERFACE_MAX} items."
        )));
    }
    let mut judged = Vec::new();
    for id in ids {
        let group = security_group::find(cx.txn, cx.scope(), &id);
        let group = group.ok_or_else(|| {
            Error::invalid_parameter(format!(
                "Error retrieving security group information for [{id}]: The security group '{id}' does not exist \
                 (ErrorCode: InvalidGroup.NotFound)"
            ))
        })?;
        if group.vpc_id != vpc.id {
            return Err(Error::invalid_parameter(format!(
                "Security group {id} does not appear to belong to the same VPC as the input subnets."
            )));
        }
        if !judged.contains(&id) {
            judged.push(id);
        }
    }
    if judged.is_empty() {
        judged.push(vpc.security_group_id.clone());
    }
    Ok(judged)
}

/// Up to `count` addresses of the subnet that are free, from a random point on.
pub fn free_addresses(tables: &Tables, random: &mut dyn RngCore, subnet: &Subnet, count: usize) -> Vec<Ipv4Addr> {
    let network = u32::from(subnet.network);
    let size = subnet.size();
    let start = random.next_u32() % size;
    let addresses = (0..size).map(|step| Ipv4Addr::from(network + (start + step) % size));
    let usable = addresses.filter(|address| subnet.contains(*address));
    usable.filter(|address| !tables.address_taken(&subnet.id, *address)).take(count).collect()
}

/// Gives up the interface of a task that no node holds any more.
pub fn detach(txn: &mut Txn, task: TaskId) {
    if let Some(interface) = txn.interface_of_task(task).map(|interface| interface.id.clone()) {
        txn.remove::<NetworkInterface>(&interface);
    }
}

/// Gives the task an interface with this address. The attachment is made when its node reports it.
pub fn attach(cx: &mut Cx<'_>, network: &Network, subnet: &Subnet, address: Ipv4Addr, task: TaskId) -> Attachment {
    let interface = NetworkInterface {
        task: Some(task),
        security_groups: network.security_groups.clone(),
        ..new_interface(cx, subnet, address)
    };
    let attachment = Attachment {
        id: interface.attachment_id.clone(),
        status: AttachmentStatus::Precreated,
        interface_id: interface.id.clone(),
        subnet_id: subnet.id.clone(),
        address,
        mac: interface.mac.clone(),
        private_dns_name: private_dns_name(address, &cx.scope().region),
    };
    cx.txn.put(interface);
    attachment
}

/// An interface with this address, which is nobody's yet.
pub fn new_interface(cx: &mut Cx<'_>, subnet: &Subnet, address: Ipv4Addr) -> NetworkInterface {
    let attachment_id = random_uuid(cx.random);
    let hex = random_u128(cx.random) & ((1 << 68) - 1);
    NetworkInterface {
        scope: cx.scope().clone(),
        id: format!("eni-{hex:017x}"),
        attachment_id,
        task: None,
        load_balancer: None,
        nat_gateway: None,
        subnet_id: subnet.id.clone(),
        vpc_id: subnet.vpc_id.clone(),
        zone: subnet.zone.clone(),
        address,
        mac: mac_of(address),
        security_groups: Vec::new(),
        created_at: cx.now,
    }
}
