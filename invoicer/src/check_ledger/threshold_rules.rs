//! What must hold of usage that is billed at thresholds: each bill is taken off once, by an invoice that stands (I4, I5).

use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "what is taken off an invoice is what was billed at thresholds (I5)",
        broken: "SELECT 'invoice ' || i.id AS what, 'taken off are ' || CAST(i.progressive_credit_cents AS TEXT)
                || ', the invoices before it billed ' || CAST(COALESCE(SUM(b.amount_cents), 0) AS TEXT) AS why
            FROM invoices i LEFT JOIN progressive_bills b ON b.taken_by = i.id
            GROUP BY i.id, i.status, i.progressive_credit_cents
            HAVING COALESCE(SUM(b.amount_cents), 0) <> CASE i.status WHEN 'voided' THEN 0 ELSE i.progressive_credit_cents END",
    },
    Rule {
        name: "an invoice of a threshold is noted with what it billed (I5)",
        broken: "SELECT 'invoice ' || i.id AS what, 'noted are ' || COALESCE(CAST(b.amount_cents AS TEXT), 'nothing') AS why
            FROM invoices i LEFT JOIN progressive_bills b ON b.invoice_id = i.id
            WHERE (i.invoice_type = 'progressive_billing' AND i.status <> 'voided' AND (b.invoice_id IS NULL
                    OR b.usage_cents <> i.subtotal_cents OR b.period_start <> i.period_start
                    OR b.subscription_id <> i.subscription_id
                    OR b.amount_cents <> i.subtotal_cents - i.coupons_cents + i.tax_cents))
                OR (b.invoice_id IS NOT NULL AND (i.invoice_type <> 'progressive_billing' OR i.status = 'voided'))",
    },
    Rule {
        name: "what was billed at a threshold is taken off with its period (I4)",
        broken: "SELECT 'invoice ' || b.invoice_id AS what, 'its usage is billed again by fee ' || MIN(f.id) AS why
            FROM progressive_bills b JOIN fees f ON f.subscription_id = b.subscription_id AND f.period_start = b.period_start
            WHERE b.taken_by IS NULL AND f.voided = 0 AND f.fee_type = 'charge' AND f.in_advance IS NULL
            GROUP BY b.invoice_id",
    },
    Rule {
        name: "an invoice of a threshold names a threshold that was crossed (I4)",
        broken: "SELECT 'invoice ' || i.id AS what, 'no crossing names it' AS why FROM invoices i
            LEFT JOIN threshold_crossings c ON c.invoice_id = i.id
            WHERE i.invoice_type = 'progressive_billing' AND (c.id IS NULL OR c.subscription_id <> i.subscription_id
                OR c.organization_id <> i.organization_id OR c.usage_cents <> i.subtotal_cents)",
    },
];
