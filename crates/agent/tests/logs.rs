//! Container output from the file to the sink, with real files and inotify, and a sink that the test is.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use agent::clock::Clock;
use agent::logs::{Logs, Options, Shipment, Verdict};
use model::Scope;
use tokio::sync::mpsc;
use tokio::time::timeout;

const KEY: &str = "00000000000000000000000000000001-0";
const WAIT: Duration = Duration::from_secs(60);

fn options() -> Options {
    Options {
        scope: Scope::new("000000000000", "us-east-1"),
        group: "/g".into(),
        stream: "p/web/1".into(),
        create_group: true,
        pattern: None,
        waiting_bytes_max: 64 << 20,
    }
}

struct Node {
    directory: tempfile::TempDir,
    logs: Logs,
    shipments: mpsc::Receiver<Shipment>,
}

impl Node {
    fn open() -> Self {
        Self::open_in(tempfile::tempdir().unwrap())
    }

    fn open_in(directory: tempfile::TempDir) -> Self {
        let (sink, shipments) = mpsc::channel(1);
        let logs = Logs::open(directory.path().join("logs"), sink, Clock::System).unwrap();
        Self { directory, logs, shipments }
    }

    /// As if the agent were killed and came back.
    fn restart(self) -> Self {
        drop(self.logs);
        Self::open_in(self.directory)
    }

    /// What a shim has open.
    fn output(&self) -> File {
        OpenOptions::new().append(true).open(self.logs.file(KEY)).unwrap()
    }

    async fn next(&mut self) -> Shipment {
        timeout(WAIT, self.shipments.recv()).await.expect("a batch in time").unwrap()
    }

    /// Takes batches until `count` events came.
    async fn take(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        while events.len() < count {
            let shipment = self.next().await;
            events.extend(texts(&shipment));
            shipment.answer.send(Verdict::Taken).unwrap();
        }
        events
    }

