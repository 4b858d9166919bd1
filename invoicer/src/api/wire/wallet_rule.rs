//! Rules that fill wallets up, and credits as minor units, on the wire.

use crate::ledger::wallet_rules::{Cause, Every, Rule};
use crate::wallets::whole;
use domain::ids::OrganizationId;
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use domain::time::Timestamp;
use http_api::{Checks, ExactDecimal};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Most rules of a wallet.
const MAX_LIMITS: usize = 100;

/// When a rule fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleTrigger {
    /// Each time an interval is over.
    Interval,
    /// As the balance falls to `threshold_credits`.
    Threshold,
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleInterval {
    /// Seven days.
    Weekly,
    /// A month.
    Monthly,
    /// Three months.
    Quarterly,
    /// Twelve months.
    Yearly,
}

/// A rule that fills a wallet up.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct RecurringTransactionRule {
    /// When.
    pub trigger: RuleTrigger,
    /// Of an interval.
    pub interval: Option<RuleInterval>,
    /// Of a threshold: at least 0.
    pub threshold_credits: Option<ExactDecimal>,
    /// Credits that are given.
    pub granted_credits: Option<ExactDecimal>,
    /// Credits that are sold: they come as their invoice is paid.
    pub paid_credits: Option<ExactDecimal>,
    /// Where intervals are counted from; absent: now.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub started_at: Option<Timestamp>,
    /// From when on it does not fill up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expiration_at: Option<Timestamp>,
}

/// Whose rules, and what one credit is there.
pub(super) struct RulesOf<'a> {
    pub(super) organization: OrganizationId,
    pub(super) wallet: Uuid,
    pub(super) rate: &'a Quantity,
    pub(super) now: Timestamp,
}

impl RecurringTransactionRule {
    fn rule(&self, of: &RulesOf<'_>, checks: &mut Checks) -> Option<Rule> {
        let cause = self.cause(of.rate, checks);
        let granted = cents_of(checks, "granted_credits", self.granted_credits.as_ref(), of.rate);
        let paid = cents_of(checks, "paid_credits", self.paid_credits.as_ref(), of.rate);
        if granted.0 == 0 && paid.0 == 0 {
            checks.broken("recurring_transaction_rules", "a rule should grant or sell credits", Value::Null);
        }
        if let Some(at) = self.started_at {
            checks.instant("started_at", at);
        }
        let mut rule = Rule {
            id: Uuid::now_v7(),
            organization: of.organization,
            wallet: of.wallet,
            cause: cause?,
            granted,
            paid,
            anchor: self.started_at.unwrap_or(of.now),
            times: 0,
            next_at: None,
            expires_at: self.expiration_at,
        };
        // Intervals that were over before now are not made up for.
        rule.times = (0..).find(|times| rule.after(*times).is_none_or(|at| at > of.now)).unwrap_or(0);
        rule.next_at = rule.after(rule.times);
        Some(rule)
    }

    fn cause(&self, rate: &Quantity, checks: &mut Checks) -> Option<Cause> {
        let field = "recurring_transaction_rules";
        match (self.trigger, self.interval, &self.threshold_credits) {
            (RuleTrigger::Interval, Some(interval), None) => Some(Cause::Interval(match interval {
                RuleInterval::Weekly => Every::Week,
                RuleInterval::Monthly => Every::Month,
                RuleInterval::Quarterly => Every::Quarter,
                RuleInterval::Yearly => Every::Year,
            })),
            (RuleTrigger::Threshold, None, Some(credits)) => {
                Some(Cause::Threshold(cents_of(checks, "threshold_credits", Some(credits), rate)))
            }
            (RuleTrigger::Interval, ..) => {
                checks.broken(field, "a rule of an interval should name it, and no threshold", Value::Null);
                None
            }
            (RuleTrigger::Threshold, ..) => {
                checks.broken(field, "a rule of a threshold should name it, and no interval", Value::Null);
                None
            }
        }
    }
}

/// Credits as whole minor units, at least 0; nothing sent is 0.
pub(super) fn cents_of(
    checks: &mut Checks,
    field: &'static str,
    credits: Option<&ExactDecimal>,
    rate: &Quantity,
) -> MinorUnits {
    let Some(credits) = credits else { return MinorUnits::ZERO };
    let parsed = Quantity::parse(&credits.to_string()).ok().filter(|number| !number.is_negative());
    let Some(number) = parsed else {
        let msg = "Input should be greater than or equal to 0";
        checks.fault("greater_than_equal", [field.into()], msg, &credits.to_string().into());
        return MinorUnits::ZERO;
    };
    whole(&(&number * rate)).unwrap_or_else(|| {
        let msg = format!("at {rate} minor units a credit this does not come to whole minor units of 64 bits");
        checks.broken(field, msg, credits.to_string());
        MinorUnits::ZERO
    })
}

pub(super) fn rules_of(sent: &[RecurringTransactionRule], of: &RulesOf<'_>, checks: &mut Checks) -> Vec<Rule> {
    if sent.len() > MAX_LIMITS {
        checks.broken("recurring_transaction_rules", format!("should have at most {MAX_LIMITS} rules"), Value::Null);
        return Vec::new();
    }
    sent.iter().filter_map(|rule| rule.rule(of, checks)).collect()
}
