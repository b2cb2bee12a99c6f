//! A recorded proposal becomes a pull request, one for each plugin and object, and none that is moot.
//!
//! Every attempt brings the pull request to what it shall be and makes nothing again that is there, so
//! a crash between two of its steps needs no memory of them.

use super::commit::AttemptError;
use super::decide::ended;
use super::throttle::{CLOSE_CALLS, PROPOSE_CALLS};
use super::{Pipeline, UNCHANGED};
use crate::commit::{self, Message, pull_request};
use crate::dispatch::Plugin;
use crate::model::outcome::OutcomeKind;
use crate::model::plugin::Mode;
use crate::record::{Proposal, RecordedEvent, SettledCommit, SettledPullRequest, Settlement};
use crate::repository::{Closing, ProposalBranch, ProposedCommit, PullRequest, RepositoryError, Retry};
use crate::snapshot::Snapshot;
use crate::validate::{self, Validated, ValidatedChange};

/// How many earlier events a pull request's body names.
const EARLIER_EVENTS_MAX: u32 = 20;

/// What an earlier attempt has made and could not tell.
pub(super) struct Earlier {
    pub(super) settlement: Settlement,
    /// Whether it is a pull request that can be brought up to date.
    pub(super) is_open: bool,
}

impl Pipeline {
    /// Opens the pull request, or brings the open one up to date.
    pub(super) async fn propose(
        &self,
        proposal: &Proposal,
        event: &RecordedEvent,
        change: &ValidatedChange,
    ) -> Result<Settlement, AttemptError> {
        let branch = branch(proposal);
        let standing = self.journal.standing_pull_request(branch.as_str(), EARLIER_EVENTS_MAX).await?;
        let (known, earlier) = match standing {
            Some(standing) => (Some(standing.sha), standing.events),
            None => (None, Vec::new()),
        };
        let chain = self.journal.head().await?;
        let parts = self.parts(proposal, event, &chain);
        let message = Message::new(&parts);
        let draft = pull_request::draft(branch, &message, &parts, &earlier);
        self.not_paused()?;
        // One of them is that of a commit.
        let calls = commit::calls(&self.repository, change).await?;
        self.spend(PROPOSE_CALLS + calls - 1).await?;
        let proposed = commit::propose(&self.repository, change, &message, &draft, known.as_ref()).await?;
        Ok(Settlement {
            outcome: OutcomeKind::Proposed,
            reason: proposal.changes().reason.clone(),
            diff: Some(change.diff().to_owned()),
            commit: Some(settled_commit(proposed.commit)),
            pull_request: Some(settled(&draft.branch, proposed.pull_request)),
            take_back: None,
        })
    }

    /// The pull request that an earlier attempt has opened.
    pub(super) async fn find_pull_request(
        &self,
        proposal: &Proposal,
    ) -> Result<Option<Earlier>, RepositoryError> {
        let (reaction, catalog) = (proposal.reaction(), self.catalog());
        let plugin = catalog.get(&reaction.plugin);
        let proposes = reaction.mode == Mode::Propose
            || plugin.is_some_and(|plugin| self.modes.of(plugin) == Mode::Propose);
        if !proposes || !self.repository.takes_pull_requests() {
            return Ok(None);
        }
        let branch = branch(proposal);
        let marker = pull_request::marker(self.journal.name(), reaction.id);
        let found = self.reached(self.repository.find_pull_request(&branch, &marker).await)?;
        Ok(found.map(|found| Earlier {
            is_open: found.is_open,
            settlement: Settlement {
                outcome: OutcomeKind::Proposed,
                reason: "an earlier attempt had opened the pull request".to_owned(),
                diff: None,
                commit: found.commit.map(settled_commit),
                pull_request: Some(settled(&branch, found.pull_request)),
                take_back: None,
            },
        }))
    }

    /// The end of a proposal that the desired state fulfils already. What was proposed before may have
    /// become moot by it: its pull request is closed.
    pub(super) async fn unchanged(
        &self,
        proposal: &Proposal,
        plugin: &Plugin,
        snapshot: &Snapshot,
    ) -> Result<Settlement, AttemptError> {
        let mut settlement = ended(OutcomeKind::Unchanged, UNCHANGED.to_owned());
        let branch = branch(proposal);
        let standing = self.journal.standing_pull_request(branch.as_str(), 0).await?;
        let Some(standing) = standing.filter(|_| self.repository.takes_pull_requests()) else {
            return Ok(settlement);
        };
        // It may propose something else for the same object.
        let proposed = &standing.changes;
        let moot = validate::validate(proposed, plugin.grants(), &self.guardrails, &self.schemas, snapshot);
        if !matches!(moot, Ok(Validated::Unchanged)) {
            return Ok(settlement);
        }
        let event = proposal.reaction().event_seq;
        let comment = pull_request::moot(&self.branch, self.journal.name(), event);
        self.spend(CLOSE_CALLS).await?;
        let closing = self.repository.close_pull_request(&branch, &comment, Some(&standing.sha)).await;
        let number = standing.pull_request.number;
        let what = match closing {
            Ok(Closing::Closed) => format!("pull request {number} was closed"),
            Ok(Closing::WasClosed) => format!("pull request {number} was closed before"),
            Ok(Closing::Left) => format!("pull request {number} is left open, for people have changed it"),
            Err(error) if error.retry() == Retry::Never => {
                format!("pull request {number} could not be closed: {error}")
            }
            Err(error) => return Err(AttemptError::Close(error)),
        };
        settlement.reason = format!("{UNCHANGED}; {what}");
        settlement.pull_request = Some(standing.pull_request);
        Ok(settlement)
    }
}

fn branch(proposal: &Proposal) -> ProposalBranch {
    let targets: Vec<_> = proposal.changes().patches.iter().map(|patch| &patch.target).collect();
    ProposalBranch::new(&proposal.reaction().plugin, &targets)
}

fn settled_commit(commit: ProposedCommit) -> SettledCommit {
    SettledCommit { sha: commit.sha, base: commit.base, message: commit.message }
}

fn settled(branch: &ProposalBranch, found: PullRequest) -> SettledPullRequest {
    SettledPullRequest { number: found.number, url: found.url, branch: branch.as_str().to_owned() }
}
