use super::*;
use clap::{Args, FromArgMatches};

fn flags(arguments: &[&str]) -> SettingFlags {
    let command = SettingFlags::augment_args(clap::Command::new("tollgate"));
    let matches = command.try_get_matches_from(std::iter::once(&"tollgate").chain(arguments)).unwrap();
    SettingFlags::from_arg_matches(&matches).unwrap()
}

fn loaded(arguments: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, ConfigurationError> {
    let environment = variables.iter().map(|(name, value)| ((*name).to_string(), (*value).into()));
    load_from(&flags(arguments), &[], environment)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn problems(result: Result<Loaded, ConfigurationError>) -> String {
    result.expect_err("this configuration is wrong").to_string()
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
    let file = file("[server]\nlisten = '127.0.0.1:1'\ndrain_seconds = 70\n[billing]\nautomatic = false\n");
    let config = ["--config", file.path().to_str().unwrap()];
    let seen = |arguments: &[&str], variables| {
        let all: Vec<&str> = config.iter().chain(arguments).copied().collect();
        loaded(&all, variables).unwrap().configuration
    };
    let environment: &[(&str, &str)] = &[("TOLLGATE_SERVER_LISTEN", "127.0.0.1:2")];
    assert_eq!(seen(&["--listen", "127.0.0.1:3"], environment).listen.port(), 3);
    assert_eq!(seen(&[], environment).listen.port(), 2);
    assert_eq!(seen(&[], &[]).listen.port(), 1);
    assert_eq!(loaded(&[], &[]).unwrap().configuration.listen.port(), 8080);
    assert!(!seen(&[], &[]).billing_automatic, "false in the file");
    assert!(seen(&["--billing-automatic"], &[]).billing_automatic, "a bare flag means true");
}

#[test]
fn every_setting_is_named_alike_in_file_environment_and_flag() {
    for setting in settings::SETTINGS.iter() {
        assert!(!setting.section().is_empty() && !setting.key().is_empty(), "{}", setting.name);
        let long = setting.name.replace(['.', '_'], "-");
        let short_by_contract = ["listen", "ingest"];
        assert!(setting.flag == long || short_by_contract.contains(&setting.flag), "--{} for {}", setting.flag, long);
    }
}

#[test]
fn an_unknown_key_of_the_file_is_an_error_that_names_it_and_the_nearest() {
    let wrong = file("[server]\nlisten_addr = '127.0.0.1:1'\nlisen = 'x'\n[severs]\nlisten='x'\n");
    let text = problems(loaded(&["--config", wrong.path().to_str().unwrap()], &[]));
    assert!(text.contains("unknown key 'server.lisen' (did you mean server.listen?)"), "{text}");
    assert!(text.contains("unknown key 'severs.listen' (did you mean server.listen?)"), "{text}");
    assert!(text.contains("unknown key 'server.listen_addr'"), "{text}");
}

#[test]
fn an_unknown_variable_is_a_warning_and_an_unknown_flag_an_error() {
    let seen = loaded(&[], &[("TOLLGATE_SERVER_LISEN", "x"), ("TOLLGATE_SERVICE_HOST", "10.0.0.1")]).unwrap();
    assert_eq!(
        seen.warnings,
        [
            "TOLLGATE_SERVER_LISEN is no setting and is ignored (did you mean TOLLGATE_SERVER_LISTEN?)",
            "TOLLGATE_SERVICE_HOST is no setting and is ignored",
        ]
    );
    let command = SettingFlags::augment_args(clap::Command::new("tollgate"));
    let fault = command.try_get_matches_from(["tollgate", "--lisen", "x"]).unwrap_err().to_string();
    assert!(fault.contains("--lisen") && fault.contains("--listen"), "{fault}");
}

#[test]
fn all_mistakes_are_told_at_once_each_with_its_place() {
    let text = problems(loaded(
        &["--listen", "nowhere", "--clickhouse-url", "localhost"],
        &[("TOLLGATE_ADMIN_SECRET", "short"), ("TOLLGATE_BILLING_AUTOMATIC", "maybe")],
    ));
    assert!(text.contains("--listen: 'nowhere' is not an address and port"), "{text}");
    assert!(text.contains("--clickhouse-url: 'localhost' is not an address"), "{text}");
    assert!(text.contains("TOLLGATE_BILLING_AUTOMATIC: 'maybe' is not true or false"), "{text}");
}

#[test]
fn a_short_admin_secret_and_contradicting_timeouts_are_refused_without_printing_the_secret() {
    let text = problems(loaded(
        &["--server-drain-seconds", "10", "--ingest-max-body-bytes", "999999999"],
        &[("TOLLGATE_ADMIN_SECRET", "a-secret-of-24-characters")],
    ));
    assert!(text.contains("TOLLGATE_ADMIN_SECRET: has 25 characters, at least 32 are needed"), "{text}");
    assert!(
        text.contains("--server-drain-seconds (10 s) is shorter than ingest.body_timeout_seconds (20 s)"),
        "{text}"
    );
    assert!(text.contains("ingest.memory_bytes is less than --ingest-max-body-bytes"), "{text}");
    assert!(!text.contains("a-secret"), "{text}");
}

#[test]
fn the_effective_configuration_is_a_file_that_loads_to_the_same_and_shows_no_secret() {
    let secret = "0123456789abcdef0123456789abcdef";
    let first = loaded(&["--listen", "127.0.0.1:9"], &[("TOLLGATE_ADMIN_SECRET", secret)]).unwrap();
    let printed = effective_toml(&first.layers);
    assert!(!printed.contains(secret) && printed.contains("secret is set and not shown"), "{printed}");
    let again = file(&printed);
    let second = loaded(&["--config", again.path().to_str().unwrap()], &[]).unwrap();
    assert_eq!(second.configuration.listen.port(), 9);
    assert_eq!(second.configuration.billing_check, first.configuration.billing_check);
}

#[test]
fn streaming_takes_its_settings_from_section_kafka_and_tells_what_is_wrong_with_them_by_place() {
    let text = problems(loaded(&["--ingest", "streaming"], &[]));
    assert!(text.starts_with("kafka.brokers: names no broker"), "{text}");
    let wrong = ["--ingest", "streaming", "--kafka-brokers", "a:1", "--kafka-delivery-timeout-ms", "60000"];
    let text = problems(loaded(&wrong, &[("TOLLGATE_KAFKA_LINGER_MS", "soon")]));
    assert_eq!(text, "TOLLGATE_KAFKA_LINGER_MS: 'soon' is not a whole number in range");
    let text = problems(loaded(&wrong, &[]));
    assert!(text.starts_with("--kafka-delivery-timeout-ms: with linger_ms must be shorter"), "{text}");

    let file = file("[ingest]\nmode = 'streaming'\n[kafka]\nbrokers = 'a:1'\npartitions = 12\n");
    let config = ["--config", file.path().to_str().unwrap()];
    let kafka = loaded(&config, &[("TOLLGATE_KAFKA_TOPIC", "usage-3")]).unwrap().configuration.kafka.unwrap();
    assert_eq!((kafka.brokers.as_str(), kafka.partitions, kafka.epoch), ("a:1", 12, 3));
    let too_small = loaded(&[&config[..], &["--kafka-queue-bytes", "1048576"]].concat(), &[]);
    assert!(problems(too_small).contains("--kafka-queue-bytes is less than ingest.max_body_bytes"));
}

#[test]
fn an_unknown_key_of_section_kafka_is_refused_and_brokers_that_nothing_uses_are_told() {
    let file = file("[kafka]\nbroker = 'a:1'\n");
    let text = problems(loaded(&["--config", file.path().to_str().unwrap()], &[]));
    assert!(text.contains("unknown key 'kafka.broker' (did you mean kafka.brokers?)"), "{text}");
    let unused = loaded(&["--kafka-brokers", "a:1"], &[]).unwrap();
    assert!(unused.configuration.kafka.is_none());
    assert!(
        unused.warnings[0].starts_with("--kafka-brokers is set, but ingest.mode is direct"),
        "{:?}",
        unused.warnings
    );
}

#[test]
fn a_services_own_defaults_give_way_to_whatever_is_set() {
    let own: &[(&str, &str)] = &[("billing.automatic", "false")];
    let none = || std::iter::empty::<(String, std::ffi::OsString)>();
    assert!(!load_from(&flags(&[]), own, none()).unwrap().configuration.billing_automatic);
    assert!(load_from(&flags(&["--billing-automatic"]), own, none()).unwrap().configuration.billing_automatic);
}

/// What `CONFIGURATION.md` must say, from the table of settings.
fn reference() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         Each setting is a key of the TOML file (`--config FILE`), a flag, and an environment variable `TOLLGATE_<SECTION>_<KEY>`: `kafka.brokers` is\n\
         `--kafka-brokers` and `TOLLGATE_KAFKA_BROKERS`. Flag beats environment beats file beats default. An unknown flag or file key is refused, an\n\
         unknown variable told. `tollgate check-config` prints what is in force, where each value came from, and whether what it names\n\
         is there. Services started one by one (`tollgate gateway`, …) stream and do not bill automatically unless told so.\n",
    );
    let mut section = "";
    for setting in settings::SETTINGS.iter() {
        if setting.section() != section {
            section = setting.section();
            text.push_str(&format!("\n## [{section}]\n\n| key | flag | default | what |\n|---|---|---|---|\n"));
        }
        let default = match (setting.secret, setting.default) {
            (true, _) => "(secret)".to_string(),
            (false, "") => "–".to_string(),
            (false, default) => format!("`{default}`"),
        };
        let value = setting.value.replace('|', "\\|");
        text.push_str(&format!(
            "| `{}` | `--{} {value}` | {default} | {} |\n",
            setting.key(),
            setting.flag,
            setting.help
        ));
    }
    text
}

#[test]
fn the_reference_of_all_settings_says_what_the_table_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIGURATION.md");
    let expected = reference();
    if std::env::var_os("WRITE_CONFIGURATION_MD").is_some() {
        std::fs::write(path, &expected).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(written, expected, "run this test with WRITE_CONFIGURATION_MD=1 to write it anew");
}
