//! What `deploy/` promises to operators: alerts that fire, runbooks that exist, metrics that the program has.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &str, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(ending));
    found.sort();
    assert!(!found.is_empty(), "{folder} has no *{ending}");
    found
}

fn texts(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect::<Vec<_>>().join("\n")
}

/// What follows each `mark`, up to the first character that is none of a name.
fn names_after<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = &'a str> {
    text.match_indices(mark).map(move |(at, _)| {
        let rest = &text[at + mark.len()..];
        let is_over = |letter: char| !(letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_-".contains(letter));
        &rest[..rest.find(is_over).unwrap_or(rest.len())]
    })
}

fn promtool(arguments: &[&str], paths: &[PathBuf]) {
    accepts(Command::new("promtool").args(arguments).args(paths), "prometheus");
}

/// A tool that says nothing is wrong. Where it is missing that is told; with `CI` set it must be there.
fn accepts(command: &mut Command, package: &str) {
    let ended = match command.output() {
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound && std::env::var_os("CI").is_none() => {
            eprintln!("NOT CHECKED: {command:?} (apt-get install {package})");
            return;
        }
        other => other.unwrap_or_else(|fault| panic!("{command:?}: {fault} (apt-get install {package})")),
    };
    let told = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&told));
}

#[test]
fn the_composition_is_valid_and_its_balancer_too() {
    let compose = root().join("deploy/compose");
    let scratch = tempfile::tempdir().unwrap();
    let secrets = scratch.path().join("env");
    let example = std::fs::read_to_string(compose.join(".env.example")).unwrap();
    std::fs::write(&secrets, example.replace("=\n", "=x\n")).unwrap();
    let mut config = Command::new("docker-compose");
    config.arg("-f").arg(compose.join("compose.yml")).arg("--env-file").arg(&secrets).args(["config", "-q"]);
    accepts(&mut config, "docker-compose");
    // Its servers' names are those of the composition: here each is this machine.
    let balancer = std::fs::read_to_string(compose.join("haproxy.cfg")).unwrap();
    let here = ["gateway-1", "gateway-2", "api"]
        .iter()
        .fold(balancer, |text, name| text.replace(&format!("{name} {name}:8080"), &format!("{name} 127.0.0.1:8080")));
    let file = scratch.path().join("haproxy.cfg");
    std::fs::write(&file, here).unwrap();
    accepts(Command::new("haproxy").arg("-c").arg("-f").arg(&file), "haproxy");
}

#[test]
fn the_rules_are_valid_and_each_alert_fires_when_it_should() {
    promtool(&["check", "rules"], &files("deploy/prometheus/rules", ".yml"));
    promtool(&["check", "config"], &files("deploy/prometheus", ".yml"));
    promtool(&["test", "rules"], &files("deploy/prometheus/tests", ".yml"));
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() {
    let alerts = texts(&[root().join("deploy/prometheus/rules/alerts.yml")]);
    let named: BTreeSet<String> = names_after(&alerts, "runbook_url: deploy/runbooks/").map(str::to_owned).collect();
    assert_eq!(alerts.matches("- alert:").count(), alerts.matches("runbook_url:").count());
    let stem = |path: &PathBuf| path.file_stem().unwrap().to_string_lossy().into_owned();
    let written = files("deploy/runbooks", ".md").iter().map(stem).filter(|name| name != "README").collect();
    assert_eq!(named, written);
    let index = texts(&[root().join("deploy/runbooks/README.md")]);
    for path in files("deploy/runbooks", ".md").iter().filter(|path| stem(path) != "README") {
        let text = texts(std::slice::from_ref(path));
        for heading in ["## What it means", "## How to see", "## What to do", "## It is over when"] {
            assert!(text.contains(heading), "{}: {heading}", path.display());
        }
        assert!(index.contains(&format!("({}.md)", stem(path))), "{}: not in the list", path.display());
    }
}

#[test]
fn every_metric_of_the_rules_and_runbooks_is_one_that_the_program_has() {
    let mut sources = String::new();
    for crate_folder in ["aggregator", "catalog", "event-log", "http-api", "ingest-gateway", "invoicer", "rater", "."] {
        collect(&root().join(crate_folder).join("src"), &mut sources);
    }
    let mut asked = texts(&files("deploy/prometheus/rules", ".yml"));
    asked.push_str(&texts(&files("deploy/runbooks", ".md")));
    let mut seen = 0;
    for name in names_after(&asked, "tollgate_") {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let known = |name: &str| sources.contains(&format!("\"tollgate_{name}\""));
        assert!(known(base) || known(name), "no metric tollgate_{name}");
        seen += 1;
    }
    assert!(seen > 50, "{seen}");
}

fn collect(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
