//! The session with a node, from both sides: what it is told, what its reports do, and what a broken link leaves.

mod support;

use std::time::Duration;

use control::Caller;
use model::firewall::Peer;
use model::link::{FromAgent, FromControl, Hello, LINK_PROTOCOL, LogBatch, ReportedStatus};
use model::task::AttachmentStatus;
use model::{Arn, DesiredStatus, InstanceStatus, NodeId, Resources, Scope, StopCode, TaskId, TaskStatus};
use support::World;
use support::node::{Link, hello, report};
use wire::ec2::{CreateSecurityGroupRequest, Request};

const NODE: NodeId = NodeId(7);

#[tokio::test]
async fn a_node_joins_the_default_cluster_and_is_told_its_empty_set() {
    let world = World::new().await;
    let (mut link, welcome) = Link::connect(&world, NODE).await;
    let view = world.view();
    let node = world.node(NODE);
    let instance = view.container_instance_of_node(NODE).unwrap();
    assert!(node.connected && node.offers_fargate);
    assert_eq!(node.free, hello(NODE).total);
    assert_eq!((instance.status, instance.version), (InstanceStatus::Active, 1));
    assert_eq!(instance.ec2_instance_id, "i-00000000000000007");
    let arn = Arn::container_instance(&world.scope(), "default", instance.id).to_string();
    assert_eq!(welcome.container_instance_arn, Some(arn));
    assert_eq!((welcome.cluster.as_str(), welcome.zone.as_str()), ("default", "us-east-1a"));
    assert!(view.clusters.contains(&(world.scope(), "default".to_owned())));
    assert!(link.desired().await.tasks.is_empty());
}

#[tokio::test]
async fn the_firewall_is_told_at_first_and_when_it_changes_and_not_with_tasks() {
    let world = World::new().await;
    let (mut link, _) = Link::connect(&world, NODE).await;
    let first = link.desired().await;
    link.applied(&first).await;
    let firewall = first.firewall.expect("told at first");
    let [group] = &firewall.groups[..] else { panic!("the default group alone: {firewall:?}") };
    assert_eq!(group.ingress[0].peer, Peer::Group(group.id.clone()));

    world.place(1, NODE).await;
    let second = link.desired().await;
    link.applied(&second).await;
    assert_eq!((second.tasks.len(), second.firewall), (1, None));
    let interface = second.tasks[0].spec.as_ref().unwrap().interface.clone().unwrap();
    assert_eq!(interface.security_groups, [] as [&str; 0]);

    let request = CreateSecurityGroupRequest {
        group_name: "web".to_owned(),
        description: "d".to_owned(),
        ..CreateSecurityGroupRequest::default()
    };
    let caller = Caller::root(world.scope(), "AKIA");
    world.control.call_ec2(&caller, Request::CreateSecurityGroup(request)).await.unwrap();
    let third = link.desired().await;
    assert_eq!(third.firewall.expect("it changed").groups.len(), 2);
    assert!(third.tasks[0].spec.is_none());
}

#[tokio::test]
async fn a_task_runs_and_stops() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let id = world.place(1, NODE).await;
    world.check_ledger();

    let desired = link.desired().await;
    assert_eq!(desired.statuses(), [(id, DesiredStatus::Running)].into());
    assert_eq!(desired.tasks[0].spec.as_ref().unwrap().interface.as_ref().unwrap().address.to_string(), "172.31.0.5");
    link.applied(&desired).await;
    link.report(vec![report(id, 1, ReportedStatus::Pending), report(id, 2, ReportedStatus::Running)]).await;
    assert_eq!(link.taken().await, [(id, 1), (id, 2)]);
    let task = world.task(id);
    assert_eq!((task.last_status, task.connected), (TaskStatus::Running, true));
    assert_eq!(task.started_at, Some(world.clock.now()));
    assert_eq!(task.containers[0].runtime_id.as_deref(), Some(&*format!("{id}-0")));
    assert_eq!(task.attachment.as_ref().unwrap().status, AttachmentStatus::Attached);

    world.stop(id).await;
    let desired = link.desired().await;
    assert_eq!(desired.statuses(), [(id, DesiredStatus::Stopped)].into());
    link.applied(&desired).await;
    link.report(vec![report(id, 3, ReportedStatus::Stopped)]).await;
    assert_eq!(link.taken().await, [(id, 3)]);
    let task = world.task(id);
    assert_eq!((task.last_status, task.stop_code), (TaskStatus::Stopped, Some(StopCode::UserInitiated)));
    assert_eq!(world.node(NODE).free, hello(NODE).total, "what it held is given back");
    assert!(world.view().interfaces.is_empty(), "its interface is gone");
    let desired = link.desired().await;
    assert!(desired.tasks.is_empty(), "a task leaves the set once its end is durable");
}

