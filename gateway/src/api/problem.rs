//! Errors as `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::receive::Rejection;
use crate::record::RecordError;

/// What went wrong, with which part of the request, and what to do.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:riposte:problem:` and the kind.
    #[serde(rename = "type")]
    type_uri: String,
    /// The status in words.
    title: String,
    /// The HTTP status code.
    status: u16,
    /// What is wrong with this request.
    detail: String,
    /// The attribute or parameter it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    attribute: Option<String>,
    #[serde(skip)]
    retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem of `kind`, in kebab-case.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            type_uri: format!("urn:riposte:problem:{kind}"),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            attribute: None,
            retry_after_s: None,
        }
    }

    /// A wrong parameter.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            attribute: Some(name.to_owned()),
            ..Self::new(StatusCode::BAD_REQUEST, "bad-parameter", detail)
        }
    }

    /// Nothing of that number.
    pub fn missing(what: &str, number: i64) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("the journal has no {what} {number}"))
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let retry_after_s = match &rejection {
            Rejection::TooBusy { retry_after_s } => Some(*retry_after_s),
            _ => None,
        };
        Self {
            attribute: rejection.to_blame().map(str::to_owned),
            retry_after_s,
            ..Self::new(rejection.status(), rejection.kind(), rejection.to_string())
        }
    }
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        tracing::error!(error = %error, "the journal could not answer a query");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "journal-unavailable",
            "the journal does not answer; try again",
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_s = self.retry_after_s;
        let body = serde_json::to_string(&self).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer, Basic realm=\"riposte\""),
            );
        }
        response
    }
}
