//! Whole lives of tasks on a real machine. Few and short: what is decided is tried on simulated machines.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use agent::clock::Clock;
use model::link::ReportedStatus::{Pending, Running, Stopped};
use model::task::ContainerStatus;
use model::task_definition::{Condition, MountPoint, Volume};
use model::{ContainerDefinition, DesiredStatus, HealthStatus, MemoryMib, TaskId};

use crate::link::LIMIT;
use crate::machine::on_machine;
use crate::spec::{after, checked, container, logged, spec};

const ONE: TaskId = TaskId(1);

#[test]
fn a_task_writes_exits_and_leaves_nothing() {
    on_machine(|machine| async move {
        let (agent, mut link) = machine.agent().await;
        let task = spec(1, vec![logged(container("a", "echo hello; echo $HOSTNAME; cat /etc/hostname; exit 7"))]);
        link.desire(1, &[(DesiredStatus::Running, &task)]).await;
        let report = link.wait_for(ONE, Stopped).await;
        assert_eq!(report.containers[0].exit_code, Some(7));
        assert!(report.started_at.is_some() && report.failure.is_none() && report.interface_attached);
        assert!(report.containers[0].image_digest.as_ref().unwrap().starts_with("sha256:"));
        // All that it wrote was there before the task was called STOPPED.
        let lines = &link.lines[&format!("test/a/{ONE}")];
        assert_eq!(lines[0], "hello");
        assert_eq!(lines[1..], ["ip-172-31-0-10.ec2.internal", "ip-172-31-0-10.ec2.internal"]);
        link.desire(2, &[]).await;
        machine.wait_until_clean().await;
        agent.shutdown().await;
        machine
    });
}

#[test]
fn memory_is_bounded_and_its_end_is_called_so() {
    on_machine(|machine| async move {
        let (agent, mut link) = machine.agent().await;
        let greedy = container("a", "x=$(head -c 64000000 /dev/zero | tr '\\0' a); echo ${#x}");
        let task = spec(1, vec![ContainerDefinition { memory: Some(MemoryMib(8)), ..greedy }]);
        link.desire(1, &[(DesiredStatus::Running, &task)]).await;
        let report = link.wait_for(ONE, Stopped).await;
        assert_eq!(report.containers[0].exit_code, Some(137), "{report:?}");
        let reason = "OutOfMemoryError: Container killed due to memory usage";
        assert_eq!(report.containers[0].reason.as_deref(), Some(reason));
        link.desire(2, &[]).await;
        machine.wait_until_clean().await;
        agent.shutdown().await;
        machine
    });
}

#[test]
fn containers_wait_for_one_another_share_and_stop_in_reverse() {
    on_machine(|machine| async move {
        let (agent, mut link) = machine.agent().await;
        // `a` turns healthy late, `b` finds its file and its port, and both say when they are told to stop.
        let serve = "mkdir /tmp/www; echo here > /tmp/www/index.html; httpd -p 80 -h /tmp/www; \
                     trap 'cat /proc/uptime > /data/a; exit 0' TERM; touch /data/ready; while :; do sleep 0.1; done";
        let ask = "wget -qO- http://localhost/; cat /data/ready && echo shared; \
                   trap 'sleep 0.5; cat /proc/uptime > /data/b; exit 0' TERM; while :; do sleep 0.1; done";
        let data = MountPoint { source_volume: "data".into(), container_path: "/data".into(), read_only: None };
        let with_data = |c: ContainerDefinition| ContainerDefinition { mount_points: vec![data.clone()], ..c };
        let a = checked(with_data(container("a", serve)), "test -e /data/ready");
        let b = after(logged(with_data(container("b", ask))), "a", Condition::Healthy);
        let scratch = tempfile::tempdir().unwrap();
        let host_path = Some(scratch.path().to_str().unwrap().to_owned());
        let mut task = spec(1, vec![a, b]);
        task.volumes = vec![Volume { name: "data".into(), host_path, host_given: true }];
        link.desire(1, &[(DesiredStatus::Running, &task)]).await;
        link.wait("a healthy a", |link| {
            link.reports.get(&ONE).is_some_and(|report| report.containers[0].health == HealthStatus::Healthy)
        })
        .await;
        assert_eq!(
            (link.reports[&ONE].status, link.reports[&ONE].containers[1].status),
            (Pending, ContainerStatus::Pending)
        );
        link.wait_for(ONE, Running).await;
        link.wait("b's lines", |link| link.lines.values().any(|lines| lines.len() == 2)).await;
        assert_eq!(link.lines[&format!("test/b/{ONE}")], ["here", "shared"]);
        assert!(fetch("172.31.0.11:80").ends_with("here\n"), "from the host");
        link.desire(2, &[(DesiredStatus::Stopped, &task)]).await;
        let report = link.wait_for(ONE, Stopped).await;
        assert_eq!(report.containers.iter().map(|c| c.exit_code).collect::<Vec<_>>(), [Some(0), Some(0)]);
        let stopped_at = |name: &str| {
            let text = std::fs::read_to_string(scratch.path().join(name)).unwrap();
            text.split(' ').next().and_then(|seconds| seconds.parse::<f64>().ok()).expect("seconds")
        };
        assert!(stopped_at("a") >= stopped_at("b"), "a had to wait for b to end");
        link.desire(3, &[]).await;
        machine.wait_until_clean().await;
        agent.shutdown().await;
        machine
    });
}

