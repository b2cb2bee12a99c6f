//! A burst of events of several clusters: one commit, and each proposal sees and changes the objects of its
//! own cluster.

use super::{ended, intact, paused, resume, waiting};
use crate::flux::{configured, send, two_clusters};
use crate::harness::{Fleet, shell_in};

#[test]
fn proposals_of_several_clusters_share_a_commit_and_no_object() {
    let files = two_clusters();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let fleet = Fleet::with(&files);
    let mut process = paused(&configured(&fleet));
    let web = shell_in("default", "web-77789455d6-m7flp");
    let agent = shell_in("default", "agent-77789455d6-m7flp");
    let sent = [
        ("staging", &web, "committed", "apps/staging/kustomization.yaml"),
        ("production", &web, "committed", "apps/production/kustomization.yaml"),
        ("staging", &web, "unchanged", ""),
        ("production", &agent, "committed", "clusters/production/infra.yaml"),
        ("staging", &agent, "committed", "clusters/staging/infra.yaml"),
    ];
    for (id, (cluster, body, ..)) in (1..).zip(&sent) {
        assert_eq!(send(&process, id, Some(cluster), body), i64::from(id));
    }
    waiting(&mut process, 5);
    resume(&process);
    for (event, (cluster, _, outcome, file)) in (1..).zip(sent) {
        let reaction = ended(&mut process, event);
        assert_eq!(reaction["outcome"], outcome, "{cluster}: {reaction:#}");
        let diff = reaction["diff"].as_str().unwrap_or_default();
        let files: Vec<&str> = diff.lines().filter_map(|line| line.strip_prefix("+++ b/")).collect();
        assert_eq!(files, file.split_terminator(' ').collect::<Vec<_>>(), "{cluster}: {diff}");
    }
    assert_eq!(fleet.log().len(), 2, "{:#?}", fleet.log());
    assert_eq!(
        fleet.bare.git(&["diff", "--name-only", "main~1", "main"]),
        "apps/production/kustomization.yaml\napps/staging/kustomization.yaml\n\
         clusters/production/infra.yaml\nclusters/staging/infra.yaml\n"
    );
    intact(&process);
}
