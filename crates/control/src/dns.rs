//! What the name server answers: made anew of the rows, whole, whenever one of them changes.

use std::sync::{Arc, Weak};

use model::discovery::{Namespace, NamespaceKind};
use model::dns::{Snapshot, Zone};
use store::{Commit, CommitStream, Next, Tables};
use tokio::sync::watch;

use crate::Control;
use crate::serve::front::DNS_SUFFIX;

/// See the module's documentation.
#[derive(Default)]
pub struct Dns {
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
}

impl Dns {
    /// What is to be answered, now and whenever it changes; `None` before anything is known.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshot.subscribe()
    }
}

/// Begins the loop. It ends with the control plane or its state.
pub(crate) fn start(control: &Arc<Control>) {
    tokio::spawn(run(Arc::downgrade(control), control.store.subscribe()));
}

async fn run(control: Weak<Control>, mut commits: CommitStream) {
    loop {
        let Some(control) = control.upgrade() else { return };
        let view = control.store.view();
        control.dns.snapshot.send_replace(Some(Arc::new(snapshot(&view))));
        // Waiting must not keep the control plane alive.
        drop(control);
        if !wait(&mut commits, view.revision()).await {
            return;
        }
    }
}

/// Until a commit after `revision` changes a name; false when the state is closed.
async fn wait(commits: &mut CommitStream, revision: u64) -> bool {
    loop {
        match commits.next().await {
            Next::Commit(commit) if commit.revision <= revision || !is_about_names(&commit) => {}
            Next::Commit(_) | Next::Lagged => return true,
            Next::Closed => return false,
        }
    }
}

fn is_about_names(commit: &Commit) -> bool {
    let changes = &commit.changes;
    !(changes.load_balancers.is_empty()
        && changes.namespaces.is_empty()
        && changes.discovery_services.is_empty()
        && changes.discovery_instances.is_empty())
}

/// Everything that is to be answered. Namespaces of one name in several regions share it: there is one network.
pub fn snapshot(tables: &Tables) -> Snapshot {
    let load_balancers = tables.load_balancers.iter().map(AsRef::as_ref);
    let load_balancers = plan::dns::load_balancers(DNS_SUFFIX.trim_start_matches('.'), load_balancers);
    let namespaces = tables.namespaces.iter().filter_map(|row| namespace(tables, row));
    Snapshot { revision: tables.revision(), zones: [load_balancers].into_iter().chain(namespaces).collect() }
}

/// `None` for one without names.
fn namespace(tables: &Tables, row: &Namespace) -> Option<Zone> {
    let NamespaceKind::DnsPrivate { soa_ttl_seconds, .. } = &row.kind else { return None };
    let services = tables.discovery_services_of(&row.key()).map(|service| {
        let instances = tables.discovery_instances_of(&service.key()).map(AsRef::as_ref);
        (service.as_ref(), instances.collect())
    });
    Some(plan::dns::namespace(&row.name, *soa_ttl_seconds, services))
}
