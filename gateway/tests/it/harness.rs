//! What the tests run against: real parts where they can run, servers that behave like them elsewhere.

pub(crate) mod api_server;
pub(crate) mod connection;
pub(crate) mod fault;
pub(crate) mod fleet;
pub(crate) mod git;
pub(crate) mod github;
pub(crate) mod guest;
pub(crate) mod http;
pub(crate) mod process;
pub(crate) mod proposal;
pub(crate) mod sandbox;

pub(crate) use connection::{Answer, Connection};
pub(crate) use fleet::Fleet;
pub(crate) use process::Process;

use std::path::Path;

/// A file of `tests/it/fixtures`, byte for byte.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The alert of a shell in a pod, as Falco words it.
pub(crate) fn shell_in(namespace: &str, pod: &str) -> String {
    format!(
        "{{\"output\":\"A shell in {pod}\",\"priority\":\"Notice\",\"rule\":\"Terminal shell in container\",\
         \"time\":\"2026-10-07T07:21:01.871149301Z\",\"source\":\"syscall\",\"tags\":[\"shell\"],\"output_fields\":{{\
         \"evt.time\":1791357661871149301,\"k8s.ns.name\":\"{namespace}\",\"k8s.pod.name\":\"{pod}\"}}}}"
    )
}

/// A whole request in binary mode, as falcosidekick sends it.
pub(crate) fn cloudevent(id: &str, body: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nHost: riposte\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: {}\r\n\
         Ce-Id: {id}\r\nCe-Source: https://falco.org\r\nCe-Specversion: 1.0\r\n\
         Ce-Type: falco.rule.output.v1\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Changes a journal beside the gateway, which must not run.
pub(crate) fn execute(data_dir: &Path, sql: &'static str) {
    use sqlx::Connection;
    let url = format!("sqlite://{}", data_dir.join("riposte.db").display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.expect("the journal opens");
        sqlx::query(sql).execute(&mut connection).await.expect("the journal is changed");
        connection.close().await.expect("the journal closes");
    });
}
