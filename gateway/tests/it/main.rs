//! The one integration binary: a file per stage, through the public door.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

mod commit;
mod git_remote;
mod github_remote;
mod harness;
