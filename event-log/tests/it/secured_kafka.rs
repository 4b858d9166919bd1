use crate::log_on_kafka::{PATIENCE, batch, read_all};
use domain::ids::OrganizationId;
use event_log::producer::LogProducer;
use event_log::settings::KafkaSettings;
use event_log::testing::{DevKafka, needs_real_brokers};
use event_log::topic;
use std::time::Duration;

/// Settings as a configuration file would give them; `changed` replaces one value.
fn settings(kafka: &DevKafka, mechanism: &str, changed: (&str, &str)) -> KafkaSettings {
    let tls = kafka.tls();
    let file = |name: &str| tls.join(name).to_string_lossy().into_owned();
    let password = std::fs::read_to_string(tls.join("password")).unwrap().trim().to_owned();
    let values = [
        ("brokers", kafka.bootstrap.clone()),
        ("security_protocol", "sasl_ssl".into()),
        ("sasl_mechanism", mechanism.into()),
        ("sasl_username", "tollgate".into()),
        ("sasl_password", password),
        ("ssl_ca", file("ca.pem")),
        ("ssl_certificate", file("client.pem")),
        ("ssl_key", file("client.key")),
    ];
    let value_of = |name: &str| match name == changed.0 {
        true => Some(changed.1.to_owned()),
        false => values.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()),
    };
    KafkaSettings::from_values(value_of, Duration::from_secs(25)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_requires_tls_and_a_user_is_used_by_each_mechanism_and_refuses_everybody_else() {
    if !needs_real_brokers("TLS, SASL and access rights") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let kafka = DevKafka::start_secured(directory.path()).unwrap();
    let organization = OrganizationId::random();
    for (number, mechanism) in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"].iter().enumerate() {
        let settings = settings(&kafka, mechanism, ("", ""));
        topic::ensure(&settings, PATIENCE).await.unwrap();
        let log = LogProducer::start(&settings, settings.partitions).unwrap();
        log.append(&batch(organization, [number.to_string()].into_iter())).await.unwrap();
    }
    let reading = settings(&kafka, "PLAIN", ("", ""));
    let seen = tokio::task::spawn_blocking(move || read_all(&reading, 3)).await.unwrap();
    assert_eq!(seen.len(), 3);

    // Somebody whom the brokers know and let do nothing.
    let guest = settings(&kafka, "PLAIN", ("sasl_username", "guest"));
    for refused in [topic::ensure(&guest, PATIENCE).await.map(drop), topic::examine(&guest, PATIENCE).await.map(drop)] {
        let told = refused.unwrap_err().to_string();
        assert!(told.contains("grant it Describe") && told.contains("kafka.sasl_username"), "{told}");
    }

    let short = Duration::from_secs(2);
    let refusals = [
        ("SCRAM-SHA-512", ("sasl_password", "wrong"), "Authentication failed"),
        // No authority of the system vouches for this broker.
        ("PLAIN", ("ssl_ca", ""), "certificate verify failed"),
    ];
    for (mechanism, changed, reason) in refusals {
        let told = topic::ensure(&settings(&kafka, mechanism, changed), short).await.unwrap_err().to_string();
        assert!(told.contains(reason) && !told.contains("wrong"), "{changed:?}: {told}");
    }
}
