//! Where the desired state lies and how to get in.
//!
//! Secrets are named here by their files and are read at each use, so that a rotated secret needs no
//! restart. Nothing here opens a connection.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::remote_error::RepositoryError;
use crate::snapshot::ClusterFolder;

/// The user name that forges take beside a token; GitHub asks for this one beside an App's.
pub(super) const TOKEN_USERNAME: &str = "x-access-token";

/// The desired-state repository.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// `https://`, `http://`, `ssh://` or `file://`, without a password in it.
    pub url: String,
    /// The branch that is read and written.
    #[serde(default = "default_branch")]
    pub branch: String,
    /// The folder that holds the manifests; the whole repository if empty.
    #[serde(default)]
    pub path: String,
    /// Credentials; none for a repository that is open or local.
    #[serde(default)]
    pub auth: Option<Auth>,
    /// Commit through GitHub's API, which signs the commits. Assumed for an `https://` URL on github.com.
    #[serde(default)]
    pub github: Option<GitHubConfig>,
    /// Author and committer of plain Git commits. GitHub's API names the owner of the token instead.
    #[serde(default)]
    pub committer: Committer,
    /// Sign plain Git commits. GitHub's API signs by itself.
    #[serde(default)]
    pub signing: Option<Signing>,
    /// What one repository may ask of the gateway.
    #[serde(default)]
    pub limits: Limits,
}

/// One of `tokenFile` (http, https), `app` (GitHub), and `sshKeyFile` with `knownHostsFile` (ssh).
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Auth {
    /// A file with a token or password.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The user name that goes with the token; `x-access-token` by default, which most forges take.
    #[serde(default)]
    pub username: Option<String>,
    /// A GitHub App instead of a token.
    #[serde(default)]
    pub app: Option<AppConfig>,
    /// A private key without a passphrase.
    #[serde(default)]
    pub ssh_key_file: Option<PathBuf>,
    /// The host keys to trust, as `ssh-keyscan` prints them (names in clear, not hashed).
    #[serde(default)]
    pub known_hosts_file: Option<PathBuf>,
}

/// A GitHub App that is installed on the repository.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AppConfig {
    /// The App's id, from its page.
    pub id: u64,
    /// The id of its installation; looked up by the repository unless given.
    #[serde(default)]
    pub installation_id: Option<u64>,
    /// A file with a private key of the App, in PEM as GitHub makes it.
    pub key_file: PathBuf,
}

/// GitHub, or a GitHub Enterprise server.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitHubConfig {
    /// The base of the REST API; `https://<host>/api/v3` for GitHub Enterprise.
    #[serde(default = "default_api_url")]
    pub api_url: String,
    /// `owner/name`.
    pub repository: String,
    /// How much is asked of it.
    #[serde(default)]
    pub budget: BudgetConfig,
}

/// The calls that may be made to change something at GitHub, which allows 80 in a minute and 500 in an
/// hour.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct BudgetConfig {
    /// Within a minute.
    pub per_minute: u32,
    /// Within an hour.
    pub per_hour: u32,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self { per_minute: 60, per_hour: 400 }
    }
}

/// Who plain Git commits are by.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Committer {
    /// A name.
    pub name: String,
    /// A mail address.
    pub email: String,
}

impl Default for Committer {
    fn default() -> Self {
        Self { name: "riposte".to_owned(), email: "riposte@localhost".to_owned() }
    }
}

/// How plain Git commits are signed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    /// The kind of key.
    pub format: SignatureFormat,
    /// A private key without a passphrase, in OpenSSH's format or as gpg exports it in armor: Ed25519, ECDSA
    /// (P-256, P-384) or RSA.
    pub key_file: PathBuf,
}

/// What git calls `gpg.format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SignatureFormat {
    /// An SSH key.
    Ssh,
    /// An OpenPGP key of version 4.
    Openpgp,
}

