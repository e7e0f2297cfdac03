//! The demo's load balancer, and how it is asked.

use std::net::{Ipv4Addr, SocketAddr};

use model::Scope;
use model::network::Vpc;

use super::{Answer, NAME};
use crate::client::{BALANCING, Client, EC2, value_of};
use crate::failure::{Context, Failure};
use crate::home::Running;
use crate::{http, page};

/// Reached by its name, on the API's own port: as a browser on this machine reaches it.
#[derive(Clone)]
pub struct Balancer {
    pub target_group: String,
    arn: String,
    name: String,
    api: SocketAddr,
}

impl Balancer {
    /// What an earlier demo made is taken as it is.
    pub async fn make(client: &Client, running: &Running) -> Result<Self, Failure> {
        let vpc = Vpc::default_of(&Scope::new(&running.account_id, &running.region));
        let mut input = vec![("Name".to_owned(), NAME.to_owned())];
        for (number, subnet) in vpc.subnets.iter().enumerate() {
            input.push((format!("Subnets.member.{}", number + 1), subnet.id.clone()));
        }
        let made = client.query(BALANCING, "CreateLoadBalancer", input).await?;
        let (arn, name) = (value_of(&made, "LoadBalancerArn")?, value_of(&made, "DNSName")?);
        let target_group = make_group(client, vpc.id).await?;
        let listeners = client.query(BALANCING, "DescribeListeners", pairs(&[("LoadBalancerArn", &arn)])).await?;
        if value_of(&listeners, "ListenerArn").is_err() {
            make_listener(client, &arn, &target_group).await?;
        }
        Ok(Self { target_group, arn, name, api: running.address })
    }

    pub fn url(&self) -> String {
        format!("http://{}:{}/", self.name, self.api.port())
    }

    /// An address of its own in the VPC, where it is asked without the API's listener between.
    pub async fn address(&self, client: &Client) -> Result<Ipv4Addr, Failure> {
        let (_, id) = self.arn.split_once(":loadbalancer/").unwrap_or_default();
        let of = format!("ELB {id}");
        let input = pairs(&[("Filter.1.Name", "description"), ("Filter.1.Value.1", &of)]);
        let found = client.query(EC2, "DescribeNetworkInterfaces", input).await?;
        value_of(&found, "privateIpAddress")?.parse().context(|| "a load balancer's address is none".to_owned())
    }

    /// Which task answers.
    pub async fn ask(&self) -> Result<Answer, Failure> {
        let host = format!("{}:{}", self.name, self.api.port());
        let answer = http::get_from(&self.api.to_string(), &host, page::TASK_PATH).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status != 200 {
            return Err(Failure::new(format!("the load balancer answered {}", answer.status)).because(text));
        }
        serde_json::from_str(&text).context(|| "a task answered something else than the demo's page".to_owned())
    }
}

async fn make_group(client: &Client, vpc: String) -> Result<String, Failure> {
    let group = pairs(&[
        ("Name", NAME),
        ("Protocol", "HTTP"),
        ("Port", "80"),
        ("TargetType", "ip"),
        ("VpcId", &vpc),
        ("HealthCheckPath", page::TASK_PATH),
        ("HealthCheckIntervalSeconds", "5"),
        ("HealthCheckTimeoutSeconds", "2"),
    ]);
    let made = client.query(BALANCING, "CreateTargetGroup", group).await?;
    let arn = value_of(&made, "TargetGroupArn")?;
    let delay = pairs(&[
        ("TargetGroupArn", &arn),
        ("Attributes.member.1.Key", "deregistration_delay.timeout_seconds"),
        ("Attributes.member.1.Value", "10"),
    ]);
    client.query(BALANCING, "ModifyTargetGroupAttributes", delay).await?;
    Ok(arn)
}

async fn make_listener(client: &Client, load_balancer: &str, target_group: &str) -> Result<(), Failure> {
    let listener = pairs(&[
        ("LoadBalancerArn", load_balancer),
        ("Protocol", "HTTP"),
        ("Port", "80"),
        ("DefaultActions.member.1.Type", "forward"),
        ("DefaultActions.member.1.TargetGroupArn", target_group),
    ]);
    client.query(BALANCING, "CreateListener", listener).await.map(|_| ())
}

fn pairs(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
