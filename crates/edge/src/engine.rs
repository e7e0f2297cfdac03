//! Load balancers and the name server of a machine, as one feeder after the other runs them over a
//! [link](crate::link).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc};

use crate::dns::Dns;
use crate::link::{Begin, Ear, LinkError, Mouth, Order, Report, Stream, ends};
use crate::{Edge, Error};

/// Reports on their way out beside those on health. The feeder waits for each before it gives cause for the next.
const REPORT_QUEUE: usize = 8;

/// Between two looks at what is counted; nobody waits for it.
const COUNT_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("{0}")]
    Link(#[from] LinkError),
    #[error("{0}")]
    Edge(#[from] Error),
    #[error("the name server could not be started: {0}")]
    Names(std::io::Error),
    #[error("the feeder did not begin as it has to")]
    NotBegun,
}

/// The feeder would have it end. Its link is kept until that is so, for its end is how the feeder hears of it.
pub struct Over<S> {
    pub why: Why,
    pub link: (Mouth<S>, Ear<S>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It was told to end.
    Ended,
    /// It is set up otherwise than this feeder needs it.
    SetUpOtherwise,
}

/// Not begun until the first feeder says how.
#[derive(Debug, Default)]
pub struct Engine {
    running: OnceLock<Running>,
    dns: OnceCell<Dns>,
}

#[derive(Debug)]
struct Running {
    begin: Begin,
    edge: Arc<Edge>,
}

impl Engine {
    /// The load balancers, once they are begun.
    pub fn edge(&self) -> Option<&Arc<Edge>> {
        self.running.get().map(|running| &running.edge)
    }

    /// Does what the feeder at the other end of `stream` orders, until it is over or the link breaks. For one feeder at a
    /// time.
    ///
    /// # Errors
    /// When the link breaks or the feeder says what it must not, or when nothing can be started.
    pub async fn obey<S: Stream>(&self, stream: S) -> Result<Over<S>, EngineError> {
        let (mut mouth, mut ear) = ends(stream);
        let Order::Begin(begin) = ear.hear().await? else { return Err(EngineError::NotBegun) };
        if self.running.get().is_some_and(|running| running.begin != *begin) {
            mouth.say(&Report::Refused).await?;
            return Ok(Over { why: Why::SetUpOtherwise, link: (mouth, ear) });
        }
        let edge = self.begin(*begin)?;
        mouth.say(&Report::Begun).await?;
        edge.repeat_health();
        let (reports, queue) = mpsc::channel(REPORT_QUEUE);
        tokio::select! {
            ended = self.serve(&edge, &mut ear, reports) => ended?,
            error = tell(&edge, &mut mouth, queue) => return Err(error.into()),
        }
        Ok(Over { why: Why::Ended, link: (mouth, ear) })
    }

    fn begin(&self, begin: Begin) -> Result<Arc<Edge>, Error> {
        if let Some(running) = self.running.get() {
            return Ok(running.edge.clone());
        }
        let edge = Arc::new(Edge::start(&begin.traffic)?);
        let running = self.running.get_or_init(|| Running { begin, edge });
        Ok(running.edge.clone())
    }

    /// Until it is told to end.
    async fn serve(
        &self,
        edge: &Edge,
        ear: &mut Ear<impl Stream>,
        reports: mpsc::Sender<Report>,
    ) -> Result<(), EngineError> {
        loop {
            match ear.hear().await? {
                Order::Begin(_) => return Err(EngineError::NotBegun),
                Order::End => return Ok(()),
                Order::Traffic(snapshot) => {
                    edge.apply(*snapshot).await?;
                    // Without a receiver the link is broken, which the other half tells.
                    let _ = reports.send(Report::Serving).await;
                }
                Order::Names(snapshot) => self.answer(&snapshot, &reports).await?,
            }
        }
    }

    /// Answers names by this from now on.
    async fn answer(&self, snapshot: &model::dns::Snapshot, reports: &mpsc::Sender<Report>) -> Result<(), EngineError> {
        let Some(config) = self.running.get().and_then(|running| running.begin.names.clone()) else { return Ok(()) };
        let start = async || Dns::start(config.clone(), snapshot);
        let dns = self.dns.get_or_try_init(start).await.map_err(EngineError::Names)?;
        dns.apply(snapshot);
        let (mut bound, reports) = (dns.bound(), reports.clone());
        tokio::spawn(async move {
            let all = bound.wait_for(|bound| bound.len() == config.listen.len());
            if all.await.is_ok() {
                let _ = reports.send(Report::Answering).await;
            }
        });
        Ok(())
    }

    /// Listens on nothing any more once it returns, neither for clients nor for questions.
    pub async fn close(&mut self) {
        self.dns.take();
        if let Some(edge) = self.edge_alone() {
            edge.close().await;
        }
    }

    /// Lets the connections that there are end, for a while.
    pub async fn shutdown(mut self) {
        self.close().await;
        if let Some(edge) = self.running.into_inner().and_then(|running| Arc::into_inner(running.edge)) {
            edge.shutdown().await;
        }
    }

    /// When no feeder has it any more.
    fn edge_alone(&mut self) -> Option<&mut Edge> {
        Arc::get_mut(&mut self.running.get_mut()?.edge)
    }
}

/// Returns when the link breaks only.
async fn tell(edge: &Edge, mouth: &mut Mouth<impl Stream>, mut queue: mpsc::Receiver<Report>) -> LinkError {
    let mut pause = tokio::time::interval(COUNT_PAUSE);
    let mut counted = Vec::new();
    loop {
        let report = tokio::select! {
            Some(report) = queue.recv() => report,
            changes = edge.health_changes() => Report::Health(changes),
            _ = pause.tick() => {
                let counts = edge.mesh_counts();
                if counts == counted {
                    continue;
                }
                counted.clone_from(&counts);
                Report::Counts(counts)
            }
        };
        if let Err(error) = mouth.say(&report).await {
            return error;
        }
    }
}
