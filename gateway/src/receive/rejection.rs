//! Why a request was not taken: nothing of it is stored.

use http::StatusCode;

/// A request that is refused, with the attribute that is to blame and the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// No token, or a wrong one.
    #[error("the request has no token, or not the right one")]
    Unauthorized,
    /// An attribute breaks a rule.
    #[error("{name} {reason}")]
    Attribute {
        /// The attribute.
        name: String,
        /// The rule it breaks.
        reason: String,
    },
    /// The body is not what its media type says.
    #[error("the body {reason}")]
    Body {
        /// What is wrong with it.
        reason: String,
    },
    /// A format that is not understood.
    #[error("{media_type} is not understood: {hint}")]
    UnknownFormat {
        /// What came.
        media_type: String,
        /// What to do.
        hint: String,
    },
    /// The body is over the limit.
    #[error("the body is larger than {body_bytes_max} bytes")]
    BodyTooLarge {
        /// The limit.
        body_bytes_max: usize,
    },
    /// The body did not come in time.
    #[error("the body did not come within {body_read_ms} ms")]
    BodyTooSlow {
        /// The limit.
        body_read_ms: u64,
    },
    /// The connection broke, or the body's framing is wrong.
    #[error("the body could not be read: {reason}")]
    BodyUnreadable {
        /// What the connection said.
        reason: String,
    },
    /// The name of a stored event, with other content.
    #[error("event {id:?} of source {source_name:?} is already stored as {seq} with other content")]
    Conflict {
        /// The event's `source`.
        source_name: String,
        /// The event's `id`.
        id: String,
        /// Where it is stored.
        seq: i64,
    },
    /// More than the gateway takes at a time.
    #[error("too many events at a time; try again in {retry_after_s} s")]
    TooBusy {
        /// When to try again.
        retry_after_s: u64,
    },
    /// The journal cannot store it.
    #[error("the event could not be stored; try again")]
    Unavailable,
}

impl Rejection {
    /// An attribute that breaks a rule.
    pub(super) fn attribute(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Attribute { name: name.into(), reason: reason.into() }
    }

    /// A body that is not what it should be.
    pub(super) fn body(reason: impl Into<String>) -> Self {
        Self::Body { reason: reason.into() }
    }

    /// The HTTP status to answer with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Attribute { .. } | Self::Body { .. } | Self::BodyUnreadable { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::UnknownFormat { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooBusy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The kind in kebab-case, for metrics and problem types.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::Attribute { .. } => "bad-attribute",
            Self::Body { .. } => "bad-body",
            Self::UnknownFormat { .. } => "unknown-format",
            Self::BodyTooLarge { .. } => "body-too-large",
            Self::BodyTooSlow { .. } => "body-too-slow",
            Self::BodyUnreadable { .. } => "body-unreadable",
            Self::Conflict { .. } => "conflict",
            Self::TooBusy { .. } => "too-busy",
            Self::Unavailable => "unavailable",
        }
    }

    /// The attribute that is to blame, if one is.
    #[must_use]
    pub fn to_blame(&self) -> Option<&str> {
        match self {
            Self::Attribute { name, .. } => Some(name),
            Self::Conflict { .. } => Some("id"),
            _ => None,
        }
    }
}