#[tokio::test]
async fn an_instances_version_rises_with_its_node() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let changes = || world.node(NODE).changes;
    assert_eq!(changes(), 0, "registered");
    let id = world.place(1, NODE).await;
    let before = changes();
    let desired = link.desired().await;
    link.applied(&desired).await;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    link.taken().await;
    assert_eq!(changes(), before, "nothing that the instance shows by itself");
    link.report(vec![report(id, 2, ReportedStatus::Stopped)]).await;
    link.taken().await;
    assert_eq!(changes(), before + 1, "resources are given back");
    drop(link);
    world.until("the node is gone", |view| !view.nodes.get(&NODE).unwrap().connected).await;
    assert_eq!(changes(), before + 2);
    let (_link, _) = Link::join(&world, NODE).await;
    assert_eq!(changes(), before + 3);
}

#[tokio::test]
async fn an_address_is_free_when_the_node_has_let_go_of_it() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let id = world.place(1, NODE).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    link.taken().await;
    // As a deregistration by force does it: over for the API, whatever the node still has.
    let over = world.control.store.write(|txn| {
        txn.update(&id, |task: &mut model::Task| task.last_status = TaskStatus::Stopped);
        let total = hello(NODE).total;
        txn.update(&NODE, |node: &mut model::Node| node.free = total);
        Ok::<_, std::convert::Infallible>(())
    });
    over.await.unwrap();
    let desired = link.desired().await;
    assert!(desired.tasks.is_empty());
    link.applied(&desired).await;
    assert_eq!(world.view().interfaces.len(), 1, "the container may still have the address");
    link.report(vec![report(id, 2, ReportedStatus::Stopped)]).await;
    link.taken().await;
    assert!(world.view().interfaces.is_empty());
    world.check_ledger();
}

#[tokio::test]
async fn an_essential_exit_stops_the_task_by_itself() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let check = async |world: &World, link: &mut Link, id: u128, failure: Option<&str>, expected: (StopCode, &str)| {
        let id = world.place(id, NODE).await;
        let desired = link.desired().await;
        link.applied(&desired).await;
        let mut stopped = report(id, 1, ReportedStatus::Stopped);
        stopped.failure = failure.map(str::to_owned);
        link.report(vec![stopped]).await;
        link.taken().await;
        let task = world.task(id);
        assert_eq!((task.stop_code, task.stopped_reason.as_deref()), (Some(expected.0), Some(expected.1)));
        assert_eq!(task.desired_status, DesiredStatus::Stopped);
        let desired = link.desired().await;
        link.applied(&desired).await;
        world.check_ledger();
    };
    let exited = (StopCode::EssentialContainerExited, "Essential container in task exited");
    check(&world, &mut link, 1, None, exited).await;
    let failure = "CannotPullContainerError: no such image";
    check(&world, &mut link, 2, Some(failure), (StopCode::TaskFailedToStart, failure)).await;
}

