//! Which path leads where, and the checks that come before every route.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, Version, header};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::{App, ingest};
use crate::api::{self, Problem};
use crate::clock;
use crate::pipeline::Pipeline;

#[derive(OpenApi)]
#[openapi(info(
    title = "Riposte",
    description = "The journal of events, reactions and commits: query and replay",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

/// The OpenAPI document of the routes that `api` has.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    api_routes().split_for_parts().1
}

fn api_routes() -> OpenApiRouter<Arc<Pipeline>> {
    OpenApiRouter::with_openapi(Document::openapi()).merge(api::routes())
}

/// Every route of the gateway.
pub(super) fn router(app: App) -> Router {
    let (asked, document) = api_routes().split_for_parts();
    let asked = asked
        .route_layer(middleware::from_fn_with_state(app.clone(), require_api_token))
        .with_state(Arc::clone(&app.pipeline));
    let sent = post(ingest::ingest).put(ingest::ingest).options(ingest::handshake);
    Router::new()
        .route("/", sent.clone())
        .route("/v1/events", sent)
        .merge(asked)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(move || async move { Json(document) }))
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such path") })
        .method_not_allowed_fallback(|| async {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this path has no such method")
        })
        .layer(middleware::from_fn(well_formed))
        .with_state(app)
}

async fn require_api_token(State(app): State<App>, request: Request, next: Next) -> Response {
    // Clients of the API can set headers; a token in a query would end in logs.
    match app.api_tokens.check(request.headers(), None) {
        Ok(()) => next.run(request).await,
        Err(rejection) => Problem::from(rejection).into_response(),
    }
}

/// RFC 9112 asks for exactly one `Host`; a transfer coding other than `chunked` would reach the
/// decoder undecoded.
async fn well_formed(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let refuse = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail).into_response();
    if request.version() <= Version::HTTP_11 {
        let mut hosts = headers.get_all(header::HOST).iter();
        let first = hosts.next();
        let missing = first.is_none() && request.version() == Version::HTTP_11;
        let invalid = first.is_some_and(|host| host.to_str().ok().is_none_or(|host| !host_is_valid(host)));
        if missing || invalid || hosts.next().is_some() {
            return refuse("the request needs exactly one valid Host header");
        }
    }
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return refuse("the only transfer coding that is understood is chunked");
    }
    next.run(request).await
}

fn host_is_valid(host: &str) -> bool {
    host.is_empty()
        || host
            .parse::<http::uri::Authority>()
            .is_ok_and(|authority| !host.contains('@') && !authority.host().is_empty())
}

/// Ready means that events can be stored. A repository that is away is no reason to refuse them.
async fn ready(State(app): State<App>) -> Response {
    match app.pipeline.journal.head().await {
        Ok(_) => {
            let mut text = "ready\n".to_owned();
            for pause in app.pipeline.pauses.held() {
                let (by, since) = (pause.by.as_str(), clock::rfc3339(pause.since_us));
                text.push_str(&format!("paused, so nothing is committed: by {by} since {since}\n"));
            }
            // The kind alone: whoever asks here has shown no token.
            if let Some((kind, _)) = app.pipeline.hold.because() {
                text.push_str(&format!("reactions wait, because the desired state cannot be read: {kind}\n"));
            }
            let told = [
                ("parked, because they keep failing", app.pipeline.parked()),
                ("not the ones configured", app.pipeline.catalog().stale().map(str::to_owned).collect()),
            ];
            for (what, names) in told.into_iter().filter(|(_, names)| !names.is_empty()) {
                text.push_str(&format!("{what}: {}\n", names.join(", ")));
            }
            text.into_response()
        }
        Err(error) => {
            tracing::warn!(error = %error, "not ready: the journal does not answer");
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "journal-unavailable",
                "the journal does not answer",
            )
            .into_response()
        }
    }
}

async fn metrics(State(app): State<App>) -> Response {
    if let Err(error) = app.pipeline.queue().await {
        tracing::warn!(error = %error, "the metrics of the queue are old: the journal does not answer");
    }
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, content_type)], app.pipeline.metrics.encode()).into_response()
}
