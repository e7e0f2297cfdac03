use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn query() -> ReadQuery {
    ReadQuery {
        start: None,
        end: None,
        after: None,
        before: None,
        from_head: true,
        events_max: 100,
        bytes_max: 1 << 20,
    }
}

fn messages(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.message.as_str()).collect()
}

fn lines(times: &[i64]) -> Vec<(i64, String)> {
    times.iter().map(|time| (*time, format!("at {time}"))).collect()
}

#[test]
fn reads_in_order_within_bounds_from_either_end() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = LogStore::open(directory.path()).unwrap();
        store.append(1, lines(&[10, 20, 30]), Timestamp(100)).await.unwrap();
        store.append(1, lines(&[25, 5]), Timestamp(101)).await.unwrap();
        store.append(2, lines(&[15]), Timestamp(102)).await.unwrap();
        let read = async |query| messages(&store.read(1, query).await.unwrap()).join(",").to_owned();
        assert_eq!(read(query()).await, "at 5,at 10,at 20,at 25,at 30");
        assert_eq!(read(ReadQuery { start: Some(10), end: Some(25), ..query() }).await, "at 10,at 20");
        assert_eq!(read(ReadQuery { events_max: 2, ..query() }).await, "at 5,at 10");
        assert_eq!(read(ReadQuery { events_max: 2, from_head: false, ..query() }).await, "at 25,at 30");
        let page = store.read(1, ReadQuery { events_max: 2, ..query() }).await.unwrap();
        let after = Some(page[1].position);
        assert_eq!(read(ReadQuery { after, ..query() }).await, "at 20,at 25,at 30");
        assert_eq!(read(ReadQuery { before: after, from_head: false, ..query() }).await, "at 5");
        assert_eq!(read(ReadQuery { start: Some(9), end: Some(9), ..query() }).await, "");
        assert_eq!(read(ReadQuery { end: Some(i64::MIN), ..query() }).await, "");
        let summary = store.summary(1);
        assert_eq!((summary.first_event, summary.last_event), (Some(5), Some(30)));
        assert_eq!(summary.last_ingestion, Some(Timestamp(101)));
    });
}

#[test]
fn equal_times_keep_their_order_of_arrival() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = LogStore::open(directory.path()).unwrap();
        for part in ["a", "b", "c"] {
            store.append(7, vec![(1, part.to_owned()), (1, part.to_owned())], Timestamp(0)).await.unwrap();
        }
        assert_eq!(messages(&store.read(7, query()).await.unwrap()), ["a", "a", "b", "b", "c", "c"]);
    });
}

#[test]
fn survives_reopening() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = LogStore::open(directory.path()).unwrap();
        store.append(1, lines(&[-5, 0, 5]), Timestamp(9)).await.unwrap();
        drop(store);
        let store = LogStore::open(directory.path()).unwrap();
        assert_eq!(messages(&store.read(1, query()).await.unwrap()), ["at -5", "at 0", "at 5"]);
        store.append(1, lines(&[5]), Timestamp(10)).await.unwrap();
        assert_eq!(store.summary(1).next_sequence, 4);
    });
}

#[test]
fn trims_and_deletes() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = LogStore::open(directory.path()).unwrap();
        store.append(1, lines(&[1, 2, 3]), Timestamp(0)).await.unwrap();
        store.append(2, lines(&[1]), Timestamp(0)).await.unwrap();
        store.trim(1, 3).await.unwrap();
        assert_eq!(messages(&store.read(1, query()).await.unwrap()), ["at 3"]);
        assert_eq!(store.summary(1).stored_bytes, 4 + 26);
        store.delete(1).await.unwrap();
        assert_eq!(store.read(1, query()).await.unwrap(), []);
        assert_eq!(store.summary(1), StreamSummary::default());
        assert_eq!(messages(&store.read(2, query()).await.unwrap()), ["at 1"]);
    });
}

#[test]
fn filters_over_streams_in_order_of_time_and_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = LogStore::open(directory.path()).unwrap();
        for stream in 1..=3 {
            let events =
                (0..10).map(|n| (n * 10, format!("s{stream} n{n} {}", if n % 2 == 0 { "even" } else { "odd" })));
            store.append(stream, events.collect(), Timestamp(0)).await.unwrap();
        }
        let mut resume = None;
        let mut found = Vec::new();
        loop {
            let page = store
                .filter(FilterQuery {
                    streams: vec![3, 1, 2],
                    start: Some(20),
                    end: None,
                    pattern: Pattern::parse("even").unwrap(),
                    resume,
                    events_max: 2,
                    bytes_max: 1 << 20,
                })
                .await
                .unwrap();
            assert!(page.events.len() <= 2);
            found.extend(page.events);
            resume = page.next;
            if resume.is_none() {
                break;
            }
        }
        let expected: Vec<String> =
            [2, 4, 6, 8].iter().flat_map(|n| (1..=3).map(move |s| format!("s{s} n{n} even"))).collect();
        assert_eq!(messages(&found), expected);
    });
}

#[test]
fn there_are_no_files_before_the_first_line() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("logs");
    runtime().block_on(async {
        let store = LogStore::open(&directory).unwrap();
        assert_eq!(store.read(1, query()).await.unwrap(), []);
        assert_eq!(store.disk_bytes().unwrap(), 0);
        assert!(!directory.exists());
        store.append(1, lines(&[1]), Timestamp(0)).await.unwrap();
        assert_eq!(store.read(1, query()).await.unwrap().len(), 1);
        assert!(directory.exists());
    });
}