    async fn wait_for(&self, what: &str, is: impl Fn(&Path) -> bool) {
        let directory = self.directory.path().join("logs");
        let wait = async {
            while !is(&directory) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(WAIT, wait).await.unwrap_or_else(|_| panic!("{what} in time"));
    }

    async fn wait_until_gone(&self) {
        self.wait_for("the files go", |directory| std::fs::read_dir(directory).unwrap().count() == 0).await;
    }
}

fn texts(shipment: &Shipment) -> Vec<String> {
    shipment.batch.events.iter().map(|(_, text)| text.clone()).collect()
}

#[tokio::test]
async fn lines_are_shipped_as_they_are_written_and_the_files_go_at_the_end() {
    let mut node = Node::open();
    node.logs.follow(KEY, &options()).unwrap();
    node.logs.follow(KEY, &options()).unwrap();
    let mut output = node.output();
    output.write_all(b"one\ntwo\nthr").unwrap();
    let before = Clock::System.now().as_millis();
    let shipment = node.next().await;
    let batch = &shipment.batch;
    assert_eq!((&batch.group[..], &batch.stream[..], batch.create_group), ("/g", "p/web/1", true));
    assert_eq!(texts(&shipment), ["one", "two"]);
    let after = Clock::System.now().as_millis();
    assert!(batch.events.iter().all(|(at, _)| (before..=after).contains(at)));
    shipment.answer.send(Verdict::Taken).unwrap();
    output.write_all(b"ee\nfour").unwrap();
    assert_eq!(node.take(1).await, ["three"]);
    assert_eq!(node.logs.keys(), [KEY]);
    node.logs.finish(KEY);
    assert_eq!(node.logs.keys(), [""; 0]);
    // A last line without a newline is one too.
    assert_eq!(node.take(1).await, ["four"]);
    node.wait_until_gone().await;
}

#[tokio::test]
async fn a_container_that_writes_nothing_leaves_nothing() {
    let node = Node::open();
    node.logs.follow(KEY, &options()).unwrap();
    node.logs.finish(KEY);
    node.wait_until_gone().await;
    node.logs.finish("unknown");
}

#[tokio::test]
async fn what_is_not_answered_comes_again_and_nothing_else() {
    let mut node = Node::open();
    node.logs.follow(KEY, &options()).unwrap();
    let mut output = node.output();
    output.write_all(b"one\n").unwrap();
    assert_eq!(node.take(1).await, ["one"]);
    output.write_all(b"two\n").unwrap();
    // The link breaks: the batch comes again by itself.
    drop(node.next().await);
    let again = node.next().await;
    assert_eq!(texts(&again), ["two"]);
    // The agent is killed before it hears the answer; the container goes on, ends, and is finished by the next agent.
    drop(again);
    let mut node = node.restart();
    assert_eq!(node.logs.keys(), [KEY]);
    output.write_all(b"three\n").unwrap();
    assert_eq!(node.take(2).await, ["two", "three"]);
    node.wait_for("progress is kept", |directory| {
        std::fs::read_to_string(directory.join(format!("{KEY}.progress"))).unwrap().contains(r#""done":14"#)
    })
    .await;
    let mut node = node.restart();
    output.write_all(b"four\n").unwrap();
    assert_eq!(node.take(1).await, ["four"]);
    node.logs.finish(KEY);
    node.wait_until_gone().await;
}

#[tokio::test]
async fn output_of_a_finished_container_is_shipped_by_the_next_agent() {
    let node = Node::open();
    node.logs.follow(KEY, &options()).unwrap();
    node.output().write_all(b"last words\n").unwrap();
    node.logs.finish(KEY);
    let mut node = node.restart();
    assert_eq!(node.logs.keys(), [""; 0]);
    assert_eq!(node.take(1).await, ["last words"]);
    node.wait_until_gone().await;
}

/// The bound is what waits on the node, in memory and in the file; the newest lines stay.
#[tokio::test]
async fn beyond_the_bound_the_oldest_lines_are_lost_counted_and_told_of() {
    let mut node = Node::open();
    let bound = 4 << 20;
    node.logs.follow(KEY, &Options { waiting_bytes_max: bound, ..options() }).unwrap();
    let mut output = node.output();
    output.write_all(b"first\n").unwrap();
    let first = node.next().await;
    let lines = 400_000;
    let mut text = String::new();
    for n in 0..lines {
        text.push_str(&format!("line {n:09} {}\n", "x".repeat(40)));
        if text.len() > 1 << 20 || n == lines - 1 {
            output.write_all(text.as_bytes()).unwrap();
            text.clear();
            tokio::task::yield_now().await;
        }
    }
    let length = output.metadata().unwrap().len();
    assert!(length > 5 * bound);
    node.wait_for("space is given back", |directory| {
        let used = directory.join(format!("{KEY}.log")).metadata().unwrap().blocks() * 512;
        used < bound + (2 << 20)
    })
    .await;
    first.answer.send(Verdict::Taken).unwrap();
    node.logs.finish(KEY);
    let mut events = Vec::new();
    while let Some(last) = events.last().map_or(Some(String::new()), |last: &String| Some(last.clone()))
        && !last.starts_with(&format!("line {:09}", lines - 1))
    {
        events.extend(node.take(1).await);
    }
    let told = events.iter().filter_map(|text| text.strip_prefix('[')?.split(' ').next()?.parse::<usize>().ok());
    let lost: usize = told.sum();
    let kept = events.iter().filter(|text| text.starts_with("line ")).count();
    assert!(lost > 0 && kept > 0);
    assert_eq!(lost + kept, lines, "every line is there or counted");
    node.wait_until_gone().await;
}

#[tokio::test]
async fn a_gap_is_remembered_by_the_next_agent() {
    let mut node = Node::open();
    node.logs.follow(KEY, &Options { waiting_bytes_max: 1 << 20, ..options() }).unwrap();
    let mut output = node.output();
    output.write_all(b"first\n").unwrap();
    let first = node.next().await;
    let line = format!("{}\n", "y".repeat(99));
    let lines = 60_000;
    output.write_all(line.repeat(lines).as_bytes()).unwrap();
    node.wait_for("a gap", |directory| {
        let progress = std::fs::read_to_string(directory.join(format!("{KEY}.progress")));
        progress.is_ok_and(|text| text.contains(r#""gap":{"#))
    })
    .await;
    drop(first);
    let mut node = node.restart();
    node.logs.finish(KEY);
    let mut events = Vec::new();
    loop {
        let shipment = node.next().await;
        events.extend(texts(&shipment));
        shipment.answer.send(Verdict::Taken).unwrap();
        let told = |text: &String| text.strip_prefix('[')?.split(' ').next()?.parse::<usize>().ok();
        let lost: usize = events.iter().filter_map(told).sum();
        let kept = events.iter().filter(|text| text.starts_with('y')).count();
        if lost + kept == lines {
            break;
        }
        assert!(lost + kept < lines);
    }
    assert!(events[..2].iter().any(|text| text == "first"), "what was in flight comes again");
    assert!(events.iter().all(|text| !text.contains('\0')), "what was punched out is never read");
    node.wait_until_gone().await;
}

#[tokio::test]
async fn shipped_output_gives_its_space_back() {
    let mut node = Node::open();
    node.logs.follow(KEY, &options()).unwrap();
    let mut output = node.output();
    let line = format!("{}\n", "z".repeat(999));
    output.write_all(line.repeat(8192).as_bytes()).unwrap();
    let events = node.take(8192).await;
    assert_eq!(events.len(), 8192);
    node.wait_for("space is given back", |directory| {
        directory.join(format!("{KEY}.log")).metadata().unwrap().blocks() * 512 <= 256 << 10
    })
    .await;
}

#[tokio::test]
async fn refused_batches_are_given_up_and_told_of_later() {
    let mut node = Node::open();
    node.logs.follow(KEY, &options()).unwrap();
    let mut output = node.output();
    for _ in 0..2 {
        output.write_all(b"a\nb\n").unwrap();
        let refused = node.next().await;
        refused.answer.send(Verdict::Refused("ResourceNotFoundException".into())).unwrap();
    }
    output.write_all(b"c\n").unwrap();
    let events = node.take(1).await;
    assert!(events[0].starts_with("[4 log events were lost"), "{events:?}");
    assert_eq!(events[1..], ["c"]);
}

#[tokio::test]
async fn several_lines_become_one_event() {
    let mut node = Node::open();
    node.logs.follow(KEY, &Options { pattern: Some(r"^\d{4}".into()), ..options() }).unwrap();
    node.output().write_all(b"2026 error\n  at x\n  at y\n2027 next\n").unwrap();
    assert_eq!(node.take(1).await, ["2026 error\n  at x\n  at y"]);
    // The last one waits for lines that may still come, not for ever.
    assert_eq!(node.take(1).await, ["2027 next"]);
}

#[tokio::test]
async fn a_place_is_asked_for_before_the_container_starts() {
    let mut node = Node::open();
    let options = options();
    let (asked, answered) = tokio::join!(node.logs.check(&options), async {
        let shipment = node.shipments.recv().await.unwrap();
        assert!(shipment.batch.events.is_empty());
        shipment.answer.send(Verdict::Refused("no such group".into())).unwrap();
    });
    assert_eq!(asked.unwrap_err().to_string(), "failed to create Cloudwatch log stream: no such group");
    assert_eq!(answered, ());
    // A link that breaks is no refusal.
    let (asked, ()) = tokio::join!(node.logs.check(&options), async {
        drop(node.shipments.recv().await.unwrap());
    });
    assert!(asked.is_ok());
}
