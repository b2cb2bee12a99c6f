//! A desired-state repository and the configurations of gateways that work on it.

use std::path::PathBuf;

use super::git::Bare;
use super::github::{GitHub, REPOSITORY, TOKEN};

/// The repository of the tutorial, or another one; removed when it is dropped.
pub(crate) struct Fleet {
    pub(crate) bare: Bare,
}

impl Fleet {
    /// The manifests of the demo.
    pub(crate) fn tutorial() -> Self {
        Self::with(&[
            ("apps/alpine.yaml", include_str!("../../../demo/apps/alpine.yaml")),
            ("apps/kustomization.yaml", include_str!("../../../demo/apps/kustomization.yaml")),
            ("apps/shop.yaml", include_str!("../../../demo/apps/shop.yaml")),
        ])
    }

    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        Self { bare: Bare::new(files) }
    }

    /// A gateway's configuration: its journal lies in the directory `name` beside it.
    pub(crate) fn config(&self, name: &str) -> PathBuf {
        self.config_with(name, "", "enforce")
    }

    /// The same, with more lines under `server` and a mode for the plugin. A machine with much else to do does
    /// not bring the plugin to its limits.
    pub(crate) fn config_with(&self, name: &str, server: &str, mode: &str) -> PathBuf {
        let root = self.bare.root.path();
        let text = format!(
            "server:\n  listen: 127.0.0.1:0\n{server}\
             journal:\n  dir: {}\n\
             repository:\n  url: {}\n\
             coalesce: {{ idleMs: 0 }}\n\
             plugins:\n  - name: scale-to-zero\n    source: bundled:scale-to-zero\n    mode: {mode}\n    \
             grants:\n      kinds: [apps/v1/Deployment]\n      namespaces: [default]\n      \
             fields: [/spec/replicas]\n    limits: {{ guestTimeMs: 20000, invocationMs: 60000 }}\n    \
             config:\n      rules: [Terminal shell in container]\n",
            root.join(name).display(),
            self.bare.file_url(),
        );
        self.beside(&format!("{name}.yaml"), &text)
    }

    /// The same, and every report is dispatched, however often an incident is reported.
    pub(crate) fn config_without_repeats(&self, name: &str) -> PathBuf {
        let text = std::fs::read_to_string(self.config(name)).expect("the configuration");
        self.beside(&format!("{name}.yaml"), &format!("{text}repeats: {{ windowS: 0 }}\n"))
    }

    /// The same with the repository on GitHub; every report is dispatched.
    pub(crate) fn config_on_github(&self, name: &str, github: &GitHub, mode: &str) -> PathBuf {
        let text = std::fs::read_to_string(self.config_with(name, "", mode)).expect("a configuration");
        let token = self.bare.secret("github-token", TOKEN);
        let on_github = format!(
            "repository:\n  auth: {{ tokenFile: {} }}\n  \
             github: {{ apiUrl: \"{}\", repository: {REPOSITORY} }}\n  limits: {{ fetchMs: 2000 }}\n",
            token.display(),
            github.api_url()
        );
        let text = text.replacen("repository:\n", &on_github, 1) + "repeats: { windowS: 0 }\n";
        self.beside(&format!("{name}.yaml"), &text)
    }

    /// A gateway with this one plugin, an entry as JSON, that commits; every report is dispatched.
    pub(crate) fn config_with_plugin(&self, name: &str, entry: &serde_json::Value) -> PathBuf {
        let text = std::fs::read_to_string(self.config_without_repeats(name)).expect("the configuration");
        let (start, rest) = text.split_once("plugins:").expect("plugins");
        let end = rest.split_once("repeats:").map(|(_, end)| end).unwrap_or_default();
        self.beside(&format!("{name}.yaml"), &format!("{start}plugins: [{entry}]\nrepeats:{end}"))
    }

    /// The entry of a bundled plugin, as its `plugin.yaml` has it, for the shell of the tutorial.
    pub(crate) fn bundled(plugin: &str) -> serde_json::Value {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins").join(plugin);
        let text = std::fs::read_to_string(folder.join("plugin.yaml")).expect("its entry");
        let mut entry: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
        entry["mode"] = "enforce".into();
        entry["config"]["rules"] = serde_json::json!(["Terminal shell in container"]);
        entry
    }

    /// A person takes the newest commit of the branch back, as `git revert` does.
    pub(crate) fn person_reverts(&self) {
        let clone = self.bare.root.path().join("reverting");
        if clone.exists() {
            std::fs::remove_dir_all(&clone).expect("the folder goes");
        }
        super::git::git(self.bare.root.path(), &["clone", "-q", "desired.git", "reverting"]);
        let person = ["-c", "user.name=p", "-c", "user.email=p@x"];
        super::git::git(&clone, &[&person[..], &["revert", "--no-edit", "HEAD"]].concat());
        super::git::git(&clone, &["push", "-q", "origin", "HEAD:main"]);
    }

    /// A file outside of the repository.
    pub(crate) fn beside(&self, name: &str, content: &str) -> PathBuf {
        let path = self.bare.root.path().join(name);
        std::fs::write(&path, content).expect("the file is written");
        path
    }

    /// The messages of the branch's commits, newest first.
    pub(crate) fn log(&self) -> Vec<String> {
        let log = self.bare.git(&["log", "-z", "--format=%B", "main"]);
        log.split('\0').filter(|message| !message.is_empty()).map(str::to_owned).collect()
    }

    /// A file at the branch's head.
    pub(crate) fn file(&self, path: &str) -> String {
        self.bare.show(path)
    }

    /// Somebody else pushes, until it is in.
    pub(crate) fn person_commits(&self, path: &str, content: &str) {
        self.bare.commit_elsewhere(path, content);
    }
}

/// A Deployment of three replicas in `default`.
pub(crate) fn deployment(name: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {name} # by hand\nspec:\n  replicas: 3\n  \
         selector:\n    matchLabels:\n      app: {name}\n  template:\n    metadata:\n      labels:\n        \
         app: {name}\n    spec:\n      containers:\n        - name: main\n          image: alpine\n"
    )
}
