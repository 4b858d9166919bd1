//! What must hold of credits (I7): accounts against their entries, invoices against what was taken off them, credit notes against what
//! they credit.

use super::Rule;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "a balance is the sum of its entries (I7)",
        broken: "SELECT 'credit account ' || a.id AS what, 'balance is ' || CAST(a.balance AS TEXT) || ', its entries come to '
                || CAST(COALESCE(SUM(e.amount), 0) AS TEXT) AS why
            FROM credit_accounts a LEFT JOIN credit_entries e ON e.account_id = a.id GROUP BY a.id, a.balance, a.entries
            HAVING a.balance <> COALESCE(SUM(e.amount), 0) OR a.entries <> COUNT(e.id)",
    },
    Rule {
        name: "each entry goes on from the balance before it (I7)",
        broken: "SELECT 'credit entry ' || e.id AS what, 'it finds ' || CAST(e.balance_before AS TEXT) AS why
            FROM credit_entries e LEFT JOIN credit_entries b ON b.account_id = e.account_id AND b.sequence = e.sequence - 1
            WHERE e.balance_after <> e.balance_before + e.amount OR e.balance_after < 0
                OR e.balance_before <> COALESCE(b.balance_after, 0) OR (e.sequence > 1 AND b.id IS NULL)",
    },
    Rule {
        name: "an entry is of its account's organization and of its customer's invoices (I8)",
        broken: "SELECT 'credit entry ' || e.id AS what, 'its account is ' || a.id AS why FROM credit_entries e
            JOIN credit_accounts a ON a.id = e.account_id LEFT JOIN invoices i ON i.id = e.invoice_id
            WHERE e.organization_id <> a.organization_id OR i.organization_id <> a.organization_id
                OR i.customer_id <> a.customer_id OR (a.currency <> '' AND i.currency <> a.currency)",
    },
    Rule {
        name: "what is taken off an invoice is what its accounts gave (I7)",
        broken: "SELECT 'invoice ' || i.id AS what, 'taken off are ' || CAST(i.coupons_cents AS TEXT) || ' by coupons, '
                || CAST(i.credit_notes_cents AS TEXT) || ' by credit notes, ' || CAST(i.prepaid_credit_cents AS TEXT)
                || ' from wallets, the accounts gave others' AS why
            FROM invoices i LEFT JOIN (SELECT e.invoice_id,
                    SUM(CASE WHEN a.kind = 'coupon' THEN e.invoice_cents ELSE 0 END) AS coupons,
                    SUM(CASE WHEN a.kind = 'credit_note' THEN e.invoice_cents ELSE 0 END) AS notes,
                    SUM(CASE WHEN a.kind = 'wallet' THEN e.invoice_cents ELSE 0 END) AS wallets
                FROM credit_entries e JOIN credit_accounts a ON a.id = e.account_id WHERE e.invoice_id IS NOT NULL
                GROUP BY e.invoice_id) given ON given.invoice_id = i.id
            LEFT JOIN (SELECT invoice_id, SUM(total_cents) AS cents FROM credit_notes WHERE below_zero = 1 GROUP BY invoice_id) rest
                ON rest.invoice_id = i.id
            WHERE (i.status IN ('finalized', 'paid') AND (i.coupons_cents <> COALESCE(given.coupons, 0)
                    OR i.credit_notes_cents <> COALESCE(given.notes, 0) - COALESCE(rest.cents, 0) OR i.prepaid_credit_cents <> COALESCE(given.wallets, 0)))
                OR (i.status IN ('draft', 'voided') AND (COALESCE(given.coupons, 0) <> 0 OR COALESCE(given.notes, 0) <> 0
                    OR COALESCE(given.wallets, 0) <> 0))",
    },
    Rule {
        name: "no more is credited than was billed (I7)",
        broken: "SELECT 'invoice ' || i.id AS what, 'credited are ' || CAST(i.credited_cents AS TEXT) || ', its notes come to '
                || CAST(COALESCE(SUM(n.total_cents), 0) AS TEXT) AS why
            FROM invoices i LEFT JOIN credit_notes n ON n.invoice_id = i.id AND n.counted = 1 AND n.below_zero = 0
            GROUP BY i.id, i.credited_cents, i.subtotal_cents, i.coupons_cents, i.tax_cents
            HAVING i.credited_cents <> COALESCE(SUM(n.total_cents), 0)
                OR (i.credited_cents > 0 AND i.credited_cents > i.subtotal_cents - i.coupons_cents + i.tax_cents)",
    },
    Rule {
        name: "an issued credit note opened its account with its credit (I7)",
        broken: "SELECT 'credit note ' || n.id AS what, 'its credit is ' || CAST(n.credit_cents AS TEXT) || ', opened with '
                || CAST(COALESCE(e.amount, 0) AS TEXT) AS why
            FROM credit_notes n LEFT JOIN credit_entries e ON e.account_id = n.id AND e.sequence = 1
            WHERE n.status = 'finalized' AND n.credit_cents <> COALESCE(e.amount, 0)",
    },
    Rule {
        name: "an applied coupon and a wallet have an account of their own (I7)",
        broken: "SELECT owner.kind || ' ' || owner.id AS what, 'its account is of ' || COALESCE(a.kind, 'nothing') AS why
            FROM (SELECT 'coupon' AS kind, id, organization_id, customer_id FROM applied_coupons
                UNION ALL SELECT 'wallet', id, organization_id, customer_id FROM wallets) owner
            LEFT JOIN credit_accounts a ON a.id = owner.id
            WHERE a.id IS NULL OR a.kind <> owner.kind OR a.organization_id <> owner.organization_id
                OR a.customer_id <> owner.customer_id",
    },
    Rule {
        name: "a coupon is used as often as it may be (I7)",
        broken: "SELECT 'applied coupon ' || p.id AS what, 'it may be used ' || CAST(a.balance AS TEXT) || ' times more' AS why
            FROM applied_coupons p JOIN coupons c ON c.id = p.coupon_id JOIN credit_accounts a ON a.id = p.id
            WHERE (c.frequency = 'once' AND a.balance > 1) OR (c.frequency = 'recurring' AND a.balance > c.frequency_duration)
                OR (p.endless = 1 AND a.balance <> 0) OR (p.terminated_at IS NOT NULL AND a.spendable = 1)",
    },
    Rule {
        name: "credit that was sold arrives as its invoice is paid (I7)",
        broken: "SELECT 'wallet top-up ' || t.id AS what, 'it is ' || t.status || ', its invoice is ' || i.status AS why
            FROM wallet_top_ups t JOIN invoices i ON i.id = t.invoice_id
            WHERE (t.status = 'settled') <> (i.status = 'paid') OR (t.status = 'failed') <> (i.status = 'voided')
                OR i.subtotal_cents <> t.cents OR i.organization_id <> t.organization_id",
    },
    Rule {
        name: "a wallet got the credit that was sold (I7)",
        broken: "SELECT 'wallet ' || w.id AS what, 'sold and paid are ' || CAST(sold.cents AS TEXT) || ', arrived '
                || CAST(came.cents AS TEXT) AS why
            FROM wallets w JOIN (SELECT w.id, COALESCE(SUM(t.cents), 0) AS cents FROM wallets w
                LEFT JOIN wallet_top_ups t ON t.wallet_id = w.id AND t.status = 'settled' GROUP BY w.id) sold ON sold.id = w.id
            JOIN (SELECT w.id, COALESCE(SUM(e.amount), 0) AS cents FROM wallets w
                LEFT JOIN credit_entries e ON e.account_id = w.id AND e.kind = 'purchased' GROUP BY w.id) came ON came.id = w.id
            WHERE sold.cents <> came.cents OR (w.terminated_at IS NOT NULL AND EXISTS
                (SELECT 1 FROM credit_accounts a WHERE a.id = w.id AND a.spendable = 1))",
    },
    Rule {
        name: "a payment settles its invoice by what was kept of it (I7)",
        broken: "SELECT 'payment ' || p.id AS what, 'it is ' || p.status || ' and settles '
                || CAST(COALESCE(SUM(s.amount_cents), 0) AS TEXT) AS why
            FROM payments p LEFT JOIN invoice_settlements s ON s.settlement_type = 'payment' AND s.source_id = p.id
                AND s.invoice_id = p.invoice_id
            GROUP BY p.id, p.status, p.amount_cents, p.surplus_cents, p.reopened_cents
            HAVING COALESCE(SUM(s.amount_cents), 0) <> CASE WHEN p.status IN ('succeeded', 'refunded')
                THEN p.amount_cents - p.surplus_cents - p.reopened_cents ELSE 0 END",
    },
    Rule {
        name: "a payment is of its invoice's organization, customer and currency (I8)",
        broken: "SELECT 'payment ' || p.id AS what, 'its invoice is ' || i.id AS why FROM payments p
            JOIN invoices i ON i.id = p.invoice_id
            WHERE p.organization_id <> i.organization_id OR p.customer_id <> i.customer_id OR p.currency <> i.currency",
    },
    Rule {
        name: "what was paid beyond what was due is in a wallet (I7)",
        broken: "SELECT 'wallet ' || w.id AS what, 'paid too much are ' || CAST(paid.cents AS TEXT) || ', arrived '
                || CAST(came.cents AS TEXT) AS why
            FROM wallets w JOIN (SELECT w.id, COALESCE(SUM(p.surplus_cents), 0) AS cents FROM wallets w
                LEFT JOIN payments p ON p.surplus_wallet_id = w.id GROUP BY w.id) paid ON paid.id = w.id
            JOIN (SELECT w.id, COALESCE(SUM(e.amount), 0) AS cents FROM wallets w
                LEFT JOIN credit_entries e ON e.account_id = w.id AND e.kind = 'overpaid' GROUP BY w.id) came ON came.id = w.id
            WHERE paid.cents <> came.cents",
    },
    Rule {
        name: "an invoice that is settled is paid (I7)",
        broken: "SELECT 'invoice ' || i.id AS what, 'it is ' || i.status || ', due are ' || CAST(i.total_cents AS TEXT)
                || ', settled ' || CAST(COALESCE(SUM(s.amount_cents), 0) AS TEXT) AS why
            FROM invoices i LEFT JOIN invoice_settlements s ON s.invoice_id = i.id
            WHERE i.status IN ('finalized', 'paid') GROUP BY i.id, i.status, i.total_cents
            HAVING (i.status = 'paid') <> (COALESCE(SUM(s.amount_cents), 0) = i.total_cents)",
    },
];
