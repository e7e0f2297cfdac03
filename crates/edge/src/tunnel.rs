//! A connection that has changed its protocol: bytes both ways, until either end closes, nothing happens for the idle
//! time-out, or the target is cut off.

use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::activity::Activity;
use crate::body::Lease;
use crate::observed::Observed;

pub async fn run(client: OnUpgrade, server: OnUpgrade, lease: Lease, activity: Arc<Activity>, idle_limit: Duration) {
    let copy = async {
        let (client, server) = tokio::try_join!(client, server)?;
        let mut client = Observed::new(TokioIo::new(client), activity.clone());
        let mut server = TokioIo::new(server);
        // An error is one end's way of closing.
        let _ = copy_bidirectional(&mut client, &mut server).await;
        Ok::<_, hyper::Error>(())
    };
    tokio::select! {
        _ = copy => {}
        () = activity.idled(idle_limit) => {}
    }
    drop(lease);
}
