//! A small HTTP server for the harness: one handler, every connection its own task, stopped on drop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, rustls};

use super::fixture;

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the test cuts the connection")]
pub(crate) struct Cut;

/// Who a server behind TLS says that it is; it can become another one while it runs.
#[derive(Clone)]
pub(crate) struct Identity(Arc<Mutex<TlsAcceptor>>);

impl Identity {
    /// A fixture with a certificate and its key.
    pub(crate) fn new(fixture: &str) -> Self {
        Self(Arc::new(Mutex::new(acceptor(fixture))))
    }

    /// From the next connection on.
    pub(crate) fn become_another(&self, fixture: &str) {
        *self.0.lock().unwrap() = acceptor(fixture);
    }
}

fn acceptor(name: &str) -> TlsAcceptor {
    let pem = fixture(name);
    let certificate = CertificateDer::from_pem_slice(&pem).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&pem).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    TlsAcceptor::from(Arc::new(config))
}

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
        Self::start_as(handle, None).await
    }

    /// The same behind TLS if there is an identity.
    pub(crate) async fn start_as<H, F>(handle: H, identity: Option<Identity>) -> Self
    where
        H: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<Full<Bytes>>, Cut>> + Send + 'static,
    {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handle = handle.clone();
                let tls = identity.as_ref().map(|identity| identity.0.lock().unwrap().clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, handle).await,
                        // A client that does not trust the server goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, handle).await;
                            }
                        }
                    }
                });
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

async fn serve<S, H, F>(stream: S, handle: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Bytes>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<Full<Bytes>>, Cut>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let handle = handle.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
            handle(Request::from_parts(parts, body)).await
        }
    });
    // A connection that is cut is what some tests are for.
    let _ended =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
