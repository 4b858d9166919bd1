//! What a life has to spend: a coupon, a wallet, money; done, and checked against the model.

use super::model::{COUPON, Line, WalletStep, balance_after, discount, shares_of};
use super::{Life, cents};
use crate::wire::text;
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

impl Life {
    pub(super) async fn take_coupon(&mut self) {
        if self.coupon_since.is_some() {
            return;
        }
        let coupon = json!({"code": "some", "name": "Some", "coupon_type": "percentage",
            "percentage_rate": COUPON.to_string(), "frequency": "forever"});
        self.caller.post("/v1/coupons/", &coupon).await;
        let body = json!({"coupon_code": "some", "customer_id": self.customer});
        self.caller.post("/v1/coupons/apply", &body).await;
        self.coupon_since = Some(self.now);
    }

    pub(super) async fn top_up(&mut self, cents: i64) {
        match &self.wallet {
            Some(wallet) => {
                let body = json!({"credits": cents.to_string()});
                self.caller.post(&format!("/v1/wallets/{wallet}/top_up"), &body).await;
            }
            None => {
                let body = json!({"customer_id": self.customer, "initial_granted_credits": cents.to_string()});
                self.wallet = Some(text(&self.caller.post("/v1/wallets/", &body).await["id"]));
            }
        }
        self.grants.push((self.now, cents));
    }

    pub(super) fn paid(&self, invoice: &str) -> i64 {
        self.payments.iter().filter(|(_, of, _)| of == invoice).map(|(_, _, cents)| cents).sum()
    }

    pub(super) async fn pay(&mut self, half: bool) {
        let unpaid = self.caller.all("/v1/invoices/?status=finalized&order_by=created_at:asc").await;
        let Some(invoice) = unpaid.last() else { return };
        let id = text(&invoice["id"]);
        let due = cents(&invoice["total_cents"]) - self.paid(&id);
        let amount = if half { (due + 1) / 2 } else { due };
        let body = json!({"invoice_id": id, "amount": amount, "currency": "USD"});
        let payment = self.caller.post("/v1/payments/record", &body).await;
        self.payments.push((text(&payment["id"]), id, amount));
    }

    pub(super) async fn refund(&mut self) {
        if let Some((payment, _, _)) = self.payments.pop() {
            self.caller.post(&format!("/v1/payments/{payment}/refund"), &json!({})).await;
        }
    }

    /// Each invoice took what the wallet had, in the order in which they were issued, and what is left is what is left.
    pub(super) async fn check_wallet(&self, invoices: &[Value]) -> Result<(), TestCaseError> {
        let mut steps: Vec<(DateTime<Utc>, String, WalletStep)> = Vec::new();
        for (at, cents) in &self.grants {
            // After what was issued at the same instant: the clock moves before the act.
            steps.push((*at, "granted".into(), WalletStep::Granted(*cents)));
        }
        for invoice in invoices.iter().filter(|one| one["invoice_number"].as_str().unwrap().starts_with("INV")) {
            let taken = cents(&invoice["prepaid_credit_amount_cents"]);
            let number = text(&invoice["invoice_number"]);
            let issued = text(&invoice["issued_at"]).parse().unwrap();
            steps.push((issued, number, WalletStep::Issued { due: cents(&invoice["total_cents"]) + taken, taken }));
            if invoice["status"] == "voided" {
                steps.push((text(&invoice["voided_at"]).parse().unwrap(), "voided".into(), WalletStep::Voided(taken)));
            }
        }
        let since = self.grants.first().map(|(at, _)| *at);
        steps.retain(|(at, number, _)| since.is_some_and(|since| *at > since || (*at == since && number == "granted")));
        steps.sort_by(|one, next| (one.0, &one.1).cmp(&(next.0, &next.1)));
        let steps: Vec<WalletStep> = steps.into_iter().map(|(_, _, step)| step).collect();
        let left = balance_after(&steps).map_err(TestCaseError::fail)?;
        if let Some(wallet) = &self.wallet {
            let wallet = self.caller.get(&format!("/v1/wallets/{wallet}")).await;
            prop_assert_eq!(cents(&wallet["balance_cents"]), left, "{:?}", steps);
        }
        Ok(())
    }

    /// What the coupon took off, of an invoice that was issued, or of a draft that was just refreshed.
    pub(super) fn check_coupon(&self, invoice: &Value, lines: &[Line]) -> Result<i64, TestCaseError> {
        let taken = cents(&invoice["coupons_amount_cents"]);
        prop_assert_eq!(shares_of(lines), taken, "{}", invoice);
        if invoice["status"] == "draft" && !self.ways.refreshes {
            return Ok(taken);
        }
        let issued: DateTime<Utc> = text(&invoice["issued_at"]).parse().unwrap();
        let of_usage = invoice["invoice_type"] == "subscription" || invoice["invoice_type"] == "progressive_billing";
        let uses = of_usage && self.coupon_since.is_some_and(|since| issued > since);
        let wanted = if uses { discount(cents(&invoice["subtotal_cents"])) } else { 0 };
        prop_assert_eq!(taken, wanted, "{}", invoice);
        Ok(taken)
    }
}
