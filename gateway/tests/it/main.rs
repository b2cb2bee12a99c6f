//! The one integration binary: a file per stage, through the public door.

mod commit;
mod git_remote;
mod github_remote;
mod harness;