#[tokio::test]
async fn one_desired_set_is_unanswered_at_most_and_what_changes_meanwhile_comes_together() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let first = world.place(1, NODE).await;
    let desired = link.desired().await;
    assert_eq!(desired.statuses(), [(first, DesiredStatus::Running)].into());
    let second = world.place(2, NODE).await;
    let third = world.place(3, NODE).await;
    world.stop(first).await;
    // The answer to a report shows that nothing else was sent before it.
    link.report(vec![report(first, 1, ReportedStatus::Pending)]).await;
    assert_eq!(link.taken().await, [(first, 1)]);
    link.applied(&desired).await;
    let next = link.desired().await;
    let (running, stopped) = (DesiredStatus::Running, DesiredStatus::Stopped);
    assert_eq!(next.statuses(), [(first, stopped), (second, running), (third, running)].into());
    let with_spec: Vec<TaskId> = next.tasks.iter().filter(|task| task.spec.is_some()).map(|task| task.id).collect();
    assert_eq!(with_spec, [second, third], "the first one's is there already");
    assert!(next.generation > desired.generation);
}

#[tokio::test]
async fn status_reports_do_not_bring_a_new_set() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let id = world.place(1, NODE).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    for sequence in 1..4 {
        link.report(vec![report(id, sequence, ReportedStatus::Running)]).await;
        assert_eq!(link.taken().await, [(id, sequence)], "the answer and nothing before it");
    }
}

#[tokio::test]
async fn old_repeated_and_reordered_reports_change_nothing_and_are_answered() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let id = world.place(1, NODE).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    link.report(vec![report(id, 5, ReportedStatus::Running)]).await;
    link.taken().await;
    let before = world.task(id);
    for (sequence, status) in [(5, ReportedStatus::Running), (4, ReportedStatus::Stopped), (1, ReportedStatus::Pending)]
    {
        link.report(vec![report(id, sequence, status)]).await;
        assert_eq!(link.taken().await, [(id, sequence)]);
        assert_eq!(world.task(id), before);
    }
    link.report(vec![report(id, 6, ReportedStatus::Pending)]).await;
    link.taken().await;
    assert_eq!(world.task(id).last_status, TaskStatus::Running, "a status never goes back");
    link.report(vec![report(id, 7, ReportedStatus::Stopped), report(id, 8, ReportedStatus::Running)]).await;
    link.taken().await;
    assert_eq!(world.task(id).last_status, TaskStatus::Stopped);
    world.check_ledger();
}

#[tokio::test]
async fn a_node_changes_only_its_own_tasks() {
    let world = World::new().await;
    let (_victim, _) = Link::join(&world, NODE).await;
    let (mut link, _) = Link::join(&world, NodeId(8)).await;
    let id = world.place(1, NODE).await;
    link.report(vec![report(id, 9, ReportedStatus::Stopped), report(TaskId(404), 1, ReportedStatus::Running)]).await;
    assert_eq!(link.taken().await, [(id, 9), (TaskId(404), 1)], "answered, so that the node forgets them");
    assert_eq!(world.task(id).last_status, TaskStatus::Provisioning);
    assert!(!world.view().tasks.contains(&TaskId(404)));
}

#[tokio::test]
async fn a_lost_link_shows_and_a_new_one_takes_up_where_it_broke() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let running = world.place(1, NODE).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    link.report(vec![report(running, 1, ReportedStatus::Running)]).await;
    link.taken().await;
    // Its answer is lost with the link.
    link.report(vec![report(running, 2, ReportedStatus::Running)]).await;
    drop(link);
    world.until("the node is gone", |view| !view.nodes.get(&NODE).unwrap().connected).await;
    assert!(!world.task(running).connected);
    assert_eq!(world.task(running).last_status, TaskStatus::Running);
    assert_eq!(world.control.sessions.count(), 0);

    world.clock.advance(Duration::from_secs(5));
    let placed_meanwhile = world.place(2, NODE).await;
    let (mut link, desired) = Link::join(&world, NODE).await;
    let expected = [(running, DesiredStatus::Running), (placed_meanwhile, DesiredStatus::Running)];
    assert_eq!(desired.statuses(), expected.into());
    assert!(desired.tasks.iter().all(|task| task.spec.is_some()), "a new session assumes nothing");
    let task = world.task(running);
    assert_eq!((task.connected, task.connectivity_at), (true, Some(world.clock.now())));
    link.report(vec![report(running, 2, ReportedStatus::Running)]).await;
    assert_eq!(link.taken().await, [(running, 2)]);
    world.check_ledger();
}

