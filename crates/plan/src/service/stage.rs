//! The stages of a BLUE_GREEN, LINEAR or CANARY deployment, as a machine (ecs-semantics §3.13).
//!
//! ```text
//! RECONCILE_SERVICE ▶ PRE_SCALE_UP ▶ SCALE_UP ▶ POST_SCALE_UP ▶ TEST_TRAFFIC_SHIFT ▶ POST_TEST_TRAFFIC_SHIFT
//!   (if needed)           ┌───────────── per step ─────────────────┐
//!                       ▶ PRE_PRODUCTION_TRAFFIC_SHIFT ▶ PRODUCTION_TRAFFIC_SHIFT ▶ POST_PRODUCTION_TRAFFIC_SHIFT
//!                       ▶ BAKE_TIME ▶ CLEAN_UP
//! back:  (SCALE_UP, when CLEAN_UP had begun) ▶ PRODUCTION_TRAFFIC_SHIFT ▶ TEST_TRAFFIC_SHIFT ▶ CLEAN_UP
//! ```
//! A stage first does its own work, then waits for its hooks, then, between the steps, for the bake time of the step.
//! On the way back only the stages come that have something to take back.
//!
//! It moves no tasks and no traffic: it says which stage holds, and what share of the traffic the target is to get.
//!
//! Invariants
//! - The target gets production traffic only when it had all its tasks.
//! - On the way back nothing fails but by time: the first revision gets its traffic again, whatever a hook says.

use std::time::Duration;

use model::Timestamp;
use model::deployment_configuration::{HookAction, HookTarget, LifecycleHook, PerMille};
use model::service_deployment::{HookRun, HookStatus, Progress, ServiceDeployment, Stage, Traffic};

use super::strategy::{self, minutes_long};

/// How long a stage may take that waits neither for a person nor for a bake time.
const STAGE_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a deployment may take.
const DEPLOYMENT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
const HOOK_ID_PREFIX: &str = "ecs-";

/// What the machine is told.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Revisions that are there beside the one that stays.
    pub others: usize,
    /// One of them has served, so that there is traffic to shift.
    pub source_serves: bool,
    /// The revision that the stage brings up has all its tasks, and they are healthy.
    pub is_up: bool,
    pub hooks: &'a [HookResult],
}

/// What came of calling a hook's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookResult {
    /// Of the hook's run.
    pub id: String,
    /// What the target did, in words, when it did not succeed.
    pub outcome: Result<(), String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing more can be done now; perhaps at this time.
    Wait(Option<Timestamp>),
    /// Tasks are to be started or stopped for a stage that has begun.
    Rescale,
    Done,
    /// And why, as the end of a sentence.
    Fail(String),
}

/// A deployment at its beginning, with the id of the source that serves. Its first stage begins with [`begin`].
pub fn first(sources: usize, source: Option<String>, now: Timestamp) -> Progress {
    let stage = if sources > 1 { Stage::ReconcileService } else { Stage::PreScaleUp };
    Progress { stage, since: now, source, traffic: Traffic::default(), steps: 0, hooks: Vec::new(), hooks_begun: 0 }
}

pub(super) fn begin(row: &mut ServiceDeployment, now: Timestamp) {
    if let Some(progress) = &row.progress {
        enter(row, progress.stage, true, now);
    }
}

/// Goes on as far as it can. A row without stages is done at once.
pub fn advance(row: &mut ServiceDeployment, facts: &Facts<'_>, now: Timestamp) -> Move {
    while let Some(stage) = row.progress.as_ref().map(|progress| progress.stage) {
        match pass(row, facts, now) {
            Pass::Over => {}
            Pass::Wait(at) => return Move::Wait(at),
            Pass::Fail(why) => return Move::Fail(why),
        }
        let Some(next) = next(row, stage) else { return Move::Done };
        enter(row, next, facts.source_serves, now);
        if matches!(next, Stage::ScaleUp | Stage::CleanUp) {
            return Move::Rescale;
        }
    }
    Move::Done
}

/// Begins the way back, at the stage where there is something to take back.
pub fn turn_back(row: &mut ServiceDeployment, now: Timestamp) {
    let Some(progress) = &row.progress else { return };
    let stage = match progress.stage {
        Stage::CleanUp => Stage::ScaleUp,
        _ => stage_back(progress.traffic),
    };
    enter(row, stage, true, now);
}

/// Why a hook cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswerable {
    /// The deployment is over.
    Over,
    /// That is no hook's id.
    NoId,
    /// No hook of that id waits for an answer.
    NotWaiting,
}

