//! What becomes a habit of an agent, and what is unusual, as configured.

use serde::Deserialize;

use super::Span;
use super::parsed::{ConfigError, wrong};
use crate::model::BaselineRule;

/// False alarms in a week that may be asked for: with more of them nobody would look any more.
const MOST_ALARMS: f64 = 100.0;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BaselineFile {
    tasks: Option<u32>,
    days: Option<u32>,
    hold: Option<Span>,
    window: Option<Span>,
    enough: Option<u32>,
    alarms_per_week: Option<f64>,
}

impl BaselineFile {
    pub(super) fn parse(self, key: &str) -> Result<BaselineRule, ConfigError> {
        let usual = BaselineRule::default();
        if self.tasks == Some(0) || self.days == Some(0) || self.enough == Some(0) {
            return Err(wrong(key, "`tasks`, `days` and `enough` are 1 or more: what was never done is no habit"));
        }
        let rule = BaselineRule {
            tasks: self.tasks.unwrap_or(usual.tasks),
            days: self.days.unwrap_or(usual.days),
            hold: self.hold.map_or(usual.hold, |hold| hold.0),
            window: self.window.map_or(usual.window, |window| window.0),
            enough: self.enough.unwrap_or(usual.enough),
            budget: match self.alarms_per_week {
                None => usual.budget,
                Some(alarms) => budget(alarms)
                    .ok_or_else(|| wrong(key, format!("`alarms_per_week` is more than 0 and at most {MOST_ALARMS}")))?,
            },
        };
        if rule.window <= rule.hold {
            return Err(wrong(key, "`window` is longer than `hold`, or nothing would ever be learned"));
        }
        Ok(rule)
    }
}

/// In a thousand weeks.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
fn budget(alarms: f64) -> Option<u32> {
    (alarms > 0.0 && alarms <= MOST_ALARMS).then(|| ((alarms * 1_000.0).round() as u32).max(1))
}
