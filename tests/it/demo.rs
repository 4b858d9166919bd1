//! `tollgate up --demo`: what a new user sees first.

use crate::harness::Server;
use crate::log::{borrowed, streaming};
use crate::wire::Caller;
use std::process::Command;
use std::time::Duration;

async fn wait_for_demo(server: &Server, starts: usize) -> String {
    for _ in 0..2_400 {
        let log = server.log();
        assert!(!log.contains("the demo did not get to its end"), "{log}");
        if log.matches("Ctrl-C stops it").count() == starts {
            return log;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the demo did not end:\n{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_bills_the_trace_prints_commands_that_work_and_a_second_start_bills_nothing_again() {
    let mut server = Server::start(&["--demo"]).await;
    let log = wait_for_demo(&server, 1).await;
    assert!(log.contains("Streamed 19,366 requests as 58,098 events"), "{log}");
    assert!(log.contains("(4 invoices made by this start)"), "{log}");
    let key = log.split("Bearer ").nth(1).unwrap().split('\'').next().unwrap().to_string();
    let caller = Caller::key(&server, &key);
    let invoices = caller.all("/v1/invoices/").await;

    let commands: Vec<&str> = log.lines().map(str::trim).filter(|line| line.starts_with("curl ")).collect();
    assert_eq!(commands.len(), 3, "{log}");
    for command in commands {
        let ended = Command::new("bash").args(["-c", &format!("{command} --fail")]).output().unwrap();
        let answer = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success(), "{command}\n{answer}{}", String::from_utf8_lossy(&ended.stderr));
        assert!(answer.starts_with(['[', '{']), "{command}\n{answer}");
    }

    assert_eq!(server.terminate(), Some(0), "{}", server.log());
    server.restart().await;
    let log = wait_for_demo(&server, 2).await;
    assert!(log.contains("(0 invoices made by this start)"), "{log}");
    assert_eq!(caller.all("/v1/invoices/").await.len(), invoices.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_the_same_when_its_events_go_through_the_log() {
    let mut server = Server::start(&[&borrowed(&streaming())[..], &["--demo"]].concat()).await;
    let log = wait_for_demo(&server, 1).await;
    assert!(log.contains("Streamed 19,366 requests as 58,098 events"), "{log}");
    assert!(log.contains("(4 invoices made by this start)") && log.contains("58,098"), "{log}");
    assert_eq!(server.terminate(), Some(0), "{}", server.log());
}
