//! The HTTP server: connections, their limits, and the way out.
//!
//! hyper leaves to the program what makes a server safe on a hostile network: permits for
//! connections, time limits for all of a connection's life, the checks of `Host` and
//! `Transfer-Encoding`.
//! What a route answers is `api`'s and `server/ingest`'s business.

mod connection;
mod ingest;
mod routes;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::pipeline::Pipeline;
use crate::receive::Tokens;
use crate::shutdown::Shutdown;

pub use routes::openapi;

/// Whether senders and clients must show a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    /// Yes, where token files are given; listening beyond loopback needs them.
    #[default]
    Tokens,
    /// No, in so many words.
    None,
}

/// Where and how the gateway listens.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Config {
    /// Address and port.
    pub listen: SocketAddr,
    /// Whether tokens are asked for.
    pub auth: Auth,
    /// Files with one token each; any of them lets a sender in.
    pub ingest_token_files: Vec<PathBuf>,
    /// Files with one token each; any of them lets a client ask and replay.
    pub api_token_files: Vec<PathBuf>,
    /// The server's limits.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            auth: Auth::Tokens,
            ingest_token_files: Vec::new(),
            api_token_files: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// The server's limits.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// The largest request body, in bytes.
    pub body_bytes_max: usize,
    /// The longest time for a request's headers, and that a connection stays open without a request,
    /// in milliseconds.
    pub header_read_ms: u64,
    /// The longest time for a request's body, in milliseconds.
    pub body_read_ms: u64,
    /// The most connections at a time.
    pub connections_max: usize,
    /// The most ingest requests at a time; more are answered 429.
    pub admissions_max: usize,
    /// The longest time that open requests have at shutdown, in milliseconds.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes_max: 1 << 20,
            header_read_ms: 5_000,
            body_read_ms: 10_000,
            connections_max: 1_024,
            admissions_max: 256,
            drain_ms: 10_000,
        }
    }
}

/// What every route can reach.
#[derive(Debug, Clone)]
pub struct App {
    /// The path of an event.
    pub pipeline: Arc<Pipeline>,
    /// Who may send events.
    pub ingest_tokens: Arc<Tokens>,
    /// Who may ask and replay.
    pub api_tokens: Arc<Tokens>,
    /// The server's limits.
    pub limits: Limits,
    /// One permit an ingest request.
    pub admissions: Arc<Semaphore>,
}

impl App {
    /// The routes' state.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, ingest_tokens: Tokens, api_tokens: Tokens, limits: Limits) -> Self {
        let admissions = Arc::new(Semaphore::new(limits.admissions_max));
        Self {
            pipeline,
            ingest_tokens: Arc::new(ingest_tokens),
            api_tokens: Arc::new(api_tokens),
            limits,
            admissions,
        }
    }
}

/// Accepts connections until shutdown, then gives the open requests `drain_ms` to end.
pub async fn serve(listener: TcpListener, app: App, mut shutdown: Shutdown) {
    let limits = app.limits.clone();
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let router = routes::router(app);
    let mut connections = JoinSet::new();
    loop {
        let (permit, stream) = tokio::select! {
            () = shutdown.wait() => break,
            accepted = accept(&listener, &permits) => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        // A permit that became free because of the shutdown may be seen before the shutdown is.
        if shutdown.is_ending() {
            break;
        }
        let served = connection::serve(stream, router.clone(), limits.clone(), shutdown.clone());
        connections.spawn(async move {
            let _permit = permit;
            served.await;
        });
        while connections.try_join_next().is_some() {}
    }
    connections.join_all().await;
}

/// The permit comes first: a connection beyond the limit waits in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> std::io::Result<(OwnedSemaphorePermit, TcpStream)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((permit, stream))
}
