//! A small HTTP server for the harness: one handler, every connection its own task, stopped on drop.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the test cuts the connection")]
pub(crate) struct Cut;

/// A server on a free port of the loopback.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accept: JoinHandle<()>,
}

impl Server {
    /// Answers each request, whose body has been read, with what `handle` makes of it.
    pub(crate) async fn start<H, F>(handle: H) -> Self
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<Full<Bytes>>, Cut>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handle = handle.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let handle = handle.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
                        handle(Request::from_parts(parts, body)).await
                    }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { address, accept }
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}
