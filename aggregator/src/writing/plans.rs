//! What to extract from each event, by (organization, code), from the newest catalog snapshot.

use crate::extract::ExtractionPlan;
use domain::ids::OrganizationId;
use domain::snapshot::{CatalogSnapshot, SnapshotCell};
use std::collections::HashMap;
use std::sync::Arc;

/// Extraction plans of the current snapshot, made when first needed.
pub(crate) struct Plans {
    catalog: SnapshotCell,
    snapshot: Arc<CatalogSnapshot>,
    made: HashMap<OrganizationId, HashMap<String, Arc<ExtractionPlan>>>,
}

impl Plans {
    pub(crate) fn new(catalog: SnapshotCell) -> Self {
        let snapshot = catalog.current();
        Self { catalog, snapshot, made: HashMap::new() }
    }

    /// Takes the newest snapshot; plans are made anew when it is another.
    pub(crate) fn refresh(&mut self) {
        let newest = self.catalog.current();
        if !Arc::ptr_eq(&newest, &self.snapshot) {
            self.snapshot = newest;
            self.made.clear();
        }
    }

    /// The plan of a code; a code that no metric has takes nothing out.
    pub(crate) fn plan(&mut self, organization: OrganizationId, code: &str) -> Arc<ExtractionPlan> {
        let known = self.made.get(&organization).and_then(|plans| plans.get(code));
        if let Some(plan) = known {
            return Arc::clone(plan);
        }
        let metric = self.snapshot.organizations.get(&organization).and_then(|entry| entry.metrics.get(code));
        let plan = Arc::new(metric.map_or_else(ExtractionPlan::nothing, ExtractionPlan::for_metric));
        // Codes without metric are not remembered: they are as many as clients care to invent.
        if metric.is_some() {
            self.made.entry(organization).or_default().insert(code.to_owned(), Arc::clone(&plan));
        }
        plan
    }
}
