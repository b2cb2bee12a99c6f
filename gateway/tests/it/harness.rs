//! What the tests run against: real parts where they can run, servers that behave like them elsewhere.

pub(crate) mod git;
pub(crate) mod github;
pub(crate) mod http;
