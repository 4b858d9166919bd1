//! The program itself: exit status, files, and a deletion planted behind the back of a run that had been fine.

use crate::store::Faults;
use crate::system::System;
use std::path::Path;
use std::process::{Command, Output};

async fn load_tests(args: Vec<String>) -> Output {
    let run = move || Command::new(env!("CARGO_BIN_EXE_load-tests")).args(args).output().unwrap();
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn run_args(system: &System, folder: &Path) -> Vec<String> {
    let text = format!(
        "run --profile steady --rate 4000 --duration 500ms --batch 100 --senders 4 --customers 10 --no-probe --settle 300ms \
         --admin-secret s --samples 50 --url {} --report {}",
        system.url,
        folder.display()
    );
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

fn audit_args(folder: &Path) -> Vec<String> {
    let state = folder.join("state.json").display().to_string();
    ["audit", "--settle", "300ms", "--state", &state].map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_planted_after_a_good_run_is_found_by_a_later_audit() {
    let system = System::start(Faults::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let run = load_tests(run_args(&system, folder.path())).await;
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    for file in ["report.json", "report.html", "state.json"] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    let good = load_tests(audit_args(folder.path())).await;
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let name = system.store().name_of_arrival(321);
    system.store().delete(&name);
    let bad = load_tests(audit_args(folder.path())).await;
    assert_eq!(bad.status.code(), Some(1), "{bad:?}");
    let text = String::from_utf8(bad.stdout).unwrap();
    assert!(text.contains(&name) && text.contains("Lost") && text.contains("NOT everything"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_told_no_folder_leaves_its_report_where_the_later_audit_looks_for_it() {
    let system = System::start(Faults::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_owned();
    let in_folder = move |args: Vec<String>| {
        let directory = directory.clone();
        let run =
            move || Command::new(env!("CARGO_BIN_EXE_load-tests")).current_dir(directory).args(args).output().unwrap();
        tokio::task::spawn_blocking(run)
    };
    let all = run_args(&system, folder.path());
    let told = all.iter().position(|argument| argument == "--report").unwrap();
    let run = in_folder(all[..told].to_vec()).await.unwrap();
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    let page = std::fs::read_to_string(folder.path().join("load-tests-report/report.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("<script") && !page.contains("<link"), "not by itself");
    let audited = in_folder(["audit", "--settle", "300ms"].map(str::to_owned).to_vec()).await.unwrap();
    assert_eq!(audited.status.code(), Some(0), "{audited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_during_the_run_ends_with_status_1_and_no_server_with_2() {
    let system = System::start(Faults { loses: Some(5), ..Faults::default() }).await;
    let folder = tempfile::tempdir().unwrap();
    let lost = load_tests(run_args(&system, folder.path())).await;
    assert_eq!(lost.status.code(), Some(1), "{lost:?}");
    let nobody = "run --api-key k --url http://127.0.0.1:9 --duration 1s";
    let refused = load_tests(nobody.split(' ').map(str::to_owned).collect()).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let system = System::start(Faults::default()).await;
    let folder = tempfile::tempdir().unwrap();
    load_tests(run_args(&system, folder.path())).await;
    let mode = std::fs::metadata(folder.path().join("state.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
