//! The one integration binary: a file per stage, through the public door.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

mod harness;

mod receive;
mod server;
mod record;
mod sandbox;
mod compiled;
mod wasi;
mod hostile;
mod validate;
mod create;
mod crd;
mod delete;
mod documents;
mod edit;
mod commit;
mod git_remote;
mod github_remote;
mod api;
mod cli;
mod plugin_cli;
mod rules_import;

mod pipeline;
mod repeats;
mod kustomize;
mod overlay;
mod flux;
mod pause;
mod propose;
mod reload;
mod concurrency;
mod crash;
mod tidy;