#[tokio::test]
async fn a_task_that_stops_before_its_node_heard_of_it_ends_by_the_nodes_report() {
    let world = World::new().await;
    let (link, _) = Link::join(&world, NODE).await;
    drop(link);
    world.until("the node is gone", |view| !view.nodes.get(&NODE).unwrap().connected).await;
    let id = world.place(1, NODE).await;
    world.stop(id).await;
    let (mut link, desired) = Link::join(&world, NODE).await;
    assert_eq!(desired.statuses(), [(id, DesiredStatus::Stopped)].into());
    link.report(vec![report(id, 1, ReportedStatus::Stopped)]).await;
    link.taken().await;
    assert_eq!(world.task(id).last_status, TaskStatus::Stopped);
    world.check_ledger();
}

#[tokio::test]
async fn a_newer_session_ends_the_older_and_the_node_stays_connected() {
    let world = World::new().await;
    let (mut older, _) = Link::join(&world, NODE).await;
    let (mut newer, _) = Link::join(&world, NODE).await;
    assert_eq!(older.bye().await, ("a newer session of the same node took over".to_owned(), false));
    assert_eq!(older.hear_or_end().await, None);
    let id = world.place(1, NODE).await;
    assert_eq!(newer.desired().await.statuses(), [(id, DesiredStatus::Running)].into());
    assert!(world.node(NODE).connected);
    assert_eq!(world.control.sessions.count(), 1);
}

#[tokio::test]
async fn after_a_restart_no_node_is_connected_until_it_says_hello() {
    let mut world = World::new().await;
    let (mut link, welcome) = Link::connect(&world, NODE).await;
    let desired = link.desired().await;
    world.restart().await;
    assert!(!world.node(NODE).connected);
    let (mut link, again) = Link::connect(&world, NODE).await;
    assert_eq!(again.control_id, welcome.control_id, "it is the same store");
    assert_eq!(again.container_instance_arn, welcome.container_instance_arn, "and the same instance");
    assert!(link.desired().await.generation >= desired.generation, "generations never go back");
}

#[tokio::test]
async fn a_report_that_cannot_be_made_durable_is_not_answered() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let id = world.place(1, NODE).await;
    let desired = link.desired().await;
    link.applied(&desired).await;
    world.disk.fail_next(1);
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    let (reason, fatal) = link.bye().await;
    assert_eq!(reason, "the state could not be written: the disk is full: the change was not made");
    assert!(!fatal);
    assert_eq!(world.task(id).last_status, TaskStatus::Provisioning);
    let (mut link, _) = Link::join(&world, NODE).await;
    link.report(vec![report(id, 1, ReportedStatus::Running)]).await;
    assert_eq!(link.taken().await, [(id, 1)]);
    assert_eq!(world.task(id).last_status, TaskStatus::Running);
}

#[tokio::test]
async fn a_machine_that_shrank_keeps_a_true_ledger() {
    let world = World::new().await;
    let (_link, _) = Link::join(&world, NODE).await;
    world.place(1, NODE).await;
    let second = world.place(2, NODE).await;
    let mut link = Link::open(&world).await;
    let mut smaller = hello(NODE);
    smaller.total = Resources { cpu: model::CpuUnits(300), memory: model::MemoryMib(600), ..Resources::default() };
    smaller.boot_id = "boot-2".to_owned();
    link.say(&FromAgent::Hello(Box::new(smaller))).await;
    assert!(matches!(link.hear().await, FromControl::Welcome(_)));
    assert_eq!(link.desired().await.tasks.len(), 2, "nothing is assumed of a new boot");
    world.check_ledger();
    link.report(vec![report(second, 1, ReportedStatus::Stopped)]).await;
    link.taken().await;
    world.check_ledger();
    assert_eq!(world.node(NODE).free.cpu.0, 44);
}

