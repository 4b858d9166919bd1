//! Runs, invoices, fees and proofs as the contract and the additions spell them: amounts and quantities as strings in their
//! shortest exact form, instants in RFC 3339.

mod actions;
mod applied_coupon;
mod checked;
mod coupon;
mod credit_note;
mod fee;
mod invoice;
mod payment;
mod payment_request;
mod preview;
mod proof;
mod run;
mod tax;
mod usage_alert;
mod wallet;
mod wallet_movement;
mod wallet_rule;

pub(crate) use actions::outcome_of;
pub use actions::{
    BulkFinalizeResponse, BulkInvoices, BulkVoidResponse, InvoiceUpdate, OneOffInvoiceCreate, SendReminderResponse,
    SettlementRecord,
};
pub use applied_coupon::{AppliedCouponRecord, ApplyCouponRequest, CouponAnalytics};
pub use coupon::{CouponCreate, CouponRecord, CouponUpdate};
pub use credit_note::{
    CreditNoteCreate, CreditNoteEstimate, CreditNoteEstimateRequest, CreditNoteRecord, CreditNoteUpdate,
};
pub use fee::{FeeRecord, FeeUpdate};
pub use invoice::{InvoiceRecord, LineItem};
pub use payment::{ManualPaymentCreate, PaymentRecord, PaymentStatus, RefundRequest};
pub use payment_request::{
    BatchPaymentRequestResponse, PaymentAttemptHistoryResponse, PaymentRequestCreate, PaymentRequestRecord,
    PaymentRequestStatus,
};
pub use preview::{InvoicePreviewRecord, InvoicePreviewRequest};
pub use proof::{EventRecord, ProofRecord};
pub use run::{BillingRunRecord, BillingRunRequest};
pub use usage_alert::{
    UsageAlertCreate, UsageAlertRecord, UsageAlertStatus, UsageAlertTriggerRecord, UsageAlertUpdate,
};
pub use wallet::{WalletCreate, WalletRecord, WalletUpdate};
pub use wallet_movement::{
    BalanceTimelineResponse, DepletionForecastResponse, OngoingBalanceResponse, WalletTopUp, WalletTransactionRecord,
    WalletTransferRequest, WalletTransferResponse,
};
