//! Rules of listeners: Create, Describe, Modify, Delete, and their priorities. The default rule is its listener's
//! default action: it is shown among the rules, and changed with the listener.

use std::sync::Arc;

use model::edge::ListenerProtocol;
use model::load_balancer::{Listener, Rule};
use store::Tables;
use wire::elbv2::{
    self, CreateRuleInput, CreateRuleOutput, DeleteRuleInput, DeleteRuleOutput, DescribeRulesInput,
    DescribeRulesOutput, Error, ModifyRuleInput, ModifyRuleOutput, SetRulePrioritiesInput, SetRulePrioritiesOutput,
};

use super::identifier::{self, FoundRule};
use super::listener::{check_association, check_protocols};
use super::{convert, invalid, new_id, tag, unbuilt};
use crate::{Cx, page};

/// Of one load balancer, default rules apart, as AWS has it.
pub(super) const RULES_MAX: usize = 100;
const PRIORITY_MAX: i32 = 50_000;

pub fn create_rule(cx: &mut Cx<'_>, request: CreateRuleInput) -> Result<CreateRuleOutput, Error> {
    if request.transforms.is_some_and(|transforms| !transforms.is_empty()) {
        return Err(unbuilt("Transforms are"));
    }
    let listener = identifier::listener(cx.txn, cx.scope(), &request.listener_arn)?;
    if !listener.protocol.is_http() {
        return Err(Error::operation_not_permitted("Rules are unsupported for Network Load Balancer listeners"));
    }
    let priority = priority(request.priority)?;
    check_priority(cx.txn, &listener, priority, None)?;
    let load_balancer = (listener.scope.clone(), listener.load_balancer.clone());
    let count: usize = cx.txn.listeners_of(&load_balancer).map(|row| cx.txn.rules_of(&row.key()).count()).sum();
    if count >= RULES_MAX {
        return Err(Error::too_many_rules(format!("A load balancer can have at most {RULES_MAX} rules")));
    }
    let action = convert::action(cx.txn, cx.scope(), request.actions)?;
    check_association(cx.txn, cx.scope(), &load_balancer, &action)?;
    check_protocols(cx.txn, cx.scope(), listener.protocol, &action)?;
    let row = Rule {
        scope: listener.scope.clone(),
        load_balancer: listener.load_balancer.clone(),
        load_balancer_id: listener.load_balancer_id.clone(),
        listener: listener.id.clone(),
        id: new_id(cx),
        priority,
        conditions: convert::conditions(request.conditions)?,
        action,
        tags: tag::from_wire(request.tags)?,
    };
    cx.txn.put(row.clone());
    Ok(CreateRuleOutput { rules: Some(vec![show(&row)]) })
}

fn priority(given: i32) -> Result<u32, Error> {
    if !(1..=PRIORITY_MAX).contains(&given) {
        return Err(invalid(format!("Priority must be between 1 and {PRIORITY_MAX}")));
    }
    Ok(given.unsigned_abs())
}

fn check_priority(tables: &Tables, listener: &Listener, priority: u32, own: Option<&Rule>) -> Result<(), Error> {
    let mut others = tables.rules_of(&listener.key()).filter(|other| own.is_none_or(|own| own.id != other.id));
    if others.any(|other| other.priority == priority) {
        return Err(Error::priority_in_use(format!("Priority '{priority}' is currently in use")));
    }
    Ok(())
}

fn made(cx: &Cx<'_>, arn: &str) -> Result<Rule, Error> {
    match identifier::rule(cx.txn, cx.scope(), arn)? {
        FoundRule::Made(rule) => Ok(Rule::clone(&rule)),
        FoundRule::Default(_) => Err(Error::operation_not_permitted(format!("Default rule '{arn}' cannot be changed"))),
    }
}

pub fn modify_rule(cx: &mut Cx<'_>, request: ModifyRuleInput) -> Result<ModifyRuleOutput, Error> {
    if request.transforms.is_some_and(|transforms| !transforms.is_empty()) {
        return Err(unbuilt("Transforms are"));
    }
    let mut row = made(cx, &request.rule_arn)?;
    if let Some(conditions) = request.conditions {
        row.conditions = convert::conditions(conditions)?;
    }
    if let Some(actions) = request.actions {
        row.action = convert::action(cx.txn, cx.scope(), actions)?;
        check_association(cx.txn, cx.scope(), &(row.scope.clone(), row.load_balancer.clone()), &row.action)?;
        // Only listeners that take HTTP have rules.
        check_protocols(cx.txn, cx.scope(), ListenerProtocol::Http, &row.action)?;
    }
    cx.txn.put(row.clone());
    Ok(ModifyRuleOutput { rules: Some(vec![show(&row)]) })
}