#[tokio::test]
async fn what_is_no_link_is_refused() {
    let world = World::new().await;
    let check = async |first: String, expected: &str, fatal: bool| {
        let mut link = Link::open(&world).await;
        link.say_text(first).await;
        let (reason, is_fatal) = link.bye().await;
        assert!(reason.starts_with(expected), "{reason}");
        assert_eq!(is_fatal, fatal, "{reason}");
        assert_eq!(link.hear_or_end().await, None);
    };
    let text = |message: &FromAgent| serde_json::to_string(message).unwrap();
    let strange = Hello { protocol: 99, ..hello(NODE) };
    let other = format!("this control plane speaks link protocol {LINK_PROTOCOL}, the agent 99");
    check(text(&FromAgent::Hello(Box::new(strange))), &other, true).await;
    check(text(&FromAgent::Applied { generation: 1 }), "the link is broken: the first message is not Hello", false)
        .await;
    check("{".to_owned(), "the link is broken: an unreadable message", false).await;
    check("{\"Sing\":{}}".to_owned(), "the link is broken: an unreadable message", false).await;
    assert_eq!(world.view().nodes.len(), 0);

    let (mut link, _) = Link::join(&world, NODE).await;
    link.say(&FromAgent::Hello(Box::new(hello(NODE)))).await;
    assert_eq!(link.bye().await, ("the link is broken: a second Hello".to_owned(), false));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_is_gone_after_thirty_seconds() {
    let world = World::new().await;
    let (link, _) = Link::join(&world, NODE).await;
    // It neither reads nor writes, but its end of the pipe stays open: no pong is ever sent.
    let start = tokio::time::Instant::now();
    let mut commits = world.control.store.subscribe();
    while world.node(NODE).connected {
        commits.next().await;
    }
    let silent = start.elapsed();
    assert!((Duration::from_secs(30)..Duration::from_secs(45)).contains(&silent), "{silent:?}");
    drop(link);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_pings_stays() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    link.listen(Duration::from_secs(300)).await;
    assert!(world.node(NODE).connected);
}

#[tokio::test]
async fn log_lines_are_taken_in_or_refused_for_good() {
    let world = World::new().await;
    let (mut link, _) = Link::join(&world, NODE).await;
    let batch = |batch: u64, group: &str, create_group: bool, scope: Scope| LogBatch {
        batch,
        scope,
        group: group.to_owned(),
        stream: "app/1".to_owned(),
        create_group,
        events: vec![(world.clock.now().0, "hello".to_owned())],
    };
    let here = world.scope();
    link.say(&FromAgent::PutLogs(batch(1, "/made", true, here.clone()))).await;
    assert_eq!(link.hear().await, FromControl::LogsTaken { batch: 1, refused: None });
    let view = world.view();
    let stream = view.log_streams_of(&here, "/made").next().expect("the stream is made");
    assert!(world.control.logs.summary(stream.uid).first_event.is_some(), "the line is stored");

    link.say(&FromAgent::PutLogs(batch(2, "/missing", false, here))).await;
    let FromControl::LogsTaken { batch: 2, refused: Some(reason) } = link.hear().await else { panic!("not refused") };
    assert!(reason.starts_with("ResourceNotFoundException"), "{reason}");
    link.say(&FromAgent::PutLogs(batch(3, "/made", true, Scope::new("111111111111", "us-east-1")))).await;
    let FromControl::LogsTaken { batch: 3, refused: Some(reason) } = link.hear().await else { panic!("not refused") };
    assert!(reason.starts_with("AccessDeniedException"), "{reason}");
}
