//! `gantry events`: what happened lately, and with `--follow` what happens, a line an event: coloured for people, the
//! event as EventBridge has it for machines.

use control::serve::events::EVENTS_PATH;
use serde_json::{Value, json};

use crate::args::{Events, Output};
use crate::client::Client;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::{dim, green, red, yellow};

pub async fn run(home: &Home, args: &Events, format: Output) -> Result<(), Failure> {
    let running = home.require_running()?;
    let client = Client::new(home, &running)?;
    let mut lines = client.stream_own(EVENTS_PATH, &json!({"follow": args.follow})).await?;
    while let Some(line) = lines.next().await? {
        match format {
            Output::Json => println!("{line}"),
            Output::Text => println!("{}", render(&serde_json::from_str(&line).unwrap_or_default())),
        }
    }
    Ok(())
}

/// Time, kind, name, and what became of it.
fn render(event: &Value) -> String {
    let detail = &event["detail"];
    let told = match event["detail-type"].as_str().unwrap_or_default() {
        "ECS Task State Change" => task(detail),
        "ECS Container Instance State Change" => instance(detail),
        "ECS Service Action" => action("service", &last(&event["resources"][0]), detail),
        "ECS Deployment State Change" => {
            action("deployment", &format!("{} {}", last(&event["resources"][0]), text(&detail["deploymentId"])), detail)
        }
        "Gantry Events Lost" => {
            let count = detail["count"].as_u64().map_or("some".to_owned(), |count| count.to_string());
            return red(&format!("{count} events were lost: this reader was too slow"));
        }
        other => other.to_owned(),
    };
    format!("{}  {told}", dim(&text(&event["time"])))
}

fn task(detail: &Value) -> String {
    let status = text(&detail["lastStatus"]);
    let status = match status.as_str() {
        "RUNNING" => green(&status),
        "STOPPED" => red(&status),
        _ => yellow(&status),
    };
    let health = detail["healthStatus"].as_str().filter(|health| *health != "UNKNOWN").map(str::to_owned);
    let reason = detail["stoppedReason"].as_str().map(str::to_owned);
    let told: Vec<String> = health.into_iter().chain(reason).collect();
    let definition = last(&detail["taskDefinitionArn"]);
    line("task", &format!("{definition} {}", last(&detail["taskArn"])), &status, &told.join(", "))
}

fn instance(detail: &Value) -> String {
    let status = text(&detail["status"]);
    let connected = detail["agentConnected"] == true;
    let status = if connected && status == "ACTIVE" { green(&status) } else { yellow(&status) };
    let agent = if connected { "agent connected" } else { "agent away" };
    line("instance", &last(&detail["containerInstanceArn"]), &status, agent)
}

fn action(kind: &str, name: &str, detail: &Value) -> String {
    let what = text(&detail["eventName"]);
    let what = match detail["eventType"].as_str() {
        Some("ERROR") => red(&what),
        Some("WARN") => yellow(&what),
        _ => green(&what),
    };
    line(kind, name, &what, detail["reason"].as_str().unwrap_or_default())
}

fn line(kind: &str, name: &str, what: &str, more: &str) -> String {
    format!("{kind:10}  {name}  {what}  {more}").trim_end().to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn last(arn: &Value) -> String {
    text(arn).rsplit('/').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line() {
        let check = |kind: &str, resource: &str, detail: Value, expected: &str| {
            let event = json!({
                "time": "2026-01-02T03:04:05Z", "detail-type": kind, "resources": [resource], "detail": detail,
            });
            assert_eq!(render(&event), expected);
        };
        check(
            "ECS Task State Change",
            "",
            json!({
                "lastStatus": "STOPPED", "stoppedReason": "Task stopped by user", "taskArn": "arn:x:task/default/0f",
                "taskDefinitionArn": "arn:x:task-definition/web:3", "healthStatus": "HEALTHY",
            }),
            "2026-01-02T03:04:05Z  task        web:3 0f  STOPPED  HEALTHY, Task stopped by user",
        );
        check(
            "ECS Container Instance State Change",
            "",
            json!({"status": "ACTIVE", "agentConnected": false, "containerInstanceArn": "a/b/c"}),
            "2026-01-02T03:04:05Z  instance    c  ACTIVE  agent away",
        );
        check(
            "ECS Service Action",
            "arn:x:service/default/web",
            json!({"eventType": "INFO", "eventName": "SERVICE_STEADY_STATE"}),
            "2026-01-02T03:04:05Z  service     web  SERVICE_STEADY_STATE",
        );
        check(
            "ECS Deployment State Change",
            "arn:x:service/default/web",
            json!({"eventName": "SERVICE_DEPLOYMENT_FAILED", "deploymentId": "ecs-svc/1", "reason": "no"}),
            "2026-01-02T03:04:05Z  deployment  web ecs-svc/1  SERVICE_DEPLOYMENT_FAILED  no",
        );
        check("Gantry Events Lost", "", json!({"count": 7}), "7 events were lost: this reader was too slow");
    }
}