/// SetRulePriorities: all of them at once, so that two rules can change places.
pub fn set_rule_priorities(cx: &mut Cx<'_>, request: SetRulePrioritiesInput) -> Result<SetRulePrioritiesOutput, Error> {
    let mut changed = Vec::new();
    for pair in request.rule_priorities {
        let mut row = made(cx, &pair.rule_arn.unwrap_or_default())?;
        row.priority = priority(pair.priority.unwrap_or_default())?;
        cx.txn.put(row.clone());
        changed.push(row);
    }
    for row in &changed {
        let key = (row.scope.clone(), row.load_balancer.clone(), row.listener.clone());
        let listener = cx.txn.listeners.get(&key).cloned().expect("a rule has its listener");
        check_priority(cx.txn, &listener, row.priority, Some(row))?;
    }
    Ok(SetRulePrioritiesOutput { rules: Some(changed.iter().map(show).collect()) })
}

pub fn delete_rule(cx: &mut Cx<'_>, request: DeleteRuleInput) -> Result<DeleteRuleOutput, Error> {
    let row = made(cx, &request.rule_arn)?;
    cx.txn.remove::<Rule>(&row.key());
    Ok(DeleteRuleOutput::default())
}

/// DescribeRules: those that are named, or a listener's by priority, the default one last.
pub fn describe_rules(cx: &mut Cx<'_>, request: DescribeRulesInput) -> Result<DescribeRulesOutput, Error> {
    let arns = request.rule_arns.unwrap_or_default();
    if !arns.is_empty() {
        let mut shown = Vec::new();
        for arn in &arns {
            shown.push(match identifier::rule(cx.txn, cx.scope(), arn)? {
                FoundRule::Made(rule) => show(&rule),
                FoundRule::Default(listener) => show_default(&listener),
            });
        }
        return Ok(DescribeRulesOutput { rules: Some(shown), next_marker: None });
    }
    let Some(arn) = request.listener_arn else {
        return Err(invalid("You must specify either listener rule ARNs or a listener ARN"));
    };
    let listener = identifier::listener(cx.txn, cx.scope(), &arn)?;
    let (limit, after) = identifier::page(request.page_size, request.marker.as_deref())?;
    let made = in_order(cx.txn, &listener).into_iter().map(|rule| (sort_key(rule.priority), show(&rule)));
    let all = made.chain([(sort_key(u32::MAX), show_default(&listener))]);
    let rest = all.filter(|(key, _)| after.as_ref().is_none_or(|after| key > after));
    let (rows, next_marker) = page::cut(rest, limit, |(key, _)| key.clone());
    Ok(DescribeRulesOutput { rules: Some(rows.into_iter().map(|(_, rule)| rule).collect()), next_marker })
}

/// A listener's rules, the lowest priority number first.
pub(crate) fn in_order(tables: &Tables, listener: &Listener) -> Vec<Arc<Rule>> {
    let mut rules: Vec<Arc<Rule>> = tables.rules_of(&listener.key()).cloned().collect();
    rules.sort_by_key(|rule| rule.priority);
    rules
}

fn sort_key(priority: u32) -> String {
    format!("{priority:010}")
}

fn show(row: &Rule) -> elbv2::Rule {
    elbv2::Rule {
        rule_arn: Some(row.arn().to_string()),
        priority: Some(row.priority.to_string()),
        conditions: Some(row.conditions.iter().map(convert::condition_to_wire).collect()),
        actions: Some(vec![convert::action_to_wire(&row.action)]),
        is_default: Some(false),
        transforms: Some(Vec::new()),
    }
}

fn show_default(listener: &Listener) -> elbv2::Rule {
    elbv2::Rule {
        rule_arn: Some(listener.default_rule_arn().to_string()),
        priority: Some("default".to_owned()),
        conditions: Some(Vec::new()),
        actions: Some(vec![convert::action_to_wire(&listener.action)]),
        is_default: Some(true),
        transforms: Some(Vec::new()),
    }
}
