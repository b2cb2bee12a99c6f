//! Reads a kubeconfig: where the API server is, whom to trust, and what to show.
//!
//! Tokens and client certificates only. What would run a program, trust anybody, or take a way that
//! this client does not know is refused by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use hyper_rustls::ConfigBuilderExt as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// The longest kubeconfig, certificate or token, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How an API server is reached.
#[derive(Debug)]
pub(super) struct Access {
    /// Its address.
    pub(super) server: String,
    /// Whom to trust, and with which certificate.
    pub(super) tls: ClientConfig,
    /// The header with a token.
    pub(super) authorization: Option<HeaderValue>,
}

impl Access {
    /// The current context of a kubeconfig.
    ///
    /// # Errors
    /// What is wrong with it, or cannot be used.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = read(path)?;
        let text = std::str::from_utf8(&text).map_err(|_| "it is no text".to_owned())?;
        let config: Value = serde_yaml::from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
        let context = config["current-context"].as_str().unwrap_or_default();
        let context = named(&config, "contexts", "context", context)?;
        let cluster = named(&config, "clusters", "cluster", context["cluster"].as_str().unwrap_or_default())?;
        let user = named(&config, "users", "user", context["user"].as_str().unwrap_or_default())?;
        refuse(cluster, "cluster", &["insecure-skip-tls-verify", "proxy-url", "tls-server-name"])?;
        refuse(
            user,
            "user",
            &["exec", "auth-provider", "username", "password", "as", "as-groups", "as-uid"],
        )?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let server = cluster["server"].as_str().unwrap_or_default().to_owned();
        check_server(&server)?;
        let tls = tls(folder, cluster, user)?;
        let authorization = token(folder, user)?;
        Ok(Self { server, tls, authorization })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(format!("{} is longer than {FILE_BYTES_MAX} bytes", path.display()));
    }
    std::fs::read(path).map_err(failed)
}

fn named<'a>(config: &'a Value, list: &str, field: &str, name: &str) -> Result<&'a Value, String> {
    let entries = config[list].as_array().into_iter().flatten();
    let found = entries.filter(|entry| entry["name"] == name).find_map(|entry| entry.get(field));
    found.ok_or_else(|| format!("it has no {field} called {name:?} under {list}"))
}

fn refuse(of: &Value, what: &str, fields: &[&str]) -> Result<(), String> {
    let is_there = |field: &&&str| !matches!(of.get(**field), None | Some(Value::Null | Value::Bool(false)));
    match fields.iter().find(is_there) {
        Some(field) => Err(format!(
            "its {what} has {field}, which is not supported: use a certificate authority with a token or a client \
             certificate"
        )),
        None => Ok(()),
    }
}

/// Without TLS a server is reached on this machine only, as that of `kubectl proxy`.
fn check_server(server: &str) -> Result<(), String> {
    let url = url::Url::parse(server).map_err(|error| format!("its server {server:?} is no URL: {error}"))?;
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if loopback => Ok(()),
        _ => Err(format!("its server {server:?} is neither https nor http on a loopback address")),
    }
}

/// What stands in a field in base64, or in the file that another one names.
fn material(folder: &Path, of: &Value, field: &str) -> Result<Option<Vec<u8>>, String> {
    if let Some(inline) = of[format!("{field}-data")].as_str().filter(|inline| !inline.is_empty()) {
        return STANDARD
            .decode(inline)
            .map(Some)
            .map_err(|error| format!("its {field}-data is no base64: {error}"));
    }
    of[field].as_str().filter(|path| !path.is_empty()).map(|path| read(&beside(folder, path))).transpose()
}

/// Paths of a kubeconfig begin where it stands.
fn beside(folder: &Path, path: &str) -> PathBuf {
    folder.join(path)
}

fn tls(folder: &Path, cluster: &Value, user: &Value) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let certificates = |field: &str, pem: &[u8]| {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let found = found.map_err(|error| format!("its {field} is no certificate: {error}"))?;
        if found.is_empty() { Err(format!("its {field} has no certificate")) } else { Ok(found) }
    };
    let builder = match material(folder, cluster, "certificate-authority")? {
        None => {
            builder.with_native_roots().map_err(|error| format!("the machine's certificates: {error}"))?
        }
        Some(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("certificate-authority", &pem)? {
                roots.add(certificate).map_err(|error| format!("its certificate-authority: {error}"))?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let certificate = material(folder, user, "client-certificate")?;
    let key = material(folder, user, "client-key")?;
    match (certificate, key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(certificate), Some(key)) => {
            let key = PrivateKeyDer::from_pem_slice(&key);
            let key = key.map_err(|error| format!("its client-key is no private key: {error}"))?;
            let chain = certificates("client-certificate", &certificate)?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("its client-certificate: {error}"))
        }
        _ => Err("its user has one of client-certificate and client-key, and needs both".to_owned()),
    }
}

/// A token of the user, from its file if it has one: that is how it is renewed.
fn token(folder: &Path, user: &Value) -> Result<Option<HeaderValue>, String> {
    let token = match user["tokenFile"].as_str().filter(|path| !path.is_empty()) {
        Some(path) => {
            let text = String::from_utf8(read(&beside(folder, path))?);
            Some(text.map_err(|_| "its tokenFile is no text".to_owned())?)
        }
        None => user["token"].as_str().map(str::to_owned),
    };
    let Some(token) = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()) else {
        return Ok(None);
    };
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut header = header.map_err(|_| "its token cannot be sent in a header".to_owned())?;
    header.set_sensitive(true);
    Ok(Some(header))
}
