//! Results of the onboarding steps.

use shared::clock::SignedDuration;
use shared::domain::lifecycle::onboarding::Step;
use shared::provider::meta::graph::CallFailure;
use shared::provider::meta::signup_errors::{self, Again};

/// Result of a step.
#[derive(Debug)]
pub(crate) enum Ended {
    Done,
    /// The step was not needed.
    Skipped(&'static str),
    /// The step is retried automatically after `wait`.
    Later {
        code: Option<i64>,
        cause: &'static str,
        wait: SignedDuration,
    },
    /// Another process here must finish first. Does not count as an attempt.
    Wait {
        cause: &'static str,
        wait: SignedDuration,
    },
    /// A person must act.
    Failed {
        code: Option<i64>,
        cause: &'static str,
        action: &'static str,
    },
}

/// Maps an error from Meta to the result of the step.
pub(crate) fn ended(step: Step, outcome: &CallFailure) -> Ended {
    let error = outcome.error();
    let rule = signup_errors::meaning(step, error);
    let code = error.is_the_providers().then_some(error.code);
    match rule.again {
        Again::After(wait) => Ended::Later { code, cause: rule.cause, wait },
        Again::Never => Ended::Failed { code, cause: rule.cause, action: rule.action },
    }
}

pub(crate) fn failed(cause: &'static str, action: &'static str) -> Ended {
    Ended::Failed { code: None, cause, action }
}

/// Continuation after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next step can run.
    Step,
    /// The job is finished; a person or a later event begins another.
    Stop,
    /// The job continues after this delay.
    Again(SignedDuration),
}
