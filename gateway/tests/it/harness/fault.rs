//! What a server of the harness can do instead of answering, once or until it is healed.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::http::Cut;

/// What a request meets instead of its answer.
#[derive(Clone)]
pub(crate) enum Fault {
    /// This answer; nothing is done.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: String },
    /// The connection is cut; nothing is done.
    CutBefore,
    /// The request is carried out, then the connection is cut.
    CutAfter,
    /// The request is carried out, then this is the answer.
    AnswerAfter { status: u16, body: String },
    /// No answer ever; nothing is done.
    Silence,
    /// The request is carried out, and there is no answer ever.
    SilenceAfter,
    /// The request is carried out, somebody does this, then the connection is cut.
    CutAfterwards(Arc<dyn Fn() + Send + Sync>),
    /// Somebody does this first; then the request is carried out.
    Meanwhile(Arc<dyn Fn() + Send + Sync>),
}

/// The faults of a server, each with a piece of the request that it is for.
#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Planned>>);

struct Planned {
    piece: &'static str,
    fault: Fault,
    stays: bool,
}

impl Faults {
    /// What the next request meets that has this in its line.
    pub(crate) fn next_at(&self, piece: &'static str, fault: Fault) {
        self.0.lock().unwrap().push(Planned { piece, fault, stays: false });
    }

    /// What every such request meets until the server is healed.
    pub(crate) fn stand(&self, piece: &'static str, fault: Fault) {
        self.0.lock().unwrap().push(Planned { piece, fault, stays: true });
    }

    /// Nothing is wrong any more.
    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().clear();
    }

    /// Whether no fault is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap().is_empty()
    }

    /// The fault of a request: its method, its path and what else there is of it, in one line.
    pub(crate) fn take(&self, line: &str) -> Option<Fault> {
        let mut faults = self.0.lock().unwrap();
        let at = faults.iter().position(|planned| line.contains(planned.piece))?;
        Some(if faults[at].stays { faults[at].fault.clone() } else { faults.remove(at).fault })
    }
}

impl Fault {
    /// An answer in JSON with GitHub's `message`.
    pub(crate) fn refusal(status: u16, headers: &[(&'static str, &str)], message: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let body = serde_json::json!({ "message": message, "status": status.to_string() }).to_string();
        Self::Answer { status, headers, body }
    }
}

/// Carries a request out, as far as its fault lets it.
pub(crate) async fn meet<F>(fault: Option<Fault>, carry_out: F) -> Result<Response<Full<Bytes>>, Cut>
where
    F: Future<Output = Response<Full<Bytes>>>,
{
    match &fault {
        Some(Fault::Answer { status, headers, body }) => return Ok(respond(*status, headers, body.clone())),
        Some(Fault::CutBefore) => return Err(Cut),
        Some(Fault::Silence) => pending().await,
        Some(Fault::Meanwhile(act)) => act(),
        _ => {}
    }
    let answer = carry_out.await;
    match fault {
        Some(Fault::CutAfter) => Err(Cut),
        Some(Fault::CutAfterwards(act)) => {
            act();
            Err(Cut)
        }
        Some(Fault::SilenceAfter) => pending().await,
        Some(Fault::AnswerAfter { status, body }) => Ok(respond(status, &[], body)),
        _ => Ok(answer),
    }
}

/// An answer in JSON.
pub(crate) fn respond(
    status: u16,
    headers: &[(&'static str, String)],
    body: String,
) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Full::from(body)).unwrap()
}
