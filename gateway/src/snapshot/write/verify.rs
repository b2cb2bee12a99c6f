//! Whether new texts change one object, as they shall, and no other object of any root.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Files, Task};
use crate::model::manifest::ObjectRef;
use crate::snapshot::content::Instance;
use crate::snapshot::effective::Documents;
use crate::snapshot::kustomize::Texts;
use crate::snapshot::overlay::Overlays;

/// An object by now, or what is said of it.
type Seen = Result<Option<Value>, String>;

impl Task<'_> {
    /// Computes again every object that could be touched.
    ///
    /// # Errors
    /// Which object would not be as it shall.
    pub(super) fn verify(&self, files: &Files) -> Result<(), String> {
        let touched: BTreeSet<&str> = files.keys().map(String::as_str).collect();
        let old_texts = |path: &str| self.working.text(path);
        let new_texts = |path: &str| files.get(path).map(String::as_str).or_else(|| self.working.text(path));
        let overlays = self.overlays.reread(&touched, &new_texts)?;
        let steps = self.overlays.depending_on(&touched);
        let (mut old, mut new) = (Documents::default(), Documents::default());
        let mut found = 0;
        for (target, instances) in &self.content.objects {
            for instance in instances.iter() {
                let through = instance.placement.layers.iter().any(|step| steps.contains(step));
                if !through && !touched.contains(instance.path.as_str()) {
                    continue;
                }
                let before = self.seen(&self.overlays, instance, &mut old, &old_texts);
                // A file that stays is read once for both.
                let documents = if touched.contains(instance.path.as_str()) { &mut new } else { &mut old };
                let after = self.seen(&overlays, instance, documents, &new_texts);
                if self.is_it(instance) {
                    found += 1;
                    self.is_as_proposed(after)?;
                } else if before != after && !self.is_home(instance, &before, &after) {
                    return Err(self.would_change(target, instance));
                }
            }
        }
        if found == self.located.placements.len() {
            Ok(())
        } else {
            Err("it would change nothing".to_owned())
        }
    }

    fn seen<'a>(
        &self,
        overlays: &Overlays,
        instance: &Instance,
        documents: &mut Documents,
        texts: Texts<'_, 'a>,
    ) -> Seen {
        let Some(place) = self.working.place(&instance.path, instance.place) else { return Ok(None) };
        let Some(manifest) = documents.get(&instance.path, place, texts) else { return Ok(None) };
        let effective = overlays.effective(&instance.placement, manifest, self.names(), texts)?;
        Ok(effective.map(|effective| effective.object.manifest))
    }

    fn is_it(&self, instance: &Instance) -> bool {
        (&instance.path, instance.place) == (&self.located.path, self.located.place())
            && self.located.placements.contains(&instance.placement)
    }

    fn is_as_proposed(&self, after: Seen) -> Result<(), String> {
        match after {
            Ok(Some(after)) if after == *self.after => Ok(()),
            Ok(Some(after)) => {
                let fields = super::changed(self.after, &after);
                let field = fields.first().map(super::Changed::pointer).unwrap_or_default();
                Err(format!("after the edit {field} would still be another one: something else sets it"))
            }
            Ok(None) => Err("after the edit the object would be gone".to_owned()),
            Err(reason) => Err(reason),
        }
    }

    fn would_change(&self, target: &ObjectRef, instance: &Instance) -> String {
        let root = &self.overlays.roots[instance.placement.root].name;
        format!("it would change {target} of {root} too")
    }

    /// Flux' own object takes new entries for what it applies, and changes by them alone.
    fn is_home(&self, instance: &Instance, before: &Seen, after: &Seen) -> bool {
        let step = self.placement().layers.last().map(|step| &self.overlays.steps[*step]);
        let Some(at) = step.and_then(|step| step.flux.as_ref()) else { return false };
        let without = |seen: &Seen| {
            let mut manifest = seen.clone().ok()??;
            manifest.get_mut("spec")?.as_object_mut()?.remove("patches");
            Some(manifest)
        };
        let place = self.working.place(&instance.path, instance.place);
        place.is_some_and(|place| place.at(&instance.path).below("spec") == *at)
            && without(before).is_some_and(|before| without(after) == Some(before))
    }
}
