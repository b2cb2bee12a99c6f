//! `riposte audit`: is the journal what it was?

use std::io::Write;

use clap::Args;
use http::Method;

use super::CommandError;
use super::client::Connection;
use super::events::text;

/// Compute the journal's hash chain anew.
#[derive(Debug, Args)]
pub(super) struct Audit {
    #[command(flatten)]
    connection: Connection,
}

impl Audit {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let chain = self.connection.ask(Method::GET, "/v1/audit", None).await?.body;
        let journal = text(&chain, "journal");
        if chain["intact"].as_bool() == Some(true) {
            writeln!(
                out,
                "journal {journal} is intact: {} records, head {}",
                chain["position"],
                text(&chain, "head")
            )?;
            return Ok(());
        }
        let reason = text(&chain, "reason");
        Err(CommandError::Negative(format!(
            "journal {journal} breaks at record {}: {reason}",
            chain["position"]
        )))
    }
}