/// A person's answer to a PAUSE hook: the deployment goes on, or is to be rolled back.
///
/// # Errors
/// When nothing waits for it.
pub fn answer(row: &mut ServiceDeployment, id: &str, go_on: bool, now: Timestamp) -> Result<(), Unanswerable> {
    if !is_hook_id(id) {
        return Err(Unanswerable::NoId);
    }
    if row.is_over() {
        return Err(Unanswerable::Over);
    }
    let mut runs = row.progress.iter_mut().flat_map(|progress| &mut progress.hooks);
    let is_asked =
        |run: &&mut HookRun| run.id == id && run.status == HookStatus::AwaitingAction && now < run.expires_at;
    let run = runs.find(is_asked).ok_or(Unanswerable::NotWaiting)?;
    run.status = if go_on { HookStatus::Succeeded } else { HookStatus::Failed };
    row.updated_at = now;
    Ok(())
}

/// `ecs-{hookType}-{id}`
fn is_hook_id(text: &str) -> bool {
    let rest = text.strip_prefix(HOOK_ID_PREFIX).and_then(|rest| rest.split_once('-'));
    rest.is_some_and(|(kind, id)| matches!(kind, "pause" | "lambda") && !id.is_empty())
}

enum Pass {
    Over,
    Wait(Option<Timestamp>),
    Fail(String),
}

fn pass(row: &mut ServiceDeployment, facts: &Facts<'_>, now: Timestamp) -> Pass {
    let goes_back = row.is_rolling_back();
    let began = row.started_at.unwrap_or(row.created_at);
    if !goes_back && now >= began.plus(DEPLOYMENT_MAX) {
        return Pass::Fail("it took longer than 30 days.".to_owned());
    }
    let Some(progress) = &mut row.progress else { return Pass::Over };
    let (stage, since) = (progress.stage, progress.since);
    let is_done = match stage {
        // What serves takes the place of the other sources when it can: a revision that does not get up holds no
        // newer one up.
        Stage::ReconcileService => facts.others <= 1 || !facts.source_serves || !facts.is_up,
        Stage::ScaleUp => facts.is_up,
        Stage::CleanUp => facts.others == 0,
        _ => true,
    };
    if !is_done {
        return within(stage, since, now);
    }
    if stage == Stage::BakeTime {
        return wait(since.plus(minutes_long(row.configuration.bake_minutes)), now);
    }
    note_results(progress, facts.hooks);
    let hooks = &row.configuration.hooks;
    match wait_for_hooks(progress, hooks, goes_back, now) {
        Pass::Over => {}
        other => return other,
    }
    if stage == Stage::ProductionTrafficShift && !goes_back && progress.traffic.production < PerMille::ALL {
        return wait(since.plus(strategy::step_bake(row.configuration.strategy)), now);
    }
    Pass::Over
}

fn wait(until: Timestamp, now: Timestamp) -> Pass {
    if now >= until { Pass::Over } else { Pass::Wait(Some(until)) }
}

fn within(stage: Stage, since: Timestamp, now: Timestamp) -> Pass {
    match wait(since.plus(STAGE_MAX), now) {
        Pass::Over => Pass::Fail(format!("{} took longer than 24 hours.", stage.as_str())),
        other => other,
    }
}

fn note_results(progress: &mut Progress, results: &[HookResult]) {
    for run in progress.hooks.iter_mut().filter(|run| run.status == HookStatus::InProgress) {
        if let Some(result) = results.iter().find(|result| result.id == run.id) {
            run.status = if result.outcome.is_ok() { HookStatus::Succeeded } else { HookStatus::Failed };
            run.failure = result.outcome.clone().err();
        }
    }
}

fn wait_for_hooks(progress: &mut Progress, hooks: &[LifecycleHook], goes_back: bool, now: Timestamp) -> Pass {
    let stage = progress.stage.as_str();
    let mut expiry: Option<Timestamp> = None;
    for run in &mut progress.hooks {
        let is_waiting = matches!(run.status, HookStatus::AwaitingAction | HookStatus::InProgress);
        if is_waiting && now >= run.expires_at {
            run.status = HookStatus::TimedOut;
        } else if is_waiting {
            expiry = Some(expiry.map_or(run.expires_at, |at| at.min(run.expires_at)));
        }
        let Some(hook) = hooks.get(run.hook).filter(|_| !goes_back) else { continue };
        match (run.status, hook.timeout_action) {
            (HookStatus::Failed, _) => return Pass::Fail(failed(stage, hook, run)),
            (HookStatus::TimedOut, HookAction::Rollback) => return Pass::Fail(timed_out(stage, hook)),
            _ => {}
        }
    }
    expiry.map_or(Pass::Over, |at| Pass::Wait(Some(at)))
}

