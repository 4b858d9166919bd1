//! Reading taxes, entities and commitments for billing: five queries however many rows there are.

use crate::billing::terms::{BillingTerms, EntityTerms, OrganizationTerms, Tax, Threshold};
use crate::billing::{Conditions, OF_ORGANIZATION, each_row};
use crate::columns::Columns;
use crate::database::DatabaseError;
use domain::ids::{OrganizationId, SubscriptionId};
use domain::money::MinorUnits;
use domain::quantity::Quantity;
use sqlx::AnyConnection;
use std::collections::HashMap;
use std::sync::Arc;

/// Everything but the plans' part, which is read with their documents.
pub(super) async fn read(
    connection: &mut AnyConnection,
    conditions: &Conditions,
) -> Result<BillingTerms, DatabaseError> {
    let mut terms = BillingTerms::default();
    let by_id = taxes(connection, conditions, &mut terms.organizations).await?;
    attachments(connection, conditions, &by_id, &mut terms.organizations).await?;
    entities(connection, conditions, &mut terms.organizations).await?;
    let select = format!(
        "SELECT id, billing_entity_id FROM customers WHERE {OF_ORGANIZATION} AND billing_entity_id IS NOT NULL"
    );
    each_row(connection, conditions, select, |row| {
        terms.entity_of.insert(row.parsed("id")?, row.parsed("billing_entity_id")?);
        Ok(())
    })
    .await?;
    thresholds(connection, conditions, &mut terms.thresholds).await?;
    Ok(terms)
}

async fn thresholds(
    connection: &mut AnyConnection,
    conditions: &Conditions,
    into: &mut HashMap<SubscriptionId, Vec<Threshold>>,
) -> Result<(), DatabaseError> {
    let select = format!("SELECT * FROM subscription_thresholds WHERE {OF_ORGANIZATION} ORDER BY id");
    each_row(connection, conditions, select, |row| {
        let threshold = Threshold {
            id: row.parsed("id")?,
            amount: MinorUnits(row.integer("amount_cents")?),
            recurring: row.flag("recurring")?,
        };
        into.entry(row.parsed("subscription_id")?).or_default().push(threshold);
        Ok(())
    })
    .await
}

type Organizations = HashMap<OrganizationId, OrganizationTerms>;
type TaxesById = HashMap<uuid::Uuid, Arc<Tax>>;

async fn taxes(
    connection: &mut AnyConnection,
    conditions: &Conditions,
    into: &mut Organizations,
) -> Result<TaxesById, DatabaseError> {
    let select = format!(
        "SELECT id, organization_id, code, name, rate, applied_to_organization FROM taxes WHERE {OF_ORGANIZATION} ORDER BY id"
    );
    let mut by_id = TaxesById::new();
    each_row(connection, conditions, select, |row| {
        let rate = row.text("rate")?;
        let tax = Arc::new(Tax {
            id: row.parsed("id")?,
            code: row.text("code")?,
            name: row.text("name")?,
            rate: Quantity::parse(&rate).map_err(|fault| DatabaseError::unreadable("rate of a tax", fault))?,
        });
        let terms = into.entry(row.parsed("organization_id")?).or_default();
        if row.flag("applied_to_organization")? {
            terms.general.push(tax.clone());
        }
        by_id.insert(tax.id, tax.clone());
        terms.by_code.insert(tax.code.clone(), tax);
        Ok(())
    })
    .await?;
    Ok(by_id)
}

async fn attachments(
    connection: &mut AnyConnection,
    conditions: &Conditions,
    by_id: &TaxesById,
    into: &mut Organizations,
) -> Result<(), DatabaseError> {
    let select = format!(
        "SELECT organization_id, tax_id, taxable_type, taxable_id FROM applied_taxes WHERE {OF_ORGANIZATION} ORDER BY id"
    );
    each_row(connection, conditions, select, |row| {
        let tax: uuid::Uuid = row.parsed("tax_id")?;
        let tax = by_id.get(&tax).ok_or_else(|| DatabaseError::unreadable("attached tax", "it does not exist"))?;
        let place = (row.named("taxable_type")?, row.parsed("taxable_id")?);
        let terms = into.entry(row.parsed("organization_id")?).or_default();
        terms.attached.entry(place).or_default().push(tax.clone());
        Ok(())
    })
    .await
}

async fn entities(
    connection: &mut AnyConnection,
    conditions: &Conditions,
    into: &mut Organizations,
) -> Result<(), DatabaseError> {
    let select =
        format!("SELECT id, organization_id, invoice_prefix, is_default FROM billing_entities WHERE {OF_ORGANIZATION}");
    each_row(connection, conditions, select, |row| {
        let entity = Arc::new(EntityTerms { id: row.parsed("id")?, invoice_prefix: row.text("invoice_prefix")? });
        let terms = into.entry(row.parsed("organization_id")?).or_default();
        if row.flag("is_default")? {
            terms.default_entity = Some(entity.clone());
        }
        terms.entities.insert(entity.id, entity);
        Ok(())
    })
    .await
}