/// What one repository may ask of the gateway.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// The largest manifest file, in bytes.
    pub file_bytes_max: usize,
    /// The most manifest files.
    pub files_max: usize,
    /// All manifest files together, in bytes.
    pub total_bytes_max: usize,
    /// All files of one commit together, in bytes.
    pub commit_bytes_max: usize,
    /// How many commits are searched for one of ours.
    pub walk_commits_max: usize,
    /// The longest wait for a server's next bytes, and for one call of an API, in milliseconds.
    pub fetch_ms: u32,
    /// The longest time for a whole fetch, in milliseconds.
    pub fetch_total_ms: u32,
    /// The most that one fetch may bring, in bytes. The first one brings the branch's whole history.
    pub fetch_bytes_max: usize,
    /// The longest wait of our own choice before a reaction is tried again, in milliseconds. A server
    /// that asks for a longer one gets it.
    pub retry_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes_max: 1024 * 1024,
            files_max: 50_000,
            total_bytes_max: 64 * 1024 * 1024,
            commit_bytes_max: 8 * 1024 * 1024,
            walk_commits_max: 10_000,
            fetch_ms: 30_000,
            fetch_total_ms: 600_000,
            fetch_bytes_max: 1024 * 1024 * 1024,
            retry_ms: 300_000,
        }
    }
}

impl Limits {
    /// `fetch_ms` as a duration.
    pub(super) fn fetch(&self) -> Duration {
        Duration::from_millis(u64::from(self.fetch_ms))
    }
}

/// What remains of a configuration once it has been checked.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) url: Url,
    pub(super) branch: String,
    pub(super) path: String,
    pub(super) access: Access,
    pub(super) github: Option<GitHubConfig>,
    pub(super) committer: Committer,
    pub(super) signing: Option<Signing>,
    pub(super) limits: Limits,
    /// The clusters that the repository serves, where they are told apart.
    pub(super) clusters: Vec<ClusterFolder>,
}

/// How to get in.
#[derive(Debug, Clone)]
pub(super) enum Access {
    Open,
    Token { username: String, file: PathBuf },
    App(AppConfig),
    SshKey { key_file: PathBuf, known_hosts_file: PathBuf },
}

impl Config {
    /// Whether GitHub's API is used, which plain Git has no match for in pull requests.
    #[must_use]
    pub fn is_on_github(&self) -> bool {
        self.github.is_some() || Url::parse(&self.url).is_ok_and(|url| is_githubs(&url))
    }

    /// Checks what the types cannot say.
    pub(super) fn check(self) -> Result<Remote, RepositoryError> {
        let url = check_url(&self.url)?;
        let access = self.auth.unwrap_or_default().check(url.scheme())?;
        let branch_ref = format!("refs/heads/{}", self.branch);
        if !git2::Reference::is_valid_name(&branch_ref) {
            return Err(wrong(format!("branch {:?} is no valid branch name", self.branch)));
        }
        let path = self.path.trim_matches('/').to_owned();
        if !path.is_empty() && !path_is_plain(&path) {
            return Err(wrong(format!("path {path:?} must be a folder inside the repository")));
        }
        let github = match self.github {
            Some(github) => Some(github.check()?),
            None if is_githubs(&url) => Some(github_of(&url)?),
            None => None,
        };
        match &access {
            Access::Open | Access::SshKey { .. } if github.is_some() => return Err(without_token()),
            Access::App(_) if github.is_none() => {
                return Err(wrong("auth.app needs a repository on GitHub: give `github`".to_owned()));
            }
            _ => {}
        }
        if let Some(signing) = &self.signing {
            signing.check(github.is_some())?;
        }
        let Self { branch, committer, signing, limits, .. } = self;
        let clusters = Vec::new();
        Ok(Remote { url, branch, path, access, github, committer, signing, limits, clusters })
    }
}