#[test]
fn a_killed_agent_loses_nothing() {
    on_machine(|machine| async move {
        let (agent, mut link) = machine.agent().await;
        let goes_on =
            spec(1, vec![logged(container("a", "trap 'exit 9' TERM; while :; do echo tick; sleep 0.2; done"))]);
        let ends = spec(2, vec![logged(container("a", "echo last; sleep 1; echo words; exit 5"))]);
        let deaf = container("a", "trap '' TERM; while :; do sleep 0.1; done");
        let deaf = spec(3, vec![ContainerDefinition { stop_timeout: Some(2), ..deaf }]);
        let all = [&goes_on, &ends, &deaf].map(|task| (DesiredStatus::Running, task));
        link.desire(1, &all).await;
        for (_, task) in &all {
            link.wait_for(task.id, Running).await;
        }
        let before = link.reports.clone();
        drop((agent, link));
        // The second ends unseen.
        let runtime_id = before[&TaskId(2)].containers[0].runtime_id.clone().unwrap();
        machine.wait_until_ended(&runtime_id).await;
        let back_at = Clock::System.now();
        let (agent, mut link) = machine.agent().await;
        let report = link.wait_for(TaskId(2), Stopped).await;
        assert_eq!(report.containers[0].exit_code, Some(5));
        let ended_at = report.execution_stopped_at.unwrap();
        assert!(before[&TaskId(2)].started_at.unwrap() < ended_at && ended_at <= back_at, "not when it was found");
        link.wait("its last words", |link| {
            link.lines.get(&format!("test/a/{}", TaskId(2))).is_some_and(|lines| lines.ends_with(&["words".to_owned()]))
        })
        .await;
        let report = link.wait_for(ONE, Running).await;
        assert_eq!(report.containers[0].runtime_id, before[&ONE].containers[0].runtime_id);
        assert!(report.sequence >= before[&ONE].sequence);

        link.desire(1, &all.map(|(_, task)| (DesiredStatus::Stopped, task))).await;
        assert_eq!(link.wait_for(TaskId(3), Stopped).await.containers[0].exit_code, Some(137));
        assert_eq!(link.wait_for(ONE, Stopped).await.containers[0].exit_code, Some(9));
        link.desire(2, &[]).await;
        machine.wait_until_clean().await;
        agent.shutdown().await;
        machine
    });
}

#[test]
fn what_cannot_be_started_says_why() {
    on_machine(|machine| async move {
        let (agent, mut link) = machine.agent().await;
        let no_command = ContainerDefinition { command: vec!["/nowhere".into()], ..container("a", "") };
        let no_image = ContainerDefinition { image: "localhost:1/none:latest".into(), ..container("a", "") };
        let no_command = spec(1, vec![no_command]);
        let no_image = spec(2, vec![no_image]);
        link.desire(1, &[(DesiredStatus::Running, &no_command), (DesiredStatus::Running, &no_image)]).await;
        for (task, name) in [(ONE, "CannotStartContainerError: "), (TaskId(2), "CannotPullContainerError: ")] {
            let report = link.wait_for(task, Stopped).await;
            let reason = report.containers[0].reason.clone().unwrap();
            assert!(reason.starts_with(name), "{reason}");
            assert_eq!(report.failure, Some(reason));
            assert_eq!(report.containers[0].exit_code, None);
        }
        link.desire(2, &[]).await;
        machine.wait_until_clean().await;
        agent.shutdown().await;
        machine
    });
}

/// An HTTP answer, whole.
fn fetch(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
