//! What one insert will hold. Events stay where they came in; [`super::encode`] puts them in order.

use super::plans::Plans;
use super::row::{EventKey, EventRef, Source};
use crate::direct::DuplicateKind;
use crate::extract::ExtractionPlan;
use crate::native::{DeadLetterRow, VoidRow};
use crate::reads::RejectionReason;
use domain::ids::OrganizationId;
use domain::position::Position;
use std::collections::HashMap;
use std::sync::Arc;

/// Metrics that are compared with one after the other before any is looked up by hash: four comparisons cost less than one hash.
const LOOKED_THROUGH: usize = 8;

/// One new event: where it lies, and where it stands in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRow {
    pub(crate) source: u32,
    pub(crate) row: u32,
    /// Place in `Rows::metrics`.
    pub(crate) metric: u32,
    pub(crate) position: Position,
}

/// One copy that is listed: where it lies, where it stands in the log, and why it lost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoserRow {
    pub(crate) source: u32,
    pub(crate) row: u32,
    pub(crate) position: Position,
    pub(crate) reason: RejectionReason,
}

/// One (organization, code), with what is to be extracted from its events.
pub(crate) struct MetricOfRows {
    pub(crate) organization: OrganizationId,
    pub(crate) code: String,
    pub(crate) plan: Arc<ExtractionPlan>,
}

/// Rows of all tables that are inserted together.
pub(crate) struct Rows {
    sources: Vec<Source>,
    pub(crate) events: Vec<NewRow>,
    pub(crate) metrics: Vec<MetricOfRows>,
    pub(crate) losers: Vec<LoserRow>,
    pub(crate) voids: Vec<VoidRow>,
    pub(crate) dead_letters: Vec<DeadLetterRow>,
    /// By organization, then code.
    places: HashMap<OrganizationId, HashMap<String, u32>>,
    bytes: usize,
}

impl Rows {
    pub(crate) fn new() -> Self {
        Self {
            sources: Vec::new(),
            events: Vec::new(),
            metrics: Vec::new(),
            losers: Vec::new(),
            voids: Vec::new(),
            dead_letters: Vec::new(),
            places: HashMap::new(),
            bytes: 0,
        }
    }

    /// Rows of all tables.
    pub(crate) fn len(&self) -> usize {
        self.events.len() + self.losers.len() + self.voids.len() + self.dead_letters.len()
    }

    /// Bytes of the sources.
    pub(crate) fn byte_size(&self) -> usize {
        self.bytes
    }

    /// The event of a new row.
    pub(crate) fn event(&self, new: &NewRow) -> EventRef<'_> {
        self.sources[new.source as usize].row(new.row as usize)
    }

    /// Has the keys of some rows near by the time they are asked for. Rows are inserted in the order of the tables, which is none
    /// to the records they came in: each would wait for its cache lines one after the other. Touched in a loop that does
    /// nothing else, many are on their way at once.
    pub(crate) fn fetch_keys<'a>(&self, coming: impl Iterator<Item = &'a NewRow>) {
        let touched = coming.map(|new| self.sources[new.source as usize].touch_row(new.row as usize));
        std::hint::black_box(touched.fold(0, u32::wrapping_add));
    }

    /// The same of their texts; keys first, which say where the texts are.
    pub(crate) fn fetch_texts<'a>(&self, coming: impl Iterator<Item = &'a NewRow>) {
        let touched = coming.map(|new| self.sources[new.source as usize].touch_texts(new.row as usize));
        std::hint::black_box(touched.fold(0, u32::wrapping_add));
    }

    /// The key of a new row.
    pub(crate) fn key(&self, new: &NewRow) -> EventKey {
        self.sources[new.source as usize].key(new.row as usize)
    }

    /// The event of a copy.
    pub(crate) fn copy(&self, loser: &LoserRow) -> EventRef<'_> {
        self.sources[loser.source as usize].row(loser.row as usize)
    }

    /// Takes over all rows of `later`, whose positions lie behind these.
    pub(crate) fn append(&mut self, later: Rows) {
        let shift = count(self.sources.len());
        let places: Vec<u32> = later.metrics.into_iter().map(|metric| self.place_of(metric)).collect();
        let events = later.events.into_iter();
        self.events.extend(events.map(|new| NewRow {
            source: new.source + shift,
            metric: places[new.metric as usize],
            ..new
        }));
        self.losers.extend(later.losers.into_iter().map(|loser| LoserRow { source: loser.source + shift, ..loser }));
        self.voids.extend(later.voids);
        self.dead_letters.extend(later.dead_letters);
        self.sources.extend(later.sources);
        self.bytes += later.bytes;
    }

    /// Keeps a source; its place is named when its rows are added.
    pub(crate) fn add_source(&mut self, source: Source) -> u32 {
        self.bytes += source.byte_size();
        self.sources.push(source);
        count(self.sources.len() - 1)
    }

    /// Adds row `row` of the source at `place`: an event of `code`.
    pub(crate) fn add_event(
        &mut self,
        (place, row): (u32, usize),
        (organization, code): (OrganizationId, &str),
        position: Position,
        plans: &mut Plans,
    ) {
        let metric = self.metric(organization, code, plans);
        self.events.push(NewRow { source: place, row: count(row), metric, position });
    }

    /// Adds a copy that is to be listed; one that differs in nothing is not.
    pub(crate) fn add_copy(&mut self, (source, row): (u32, usize), position: Position, kind: DuplicateKind) {
        let reason = match kind {
            DuplicateKind::Exact => return,
            DuplicateKind::Restamped => RejectionReason::Restamped,
            DuplicateKind::Conflict => RejectionReason::Conflict,
        };
        self.losers.push(LoserRow { source, row: count(row), position, reason });
    }

    fn metric(&mut self, organization: OrganizationId, code: &str, plans: &mut Plans) -> u32 {
        let is_it = |known: &MetricOfRows| known.organization == organization && known.code == code;
        if let Some(place) = self.metrics.iter().take(LOOKED_THROUGH).position(is_it) {
            return count(place);
        }
        let of_tenant = self.places.get(&organization);
        if let Some(place) = of_tenant.and_then(|known| known.get(code)) {
            return *place;
        }
        let plan = plans.plan(organization, code);
        self.add_metric(MetricOfRows { organization, code: code.to_owned(), plan })
    }

    /// The place of a metric of other rows; one whose plan has changed in between stands beside the earlier one.
    fn place_of(&mut self, metric: MetricOfRows) -> u32 {
        let known = self.places.get(&metric.organization).and_then(|of_tenant| of_tenant.get(&metric.code));
        match known {
            Some(place) if Arc::ptr_eq(&self.metrics[*place as usize].plan, &metric.plan) => *place,
            _ => self.add_metric(metric),
        }
    }

    fn add_metric(&mut self, metric: MetricOfRows) -> u32 {
        let place = count(self.metrics.len());
        self.places.entry(metric.organization).or_default().insert(metric.code.clone(), place);
        self.metrics.push(metric);
        place
    }
}

/// A place or number inside one insert: it is limited far below 2³² rows.
pub(crate) fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
