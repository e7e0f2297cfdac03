//! The one that writes listener rules for services: how a rule shares requests out is `plan::service::shift`'s to say.

use model::edge::{Action, Forward};
use model::load_balancer::{Listener, Rule};
use plan::service::shift::Shift;

use crate::Cx;
use crate::elbv2::identifier::{self, FoundRule};

/// Answers whether the rule is there. What else it says stays: its conditions, how long clients stay with a group.
pub(super) fn apply(cx: &mut Cx<'_>, shift: &Shift) -> bool {
    match identifier::rule(cx.txn, cx.scope(), &shift.rule) {
        Ok(FoundRule::Made(rule)) => {
            let action = forward(&rule.action, shift);
            cx.txn.put(Rule { action, ..Rule::clone(&rule) });
        }
        Ok(FoundRule::Default(listener)) => {
            let action = forward(&listener.action, shift);
            cx.txn.put(Listener { action, ..Listener::clone(&listener) });
        }
        Err(_) => return false,
    }
    true
}

fn forward(present: &Action, shift: &Shift) -> Action {
    let stickiness_seconds = match present {
        Action::Forward(forward) => forward.stickiness_seconds,
        Action::Redirect(_) | Action::FixedResponse { .. } => None,
    };
    let groups = shift.groups.iter().map(|(group, weight)| (group.clone(), *weight)).collect();
    Action::Forward(Forward { groups, stickiness_seconds })
}
