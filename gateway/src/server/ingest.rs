//! Events come in: credentials, limits, the whole body, then the pipeline; 202 only after it.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::App;
use crate::api::Problem;
use crate::receive::Rejection;
use crate::record::Admission;

/// Requests a minute that a CloudEvents webhook sender is allowed in the validation handshake.
const ALLOWED_RATE: &str = "*";

/// `POST` or `PUT` of one event or a batch.
pub(super) async fn ingest(State(app): State<App>, request: Request) -> Response {
    match admit(&app, request).await {
        Ok(admission) => {
            app.pipeline.count_answer(StatusCode::ACCEPTED, "accepted");
            accepted(&admission)
        }
        Err(rejection) => {
            app.pipeline.count_answer(rejection.status(), rejection.kind());
            tracing::warn!(
                status = rejection.status().as_u16(),
                rejection.kind = rejection.kind(),
                rejection.reason = %rejection,
                "a request was rejected and nothing of it was stored"
            );
            Problem::from(rejection).into_response()
        }
    }
}

async fn admit(app: &App, request: Request) -> Result<Admission, Rejection> {
    app.ingest_tokens.check(request.headers(), request.uri().query())?;
    let Ok(_permit) = app.admissions.try_acquire() else {
        return Err(Rejection::TooBusy { retry_after_s: 1 });
    };
    let (head, body) = request.into_parts();
    let body_bytes_max = app.limits.body_bytes_max;
    let whole = Limited::new(body, body_bytes_max).collect();
    let body = match tokio::time::timeout(Duration::from_millis(app.limits.body_read_ms), whole).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            return Err(Rejection::BodyTooLarge { body_bytes_max });
        }
        Ok(Err(error)) => return Err(Rejection::BodyUnreadable { reason: error.to_string() }),
        Err(_elapsed) => return Err(Rejection::BodyTooSlow { body_read_ms: app.limits.body_read_ms }),
    };
    app.pipeline.admit(&head.headers, body).await
}

/// 202 without a body: a Go sender keeps its connection only then.
fn accepted(admission: &Admission) -> Response {
    let location = match (&admission.events[..], admission.request) {
        ([], _) => None,
        ([event], _) => Some(format!("/v1/events/{}", event.seq)),
        (_, Some(request)) => Some(format!("/v1/events?request={request}")),
        ([first, ..], None) => Some(format!("/v1/events/{}", first.seq)),
    };
    let mut headers = HeaderMap::new();
    if let Some(location) = location.and_then(|location| HeaderValue::try_from(location).ok()) {
        headers.insert(header::LOCATION, location);
    }
    (StatusCode::ACCEPTED, headers).into_response()
}

/// The validation handshake of the CloudEvents webhook specification.
pub(super) async fn handshake(headers: HeaderMap) -> Response {
    let mut answer = HeaderMap::new();
    answer.insert(header::ALLOW, HeaderValue::from_static("POST, PUT, OPTIONS"));
    if let Some(origin) = headers.get("webhook-request-origin") {
        answer.insert("webhook-allowed-origin", origin.clone());
        answer.insert("webhook-allowed-rate", HeaderValue::from_static(ALLOWED_RATE));
    }
    (StatusCode::NO_CONTENT, answer).into_response()
}
