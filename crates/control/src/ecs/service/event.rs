//! What services say: each keeps its newest events.

use model::service_event::EVENTS_MAX;
use model::{Service, ServiceEvent};
use plan::service::event::Event;

use crate::Cx;
use crate::ecs::task::run::random_uuid;

/// Adds an event, and lets the oldest go.
pub(crate) fn tell(cx: &mut Cx<'_>, service: &mut Service, event: Event) {
    let number = service.next_event;
    service.next_event += 1;
    let (scope, cluster, name) = service.key();
    if let Some(old) = number.checked_sub(EVENTS_MAX) {
        cx.txn.remove::<ServiceEvent>(&(scope.clone(), cluster.clone(), name.clone(), old));
    }
    let id = random_uuid(cx.random);
    let Event { message, action } = event;
    cx.txn.put(ServiceEvent { scope, cluster, service: name, number, id, message, action, created_at: cx.now });
}
