//! Service revisions: what a deployment brings into a service, as it was when it began (ecs-semantics §3.13).
//!
//! Invariant: a revision never changes, but for digests that become known, each once.

use serde::{Deserialize, Serialize};

use crate::capacity_provider::Capacity;
use crate::service::ServiceNetwork;
use crate::{Scope, ServiceConnect, ServiceLoadBalancer, ServiceRegistry, Task, TaskDefinition, Timestamp};

/// Scope, cluster, service, id.
pub type ServiceRevisionKey = (Scope, String, String, String);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceRevision {
    pub scope: Scope,
    pub cluster: String,
    pub service: String,
    /// 19 digits.
    pub id: String,
    pub family: String,
    pub revision: u32,
    pub capacity: Capacity,
    pub platform_version: Option<String>,
    pub network: Option<ServiceNetwork>,
    #[serde(default)]
    pub load_balancers: Vec<ServiceLoadBalancer>,
    #[serde(default)]
    pub registries: Vec<ServiceRegistry>,
    #[serde(default)]
    pub connect: Option<ServiceConnect>,
    pub images: Vec<RevisionImage>,
    pub created_at: Timestamp,
}

/// The image of one container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionImage {
    pub container: String,
    /// As the definition names it.
    pub image: String,
    /// `sha256:…`, once a task of the revision has it.
    pub digest: Option<String>,
    /// Later tasks run exactly the digest, wherever the tag has gone (`versionConsistency`).
    pub is_pinned: bool,
}

impl RevisionImage {
    fn is_wanted(&self) -> bool {
        self.is_pinned && self.digest.is_none()
    }
}

/// The images of a definition's containers. What names its digest itself needs none.
pub fn images_of(definition: &TaskDefinition) -> Vec<RevisionImage> {
    let images = definition.containers.iter().map(|container| {
        let digest = container.image.split_once('@').map(|(_, digest)| digest.to_owned());
        let is_consistent = container.version_consistency.as_deref() != Some("disabled");
        RevisionImage {
            container: container.name.clone(),
            image: container.image.clone(),
            is_pinned: digest.is_none() && is_consistent,
            digest,
        }
    });
    images.collect()
}

/// How an image is named that is to have exactly this digest. The tag stays, so that a node which has the image by its
/// tag finds it.
pub fn pinned(image: &str, digest: &str) -> String {
    let (name, _) = image.split_once('@').unwrap_or((image, ""));
    format!("{name}@{digest}")
}

impl ServiceRevision {
    pub fn key(&self) -> ServiceRevisionKey {
        (self.scope.clone(), self.cluster.clone(), self.service.clone(), self.id.clone())
    }

    /// Whether a task could tell a digest.
    pub fn wants_digests(&self) -> bool {
        self.images.iter().any(RevisionImage::is_wanted)
    }

    /// Takes over the digests that a task of the revision has. Answers whether there were any.
    pub fn learn(&mut self, task: &Task) -> bool {
        let mut has_learnt = false;
        for image in self.images.iter_mut().filter(|image| image.is_wanted()) {
            let container = task.containers.iter().find(|container| container.name == image.container);
            image.digest = container.and_then(|container| container.image_digest.clone());
            has_learnt |= image.digest.is_some();
        }
        has_learnt
    }

    /// The digest that a container's task is to run.
    pub fn pin_of(&self, container: &str) -> Option<&str> {
        let image = self.images.iter().find(|image| image.is_pinned && image.container == container)?;
        image.digest.as_deref()
    }
}