fn failed(stage: &str, hook: &LifecycleHook, run: &HookRun) -> String {
    match &hook.target {
        HookTarget::Pause => format!("a rollback was asked for at {stage}."),
        HookTarget::Lambda(arn) => {
            let what = run.failure.as_deref().unwrap_or("returned FAILED status");
            format!("{stage} lifecycle hook(s) failed. Lifecycle hook target {arn} {what}.")
        }
    }
}

fn timed_out(stage: &str, hook: &LifecycleHook) -> String {
    match &hook.target {
        HookTarget::Pause => format!("{stage} pause hook timed out."),
        HookTarget::Lambda(arn) => format!("{stage} lifecycle hook(s) failed. Lifecycle hook target {arn} timed out."),
    }
}

fn next(row: &ServiceDeployment, stage: Stage) -> Option<Stage> {
    let progress = row.progress.as_ref()?;
    if row.is_rolling_back() {
        return match stage {
            Stage::CleanUp => None,
            _ => Some(stage_back(progress.traffic)),
        };
    }
    // Beside nothing, nothing is compared and nothing is cleaned up.
    let is_alone = row.sources.is_empty();
    match stage {
        Stage::ReconcileService => Some(Stage::PreScaleUp),
        Stage::PreScaleUp => Some(Stage::ScaleUp),
        Stage::ScaleUp => Some(Stage::PostScaleUp),
        Stage::PostScaleUp => Some(Stage::TestTrafficShift),
        Stage::TestTrafficShift => Some(Stage::PostTestTrafficShift),
        Stage::PostTestTrafficShift => Some(Stage::PreProductionTrafficShift),
        Stage::PreProductionTrafficShift => Some(Stage::ProductionTrafficShift),
        Stage::ProductionTrafficShift if progress.traffic.production < PerMille::ALL => {
            Some(Stage::PreProductionTrafficShift)
        }
        Stage::ProductionTrafficShift => Some(Stage::PostProductionTrafficShift),
        Stage::PostProductionTrafficShift if is_alone => None,
        Stage::PostProductionTrafficShift => Some(Stage::BakeTime),
        Stage::BakeTime => Some(Stage::CleanUp),
        Stage::CleanUp => None,
    }
}

fn stage_back(traffic: Traffic) -> Stage {
    if traffic.production > PerMille::NONE {
        Stage::ProductionTrafficShift
    } else if traffic.test > PerMille::NONE {
        Stage::TestTrafficShift
    } else {
        Stage::CleanUp
    }
}

fn enter(row: &mut ServiceDeployment, stage: Stage, source_serves: bool, now: Timestamp) {
    let goes_back = row.is_rolling_back();
    row.updated_at = now;
    let Some(progress) = &mut row.progress else { return };
    progress.stage = stage;
    progress.since = now;
    match stage {
        Stage::TestTrafficShift => progress.traffic.test = if goes_back { PerMille::NONE } else { PerMille::ALL },
        Stage::ProductionTrafficShift if goes_back => progress.traffic.production = PerMille::NONE,
        // Where there is nothing to shift from, all comes at once.
        Stage::ProductionTrafficShift if !source_serves => progress.traffic.production = PerMille::ALL,
        Stage::ProductionTrafficShift => {
            progress.steps += 1;
            let share = strategy::production(row.configuration.strategy, progress.steps);
            progress.traffic.production = share.unwrap_or(PerMille::ALL);
        }
        _ => {}
    }
    let hooks = row.configuration.hooks.iter().enumerate();
    let hooks = hooks.filter(|(_, hook)| hook.stages.contains(&stage));
    progress.hooks.clear();
    for (index, hook) in hooks {
        progress.hooks_begun += 1;
        let (kind, status) = match hook.target {
            HookTarget::Pause => ("pause", HookStatus::AwaitingAction),
            HookTarget::Lambda(_) => ("lambda", HookStatus::InProgress),
        };
        progress.hooks.push(HookRun {
            id: format!("{HOOK_ID_PREFIX}{kind}-{}-{}", row.id, progress.hooks_begun),
            hook: index,
            status,
            failure: None,
            expires_at: now.plus(minutes_long(hook.timeout_minutes)),
        });
    }
}
