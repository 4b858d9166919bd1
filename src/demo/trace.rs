//! The trace that ships with the project (see `examples/NOTICE.md`): its rows, and the events they become.

use crate::failure::Failure;
use serde_json::json;

/// `AzureLLMInferenceTrace_conv.csv` of the Azure Public Dataset, CC BY 4.0.
const TRACE: &[u8] = include_bytes!("../../examples/AzureLLMInferenceTrace_conv.csv.zst");

/// The customers by external id, each with how many of ten requests are theirs.
pub(super) const CUSTOMERS: [(&str, &str, usize); 4] =
    [("acme", "Acme Corp", 4), ("globex", "Globex", 3), ("initech", "Initech", 2), ("umbrella", "Umbrella Labs", 1)];

/// One request of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// Its row, from 1.
    pub number: usize,
    /// When it came, RFC 3339.
    pub at: String,
    /// Tokens of its prompt.
    pub context_tokens: u64,
    /// Tokens of its answer.
    pub generated_tokens: u64,
}

impl Request {
    /// Whose request it is: rows are dealt out in tens.
    pub(super) fn customer(&self) -> &'static str {
        let mut slot = self.number % CUSTOMERS.iter().map(|(_, _, share)| share).sum::<usize>();
        for (customer, _, share) in CUSTOMERS {
            match slot.checked_sub(share) {
                None => return customer,
                Some(rest) => slot = rest,
            }
        }
        CUSTOMERS[0].0
    }

    /// Its three events as lines of JSON.
    pub(super) fn lines(&self) -> String {
        let event = |code: &str, properties: serde_json::Value| {
            let event = json!({
                "transaction_id": format!("conv-{:05}-{code}", self.number),
                "external_customer_id": self.customer(),
                "code": code,
                "timestamp": self.at,
                "properties": properties,
            });
            format!("{event}\n")
        };
        [
            event("requests", json!({})),
            event("context_tokens", json!({"tokens": self.context_tokens})),
            event("generated_tokens", json!({"tokens": self.generated_tokens})),
        ]
        .concat()
    }
}

/// Events that a request becomes.
pub(super) const EVENTS_PER_REQUEST: usize = 3;

/// All requests in the order of the trace.
pub(super) fn requests() -> Result<Vec<Request>, Failure> {
    let damaged = |what: String| Failure::Trouble(format!("the trace in this binary is damaged: {what}"));
    let csv = zstd::decode_all(TRACE).map_err(|fault| damaged(fault.to_string()))?;
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let rows = reader.records().enumerate().map(|(at, row)| {
        let row = row.map_err(|fault| damaged(fault.to_string()))?;
        request(at + 1, &row).ok_or_else(|| damaged(format!("row {}", at + 1)))
    });
    rows.collect()
}

fn request(number: usize, row: &csv::StringRecord) -> Option<Request> {
    Some(Request {
        number,
        at: format!("{}Z", row.get(0)?.replacen(' ', "T", 1)),
        context_tokens: row.get(1)?.parse().ok()?,
        generated_tokens: row.get(2)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_in_the_binary_is_the_published_one() {
        let requests = requests().unwrap();
        assert_eq!(requests.len(), 19_366);
        assert_eq!(requests.iter().map(|request| request.context_tokens).sum::<u64>(), 22_361_870);
        assert_eq!(requests.iter().map(|request| request.generated_tokens).sum::<u64>(), 4_088_665);
    }

    #[test]
    fn requests_are_dealt_out_in_tens_by_the_customers_shares() {
        let requests = requests().unwrap();
        for (customer, _, share) in CUSTOMERS {
            let of_first_thousand = requests[..1000].iter().filter(|request| request.customer() == customer).count();
            assert_eq!(of_first_thousand, share * 100, "{customer}");
        }
    }
}
