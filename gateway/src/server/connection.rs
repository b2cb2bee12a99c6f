//! One connection: how long it may stay without a request, and how it ends.
//!
//! hyper limits the time for a request's headers on HTTP/1 only, and only once a byte has come. Here
//! every connection has the same limit, whatever it speaks and even if it says nothing.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::Limits;
use crate::shutdown::Shutdown;

/// How long a peer of HTTP/2 may leave a ping unanswered.
const PING_S: u64 = 20;

/// Serves requests until the peer or the gateway ends the connection, or none comes in time.
pub(super) async fn serve(stream: TcpStream, router: axum::Router, limits: Limits, mut shutdown: Shutdown) {
    let _no_delay_is_a_hint = stream.set_nodelay(true).is_err();
    let (open, mut opened) = watch::channel(0);
    let service = Counted { service: TowerToHyperService::new(router), open };
    let builder = builder(&limits);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shutdown.wait() => None,
        () = without_request(&mut opened, Duration::from_millis(limits.header_read_ms)) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            // The requests that are open are answered still.
            connection.as_mut().graceful_shutdown();
            let drained = tokio::time::timeout(Duration::from_millis(limits.drain_ms), connection).await;
            drained.unwrap_or_else(|_| {
                tracing::debug!(
                    drain_ms = limits.drain_ms,
                    "a connection was cut at the end of the drain time"
                );
                Ok(())
            })
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %error, "a connection ended with an error");
    }
}

fn builder(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(limits.header_read_ms))
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(PING_S))
        .keep_alive_timeout(Duration::from_secs(PING_S));
    builder
}

/// Returns when no request was open for `longest`.
async fn without_request(open: &mut watch::Receiver<usize>, longest: Duration) {
    loop {
        let is_open = async { open.wait_for(|open| *open > 0).await.is_ok() };
        match tokio::time::timeout(longest, is_open).await {
            Ok(true) => {}
            Err(_elapsed) => return,
            // The connection has ended, and tells so itself.
            Ok(false) => return std::future::pending().await,
        }
        let is_idle = open.wait_for(|open| *open == 0).await.is_ok();
        if !is_idle {
            return std::future::pending().await;
        }
    }
}

/// A service that knows how many of its requests are open.
struct Counted {
    service: TowerToHyperService<axum::Router>,
    open: watch::Sender<usize>,
}

/// One open request.
struct Open(watch::Sender<usize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}

type Answer = <TowerToHyperService<axum::Router> as Service<hyper::Request<Incoming>>>::Response;
type Fault = <TowerToHyperService<axum::Router> as Service<hyper::Request<Incoming>>>::Error;

impl Service<hyper::Request<Incoming>> for Counted {
    type Response = Answer;
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        self.open.send_modify(|open| *open += 1);
        let (open, answer) = (Open(self.open.clone()), self.service.call(request));
        Box::pin(async move {
            let _open = open;
            answer.await
        })
    }
}