impl Auth {
    fn check(self, scheme: &str) -> Result<Access, RepositoryError> {
        let ssh = scheme == "ssh";
        match (self.token_file, self.app, self.ssh_key_file, self.known_hosts_file) {
            (None, None, None, None) if ssh => {
                Err(wrong("an ssh:// URL needs auth.sshKeyFile and auth.knownHostsFile".to_owned()))
            }
            (None, None, None, None) => Ok(Access::Open),
            (Some(file), None, None, None) if !ssh => {
                let username = self.username.unwrap_or_else(|| TOKEN_USERNAME.to_owned());
                Ok(Access::Token { username, file })
            }
            (None, Some(app), None, None) if !ssh => Ok(Access::App(app)),
            (None, None, Some(key_file), Some(known_hosts_file)) if ssh => {
                Ok(Access::SshKey { key_file, known_hosts_file })
            }
            _ => Err(wrong(format!(
                "auth takes tokenFile or app for http and https, or sshKeyFile with knownHostsFile for ssh; the URL \
                 is {scheme}://"
            ))),
        }
    }
}

/// Why GitHub's API cannot be used.
pub(super) fn without_token() -> RepositoryError {
    wrong("GitHub's API needs auth.tokenFile or auth.app".to_owned())
}

impl Signing {
    fn check(&self, is_on_github: bool) -> Result<(), RepositoryError> {
        if is_on_github {
            let reason = "signing is for plain Git: GitHub signs what comes through its API by itself";
            return Err(wrong(reason.to_owned()));
        }
        Ok(())
    }
}

impl GitHubConfig {
    fn check(mut self) -> Result<Self, RepositoryError> {
        let named = self.repository.split_once('/').is_some_and(|(owner, name)| {
            let plain = |part: &str| {
                !part.is_empty()
                    && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            };
            plain(owner) && plain(name)
        });
        if !named {
            return Err(wrong(format!("github.repository {:?} must be owner/name", self.repository)));
        }
        self.api_url = self.api_url.trim_end_matches('/').to_owned();
        match Url::parse(&self.api_url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(self),
            _ => Err(wrong(format!("github.apiUrl {:?} must be an http or https URL", self.api_url))),
        }
    }
}

/// Whether a path stays inside the repository and outside of Git's own folder.
pub(super) fn path_is_plain(path: &str) -> bool {
    !path.contains(['\0', '\\'])
        && path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git"))
}

/// Reads a secret, less the line end that editors add.
pub(super) fn read_secret(path: &Path) -> Result<String, RepositoryError> {
    let secret = std::fs::read_to_string(path)
        .map_err(|source| RepositoryError::Secret { path: path.to_owned(), source })?;
    Ok(secret.trim().to_owned())
}

fn check_url(text: &str) -> Result<Url, RepositoryError> {
    let url = Url::parse(text).map_err(|error| {
        wrong(format!(
            "url is not a URL ({error}); a remote like git@host:owner/name is written ssh://git@host/owner/name"
        ))
    })?;
    let named = !url.username().is_empty() && url.scheme() != "ssh";
    if named || url.password().is_some() {
        return Err(wrong(
            "url must not hold a user or password: use auth.username and auth.tokenFile".to_owned(),
        ));
    }
    match url.scheme() {
        "file" if url.to_file_path().is_ok() => Ok(url),
        "http" | "https" | "ssh" if url.has_host() => Ok(url),
        scheme => Err(wrong(format!("url has scheme {scheme:?}: file, http, https and ssh are known"))),
    }
}

/// With an SSH key GitHub is a Git server like any other: its API takes tokens only.
fn is_githubs(url: &Url) -> bool {
    url.host_str() == Some("github.com") && url.scheme() != "ssh"
}

fn github_of(url: &Url) -> Result<GitHubConfig, RepositoryError> {
    let repository = url.path().trim_matches('/').trim_end_matches(".git").to_owned();
    let budget = BudgetConfig::default();
    GitHubConfig { api_url: default_api_url(), repository, budget }.check()
}

fn wrong(reason: String) -> RepositoryError {
    RepositoryError::Config { reason }
}

fn default_branch() -> String {
    "main".to_owned()
}

fn default_api_url() -> String {
    "https://api.github.com".to_owned()
}
