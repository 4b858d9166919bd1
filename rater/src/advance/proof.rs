//! Proof of a fee that is paid in advance: the events of its stretch are taken again in the order in which they were accepted, up to
//! the fee's cut, each with its fingerprint term computed from its columns.

use super::{AdvanceFee, price_all, price_carried};
use crate::proof::{FeeToProve, Figures, Proof, ProofError, Since, usage_event};
use crate::rate::{Rater, in_background};
use crate::rated::RateProblem;
use crate::view::RatingView;
use domain::identity::EventId;
use domain::position::Cut;
use std::sync::Arc;

impl Rater {
    /// Works a fee out again: that of `event`, or of what its stretch began with.
    ///
    /// # Errors
    /// As [`Rater::prove`].
    pub async fn prove_in_advance(
        &self,
        view: &Arc<RatingView>,
        fee: &FeeToProve,
        event: Option<EventId>,
    ) -> Result<Proof, ProofError> {
        let recomputed = self.advance_figures(view, fee, event, &fee.cut).await?;
        let committed = self.store().committed_cut().await?;
        let now = self.advance_figures(view, fee, event, &committed).await?;
        let gone = event.is_some() && recomputed.is_some() && now.is_none();
        let since = Since { late_events: 0, voided_events: u64::from(gone) };
        // An event that is gone is owed nothing.
        let recomputed = recomputed.unwrap_or_default();
        Ok(Proof { billed: fee.billed.clone(), holds: recomputed == fee.billed, recomputed, since })
    }

    async fn advance_figures(
        &self,
        view: &Arc<RatingView>,
        fee: &FeeToProve,
        event: Option<EventId>,
        cut: &Cut,
    ) -> Result<Option<Figures>, ProofError> {
        let after = Cut::default();
        let items = vec![fee.item.clone()];
        let (planned, events) = self.advance_events(view, items, &after, cut, |member| usage_event(&member)).await?;
        let priced = match event {
            Some(_) => in_background(move || price_all(&planned, events)).await?,
            None => in_background(move || price_carried(&planned, events)).await?,
        };
        let fees = priced.into_iter().map(|item| item.fees).collect::<Result<Vec<_>, RateProblem>>()?;
        let same = |one: &AdvanceFee| {
            one.charge.id == fee.charge && one.line.key() == fee.line_key && one.of.map(|of| of.id) == event
        };
        Ok(fees.into_iter().flatten().find(same).map(|one| Figures {
            events_count: u64::from(one.of.is_some()),
            fingerprint: one.of.map_or(0, |of| of.fingerprint),
            units: one.units,
            amount_cents: one.amount_cents,
        }))
    }
}
