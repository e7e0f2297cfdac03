//! DescribeAvailabilityZones and DescribeRegions: every region has three zones; every region is open.

use model::network::{ZONE_LETTERS, zone_id};
use wire::ec2::{
    AvailabilityZone, AvailabilityZoneOptInStatus, AvailabilityZoneState, DescribeAvailabilityZonesRequest,
    DescribeAvailabilityZonesResult, DescribeRegionsRequest, DescribeRegionsResult, Error, Filter, Region,
};

use super::select::{one, refuse_dry_run};
use super::{filter, refuse};
use crate::Cx;

const ZONE_FILTERS: &[&str] = &[
    "group-long-name",
    "group-name",
    "message",
    "opt-in-status",
    "parent-zone-id",
    "parent-zone-name",
    "region-name",
    "state",
    "zone-id",
    "zone-name",
    "zone-type",
];
const REGION_FILTERS: &[&str] = &["endpoint", "opt-in-status", "region-name"];

/// Regions that AWS opens to every account. The caller's own is listed too, whatever its name.
const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// The zones of the caller's region.
pub(super) fn describe_availability_zones(
    cx: &Cx<'_>,
    request: &DescribeAvailabilityZonesRequest,
) -> Result<DescribeAvailabilityZonesResult, Error> {
    refuse_dry_run(request.dry_run)?;
    let filters: &[Filter] = request.filters.as_deref().unwrap_or_default();
    filter::check(filters, ZONE_FILTERS)?;
    let mut zones = zones_of(&cx.scope().region);
    let names = request.zone_names.as_deref().unwrap_or_default();
    retain_named(&mut zones, names, "availability zone", |zone| zone.zone_name.as_deref())?;
    let ids = request.zone_ids.as_deref().unwrap_or_default();
    retain_named(&mut zones, ids, "availability zone-id", |zone| zone.zone_id.as_deref())?;
    zones.retain(|zone| filter::passes(filters, |name| zone_values(zone, name)));
    Ok(DescribeAvailabilityZonesResult { availability_zones: Some(zones) })
}

fn zones_of(region: &str) -> Vec<AvailabilityZone> {
    let show = |(index, letter): (usize, &char)| AvailabilityZone {
        group_name: Some(format!("{region}-zg-1")),
        messages: Some(Vec::new()),
        network_border_group: Some(region.to_owned()),
        opt_in_status: Some(AvailabilityZoneOptInStatus::OptInNotRequired),
        region_name: Some(region.to_owned()),
        state: Some(AvailabilityZoneState::Available),
        zone_id: Some(zone_id(region, index)),
        zone_name: Some(format!("{region}{letter}")),
        zone_type: Some("availability-zone".to_owned()),
        ..AvailabilityZone::default()
    };
    ZONE_LETTERS.iter().enumerate().map(show).collect()
}

fn zone_values(zone: &AvailabilityZone, filter: &str) -> Vec<String> {
    match filter {
        "group-name" => one(zone.group_name.as_deref()),
        "opt-in-status" => one(zone.opt_in_status.as_ref().map(AvailabilityZoneOptInStatus::as_str)),
        "region-name" => one(zone.region_name.as_deref()),
        "state" => one(zone.state.as_ref().map(AvailabilityZoneState::as_str)),
        "zone-id" => one(zone.zone_id.as_deref()),
        "zone-name" => one(zone.zone_name.as_deref()),
        "zone-type" => one(zone.zone_type.as_deref()),
        _ => Vec::new(),
    }
}

/// All regions are open, so `AllRegions` changes nothing.
pub(super) fn describe_regions(cx: &Cx<'_>, request: &DescribeRegionsRequest) -> Result<DescribeRegionsResult, Error> {
    refuse_dry_run(request.dry_run)?;
    let filters: &[Filter] = request.filters.as_deref().unwrap_or_default();
    filter::check(filters, REGION_FILTERS)?;
    let own = &*cx.scope().region;
    let mut names = REGIONS.to_vec();
    if let Err(place) = names.binary_search(&own) {
        names.insert(place, own);
    }
    let mut regions: Vec<Region> = names.into_iter().map(show_region).collect();
    let wanted = request.region_names.as_deref().unwrap_or_default();
    retain_named(&mut regions, wanted, "region", |region| region.region_name.as_deref())?;
    regions.retain(|region| filter::passes(filters, |name| region_values(region, name)));
    Ok(DescribeRegionsResult { regions: Some(regions) })
}

fn show_region(name: &str) -> Region {
    Region {
        endpoint: Some(format!("ec2.{name}.amazonaws.com")),
        opt_in_status: Some("opt-in-not-required".to_owned()),
        region_name: Some(name.to_owned()),
        ..Region::default()
    }
}

fn region_values(region: &Region, filter: &str) -> Vec<String> {
    match filter {
        "endpoint" => one(region.endpoint.as_deref()),
        "opt-in-status" => one(region.opt_in_status.as_deref()),
        "region-name" => one(region.region_name.as_deref()),
        _ => Vec::new(),
    }
}

/// Keeps the items with one of `names`; no names keep all.
fn retain_named<T>(
    items: &mut Vec<T>,
    names: &[String],
    label: &str,
    name_of: fn(&T) -> Option<&str>,
) -> Result<(), Error> {
    let is_known = |name: &String| items.iter().any(|item| name_of(item) == Some(name.as_str()));
    let unknown: Vec<&str> = names.iter().filter(|name| !is_known(name)).map(String::as_str).collect();
    if !unknown.is_empty() {
        return Err(refuse("InvalidParameterValue", format!("Invalid {label}: [{}]", unknown.join(", "))));
    }
    items
        .retain(|item| names.is_empty() || name_of(item).is_some_and(|name| names.iter().any(|wanted| wanted == name)));
    Ok(())
}
