//! What a plugin asks an operator to grant it. Asking grants nothing.

/// What a plugin asks to be granted: [`#[plugin]`](macro@crate::plugin) writes it from `grants(…)`.
///
/// It is for the operator, who sees it with `riposte plugin inspect` and grants what the configuration
/// says. Namespaces are not asked for: they are the operator's to choose.
///
/// ```
/// use riposte_sdk::prelude::*;
/// use riposte_sdk::{Grants, Plugin};
///
/// /// Calms
/// #[plugin(
///     on = "falco.rule.output.v1",
///     grants(kinds = ["apps/v1/Deployment", "apps/v1/StatefulSet"], fields = ["/spec/replicas"]),
/// )]
/// fn calm(alert: Falco, context: &Context) -> Answer {
///     let owner = context.owner(&alert)?;
///     propose(format!("Calm {owner}")).because(alert.rule()?).with(Patch::scale(&owner, 1)).into()
/// }
///
/// assert_eq!(
///     calm::GRANTS,
///     Grants {
///         kinds: &["apps/v1/Deployment", "apps/v1/StatefulSet"],
///         fields: &["/spec/replicas"],
///         create: false,
///         delete: false,
///     }
/// );
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grants {
    /// Kinds of the objects that it changes, makes or deletes, as `apps/v1/Deployment`.
    pub kinds: &'static [&'static str],
    /// Fields that it changes, as JSON pointers with `*` for one step.
    pub fields: &'static [&'static str],
    /// Whether it makes objects of these kinds.
    pub create: bool,
    /// Whether it deletes objects of these kinds.
    pub delete: bool,
}

impl Grants {
    /// It changes nothing, or what it changes depends on its configuration.
    pub const NONE: Self = Self { kinds: &[], fields: &[], create: false, delete: false };
}
