//! The connection to containerd: one HTTP/2 channel over its unix socket, made when first used and made again after it
//! broke. Each call names its namespace and ends within its limit.
//!
//! Knows nothing of images or containers; it carries their calls.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};

use super::api::containerd::services::containers::v1::containers_client::ContainersClient;
use super::api::containerd::services::content::v1::content_client::ContentClient;
use super::api::containerd::services::diff::v1::diff_client::DiffClient;
use super::api::containerd::services::events::v1::events_client::EventsClient;
use super::api::containerd::services::images::v1::images_client::ImagesClient;
use super::api::containerd::services::leases::v1::leases_client::LeasesClient;
use super::api::containerd::services::snapshots::v1::snapshots_client::SnapshotsClient;
use super::api::containerd::services::tasks::v1::tasks_client::TasksClient;
use super::api::containerd::services::version::v1::version_client::VersionClient;

/// Calls that touch containerd's own database only.
pub const RECORD_LIMIT: Duration = Duration::from_secs(20);
/// Calls that make the shim or runc do something. ecs-semantics §5.7 gives an agent 3 to 4 minutes.
pub const PROCESS_LIMIT: Duration = Duration::from_secs(180);
/// Unpacking of one layer.
pub const UNPACK_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Time to reach the socket.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// containerd refuses messages above 16 MiB; its answers to `List` may be as long.
const MESSAGE_LIMIT: usize = 16 << 20;
const WINDOW: u32 = 4 << 20;

/// What went wrong in a call to containerd.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    #[error("{call}: {}", .status.message())]
    Refused { call: &'static str, status: Box<Status> },
    #[error("containerd at {address} cannot be reached: {reason}")]
    Unreachable { address: String, reason: String },
    #[error("{call}: no answer from containerd within {} s", .limit.as_secs())]
    Late { call: &'static str, limit: Duration },
    /// What containerd has, or was given, is not what it should be.
    #[error("{0}")]
    Invalid(String),
    #[error("{what}: {reason}")]
    Io { what: String, reason: String },
}

impl Failure {
    pub fn io(what: impl std::fmt::Display, error: std::io::Error) -> Self {
        Self::Io { what: what.to_string(), reason: error.to_string() }
    }

    fn code(&self) -> Option<Code> {
        match self {
            Self::Refused { status, .. } => Some(status.code()),
            _ => None,
        }
    }

    pub fn is_not_found(&self) -> bool {
        self.code() == Some(Code::NotFound)
    }

    pub fn is_already_there(&self) -> bool {
        self.code() == Some(Code::AlreadyExists)
    }

    pub fn is_failed_precondition(&self) -> bool {
        self.code() == Some(Code::FailedPrecondition)
    }

    pub fn is_invalid_argument(&self) -> bool {
        self.code() == Some(Code::InvalidArgument)
    }
}

pub type Result<T> = std::result::Result<T, Failure>;

/// Puts the namespace, and the lease when there is one, on each request.
#[derive(Clone, Debug)]
pub struct Headers {
    namespace: MetadataValue<Ascii>,
    lease: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Headers {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request.metadata_mut().insert("containerd-namespace", self.namespace.clone());
        if let Some(lease) = &self.lease {
            request.metadata_mut().insert("containerd-lease", lease.clone());
        }
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Headers>;

/// Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    headers: Headers,
    namespace: String,
    address: PathBuf,
}

impl Client {
    /// Does not connect yet: the first call does.
    ///
    /// # Panics
    /// When `namespace` is no header value: namespaces are constants of ours.
    pub fn new(address: &Path, namespace: &str) -> Self {
        let path = address.to_owned();
        let connector = tower::service_fn(move |_: http::Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        let channel = Endpoint::from_static("http://containerd")
            .connect_timeout(CONNECT_LIMIT)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .connect_with_connector_lazy(connector);
        let headers = Headers { namespace: namespace.parse().expect("a plain namespace name"), lease: None };
        Self { channel, headers, namespace: namespace.to_owned(), address: address.to_owned() }
    }

    /// The same connection; what is made through it is kept from containerd's garbage collection by the lease.
    pub fn with_lease(&self, lease: &str) -> Self {
        let lease = lease.parse().expect("leases have names of ours");
        Self { headers: Headers { lease: Some(lease), ..self.headers.clone() }, ..self.clone() }
    }

    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    pub fn address(&self) -> &Path {
        &self.address
    }

    /// Awaits a call, at most for `limit`.
    pub async fn call<T>(
        &self,
        call: &'static str,
        limit: Duration,
        answer: impl Future<Output = std::result::Result<Response<T>, Status>>,
    ) -> Result<T> {
        let begun = Instant::now();
        let answer = tokio::time::timeout(limit, answer).await;
        tracing::trace!(call, elapsed = ?begun.elapsed());
        match answer {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.failure(call, status)),
            Err(_) => Err(Failure::Late { call, limit }),
        }
    }

    /// A broken connection has no answer of containerd in it, but looks like one.
    pub fn failure(&self, call: &'static str, status: Status) -> Failure {
        let source = std::error::Error::source(&status);
        let is_broken = source.is_some_and(|source| source.is::<tonic::transport::Error>());
        if status.code() != Code::Unavailable && !is_broken {
            return Failure::Refused { call, status: Box::new(status) };
        }
        Failure::Unreachable { address: self.address.display().to_string(), reason: crate::describe(&status) }
    }

    fn service(&self) -> Service {
        InterceptedService::new(self.channel.clone(), self.headers.clone())
    }

    pub fn containers(&self) -> ContainersClient<Service> {
        ContainersClient::new(self.service()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub fn content(&self) -> ContentClient<Service> {
        ContentClient::new(self.service()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub fn diff(&self) -> DiffClient<Service> {
        DiffClient::new(self.service())
    }

    pub fn events(&self) -> EventsClient<Service> {
        EventsClient::new(self.service())
    }

    pub fn images(&self) -> ImagesClient<Service> {
        ImagesClient::new(self.service()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub fn leases(&self) -> LeasesClient<Service> {
        LeasesClient::new(self.service())
    }

    pub fn snapshots(&self) -> SnapshotsClient<Service> {
        SnapshotsClient::new(self.service()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub fn tasks(&self) -> TasksClient<Service> {
        TasksClient::new(self.service()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub fn version(&self) -> VersionClient<Service> {
        VersionClient::new(self.service())
    }
}
