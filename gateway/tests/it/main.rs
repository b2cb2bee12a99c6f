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
mod grants;
mod semantics;
mod versions;
mod create;
mod crd;
mod delete;
mod draft;
mod documents;
mod dry_run;
mod index;
mod lists;
mod edit;
mod strategic;
mod commit;
mod git_remote;
mod signing;
mod github_remote;
mod github_app;
mod github_parts;
mod api;
mod cli;
mod plugin_cli;
mod rules_import;

mod pipeline;
mod burst;
mod faults;
mod repeats;
mod kustomize;
mod overlay;
mod flux;
mod pause;
mod propose;
mod takeback;
mod takeback_journal;
mod expiry;
mod overridden;
mod reload;
mod concurrency;
mod crash;
mod tidy;
