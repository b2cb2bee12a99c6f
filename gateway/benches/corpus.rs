//! Edits every manifest below a folder in many ways: `cargo bench --bench corpus -- FOLDER…`.
//!
//! An edit is right when the text says what the patch says, and minimal when no line changed that need
//! not. What cannot be edited has to be refused for a reason that is known. The first edit that is none
//! of this ends the program with status 1. The manifests are other people's: `.ci/corpus` brings them.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use riposte::edit::strategic_merge;
use riposte::edit::{EditError, edit, read, without};
use serde_json::{Value, json};
use similar::{ChangeTag, TextDiff};

/// Larger files are generated definitions, which are alike and take most of the time.
const FILE_BYTES_MAX: u64 = 24 << 10;
/// Texts of one document that are changed one by one.
const TEXTS_MAX: usize = 12;
/// Objects of one file: some have hundreds that are alike.
const DOCUMENTS_MAX: usize = 40;
/// Wrong edits that are told in full.
const TOLD_MAX: usize = 400;

/// A change of one document, and how many lines it may cost.
struct Edit {
    what: &'static str,
    after: Value,
    /// Lines that go and lines that come at most, in block style.
    lines: (usize, usize),
}

/// What came of the edits.
#[derive(Default)]
struct Totals {
    files: usize,
    objects: usize,
    right: BTreeMap<&'static str, usize>,
    refused: BTreeMap<String, usize>,
    left_out: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.objects += other.objects;
        other.right.into_iter().for_each(|(what, count)| *self.right.entry(what).or_default() += count);
        other.refused.into_iter().for_each(|(why, count)| *self.refused.entry(why).or_default() += count);
        other.left_out.into_iter().for_each(|(why, count)| *self.left_out.entry(why).or_default() += count);
        self.wrong.extend(other.wrong);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folders: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").map(PathBuf::from).collect();
    let began = Instant::now();
    let mut paths = Vec::new();
    for folder in &folders {
        manifests(folder, &mut paths)?;
    }
    paths.sort();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut totals = Totals::default();
        while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
            try_file(path, &mut totals);
        }
        totals
    };
    let mut totals = Totals::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        threads.into_iter().for_each(|thread| totals.add(thread.join().expect("no panic")));
    });
    tell(&totals, began.elapsed().as_secs_f64())?;
    std::process::exit(i32::from(!totals.wrong.is_empty() || (!folders.is_empty() && totals.files < 300)));
}

fn tell(totals: &Totals, seconds: f64) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (why, count) in &totals.left_out {
        writeln!(out, "files left out: {count:>6}  {why}")?;
    }
    for (what, count) in &totals.right {
        writeln!(out, "right:          {count:>6}  {what}")?;
    }
    for (why, count) in &totals.refused {
        writeln!(out, "refused:        {count:>6}  {why}")?;
    }
    for wrong in totals.wrong.iter().take(TOLD_MAX) {
        writeln!(out, "wrong: {wrong}")?;
    }
    let (right, refused) = (totals.right.values().sum::<usize>(), totals.refused.values().sum::<usize>());
    writeln!(
        out,
        "{} files, {} objects, {right} edits right, {refused} refused, {} wrong, in {seconds:.1} s",
        totals.files,
        totals.objects,
        totals.wrong.len()
    )
}

fn manifests(folder: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let kind = std::fs::symlink_metadata(&path)?;
        let ends = |end: &str| path.extension().is_some_and(|extension| extension == end);
        if kind.is_dir() {
            manifests(&path, found)?;
        } else if kind.is_file()
            && kind.len() <= FILE_BYTES_MAX
            && ["yaml", "yml", "json"].into_iter().any(ends)
        {
            found.push(path);
        }
    }
    Ok(())
}

fn try_file(path: &Path, totals: &mut Totals) {
    let Ok(text) = std::fs::read_to_string(path) else { return };
    if !text.contains("apiVersion") || !text.contains("kind") {
        return;
    }
    let documents = match read(&text) {
        _ if text.contains("{{") => return *totals.left_out.entry("a template".to_owned()).or_default() += 1,
        Err(_) => return *totals.left_out.entry("no YAML for us".to_owned()).or_default() += 1,
        Ok(documents) if documents.iter().any(|document| document.get("sops").is_some()) => {
            return *totals.left_out.entry("encrypted".to_owned()).or_default() += 1;
        }
        Ok(documents) => documents,
    };
    let is_object = |document: &Value| ["apiVersion", "kind"].iter().all(|key| document[*key].is_string());
    if !documents.iter().any(is_object) {
        return;
    }
    totals.files += 1;
    for (index, document) in documents.iter().enumerate().filter(|(_, it)| is_object(it)).take(DOCUMENTS_MAX)
    {
        totals.objects += 1;
        for tried in edits(document) {
            try_edit(path, &text, &documents, index, &tried, totals);
        }
        try_removal(path, &text, &documents, index, totals);
    }
}

fn try_edit(path: &Path, text: &str, documents: &[Value], index: usize, tried: &Edit, totals: &mut Totals) {
    let mut expected = documents.to_vec();
    expected[index].clone_from(&tried.after);
    let wrong = match edit(text, index, &tried.after) {
        Ok(edited) if read(&edited).as_ref() != Ok(&expected) => Some("says something else".to_owned()),
        Ok(edited) if is_json(text) && !is_json(&edited) => Some("is JSON no more".to_owned()),
        Ok(edited) => not_minimal(text, &edited, tried.lines),
        Err(EditError::Unsupported(_) | EditError::NotFaithful)
            if known(text, &documents[index]).is_some() =>
        {
            let why = known(text, &documents[index]).unwrap_or_default().to_owned();
            return *totals.refused.entry(why).or_default() += 1;
        }
        Err(error) => Some(error.to_string()),
    };
    match wrong {
        None => *totals.right.entry(tried.what).or_default() += 1,
        Some(wrong) => {
            totals.wrong.push(format!("{} document {index}: {}: {wrong}", path.display(), tried.what));
        }
    }
}

fn try_removal(path: &Path, text: &str, documents: &[Value], index: usize, totals: &mut Totals) {
    let mut expected = documents.to_vec();
    expected.remove(index);
    let is_right = match without(text, index) {
        Ok(Some(left)) => {
            read(&left).as_ref() == Ok(&expected)
                && TextDiff::from_lines(text, &left)
                    .iter_all_changes()
                    .all(|it| it.tag() != ChangeTag::Insert)
        }
        Ok(None) => expected.iter().all(Value::is_null),
        Err(_) => false,
    };
    if is_right {
        *totals.right.entry("document removed").or_default() += 1;
    } else {
        totals.wrong.push(format!(
            "{} document {index}: removed: {:?}",
            path.display(),
            without(text, index)
        ));
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// A form of YAML that is refused rather than edited, if the file has one.
fn known(text: &str, document: &Value) -> Option<&'static str> {
    let is_number = |key: &str| key.parse::<f64>().is_ok();
    let keys = |place: &String| {
        at(document, place).as_object().is_some_and(|object| object.keys().any(|key| is_number(key)))
    };
    let last = text.rsplit("\n\n").next().unwrap_or_default();
    match () {
        () if has_anchors(text) => Some("anchors"),
        () if all_places(document).iter().any(keys) => Some("keys that are numbers"),
        () if !text.ends_with('\n') && last.contains(['|', '>']) => {
            Some("a block of text that ends without a line end")
        }
        () => None,
    }
}

/// Whether a document has something that looks like an anchor or an alias.
fn has_anchors(text: &str) -> bool {
    let words = text.split_whitespace();
    words.zip(text.split_whitespace().skip(1)).any(|(before, word)| {
        (before.ends_with(':') || before == "-") && word.starts_with(['&', '*']) && word.len() > 1
    })
}

/// Why more lines changed than need be. In flow style, as in JSON, a line that gets another neighbour is
/// written anew: with a comma or without.
fn not_minimal(before: &str, after: &str, (removed_max, added_max): (usize, usize)) -> Option<String> {
    let diff = TextDiff::from_lines(before, after);
    let lines = |tag: ChangeTag| -> Vec<&str> {
        let changes = diff.iter_all_changes().filter(|change| change.tag() == tag);
        // Comments inside of what goes, go.
        changes.map(|change| change.value()).filter(|line| !line.trim_start().starts_with('#')).collect()
    };
    let (removed, added) = (lines(ChangeTag::Delete), lines(ChangeTag::Insert));
    let in_flow = |line: &&&str| {
        let line = line.trim_end();
        // The first field of an element shares its line with the dash, which goes to the next one.
        line.trim_start().starts_with("- ")
            || line.ends_with([',', '"'])
            || line.contains(['{', '[', '}', ']'])
    };
    // Without a line end at the end, the last line is another one when something comes or goes behind it.
    let flow = removed.iter().chain(&added).any(|line| in_flow(&line));
    let slack = usize::from(flow || !before.ends_with('\n'));
    // The bracket that closes a list or an object in flow style moves up to what is the last one now.
    let closing = usize::from(flow && removed.iter().any(|line| line.trim_start().starts_with(['}', ']'])));
    if removed.len() <= removed_max + slack + closing && added.len() <= added_max + slack {
        return None;
    }
    let shown = diff.unified_diff().context_radius(1).to_string();
    Some(format!(
        "{} lines went and {} came, at most {removed_max} and {added_max}:\n{shown}",
        removed.len(),
        added.len()
    ))
}

/// The edits that fit an object.
fn edits(object: &Value) -> Vec<Edit> {
    let mut all = vec![labelled(object), annotated(object)];
    all.extend(scaled(object));
    all.extend(texts(object));
    all.extend(lists(object));
    all.extend(fields(object));
    all.extend(containers(object));
    all
}

fn changed(object: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut after = object.clone();
    change(&mut after);
    after
}

/// How many lines a value takes at most in block style.
fn height(value: &Value) -> usize {
    match value {
        Value::Object(object) => object
            .values()
            .map(
                |value| {
                    if value.is_object() || value.is_array() { 1 + height(value) } else { height(value) }
                },
            )
            .sum::<usize>()
            .max(1),
        Value::Array(items) => items.iter().map(height).sum::<usize>().max(1),
        Value::String(text) => 1 + text.lines().count().max(text.len() / 20),
        _ => 1,
    }
}

fn labelled(object: &Value) -> Edit {
    let after = changed(object, |after| after["metadata"]["labels"]["riposte.dev/tried"] = json!("yes"));
    let metadata = &object["metadata"];
    let lines = 1 + usize::from(!metadata["labels"].is_object()) + usize::from(!metadata.is_object());
    Edit { what: "label added", after, lines: (usize::from(is_empty(&metadata["labels"])), lines + 1) }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn annotated(object: &Value) -> Edit {
    let there = object["metadata"]["annotations"].as_object();
    let (key, what) = match there.and_then(|there| there.keys().next()) {
        Some(key) => (key.clone(), "annotation changed"),
        None => ("riposte.dev/tried".to_owned(), "annotation added"),
    };
    let old = height(&object["metadata"]["annotations"][&key]);
    let after = changed(object, |after| after["metadata"]["annotations"][&key] = json!("tried: yes"));
    Edit { what, after, lines: (old, 3) }
}

fn scaled(object: &Value) -> Option<Edit> {
    let replicas = object["spec"]["replicas"].as_u64()?;
    let after = changed(object, |after| after["spec"]["replicas"] = json!(replicas + 7));
    Some(Edit { what: "replicas", after, lines: (1, 1) })
}

/// Every place of a value, deep first.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let below = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(object) => object.iter().for_each(|(key, child)| places(child, &below(key), found)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, child)| places(child, &below(&index.to_string()), found));
        }
        _ => {}
    }
    found.push(at.to_owned());
}

fn all_places(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    places(object, "", &mut found);
    found
}

fn at<'a>(object: &'a Value, place: &str) -> &'a Value {
    object.pointer(place).expect("it was found there")
}

fn at_mut<'a>(object: &'a mut Value, place: &str) -> &'a mut Value {
    object.pointer_mut(place).expect("it was found there")
}

/// Some of the scalars become another text, those at both ends of the object among them.
fn texts(object: &Value) -> Vec<Edit> {
    let places: Vec<String> = all_places(object)
        .into_iter()
        .filter(|place| at(object, place).is_string() || at(object, place).is_number())
        .collect();
    let step = places.len().div_ceil(TEXTS_MAX).max(1);
    let some = places.iter().step_by(step).chain(places.last());
    some.map(|place| {
        let after = changed(object, |after| *at_mut(after, place) = json!("tried-1"));
        Edit { what: "text changed", after, lines: (height(at(object, place)), 1) }
    })
    .collect()
}

/// An element comes to and goes from the first lists of texts and of objects.
fn lists(object: &Value) -> Vec<Edit> {
    let places = all_places(object);
    let lists: Vec<&String> = places
        .iter()
        .filter(|place| at(object, place).as_array().is_some_and(|list| !list.is_empty()))
        .collect();
    let first = |fits: fn(&Value) -> bool| {
        lists
            .iter()
            .copied()
            .find(|place| at(object, place).as_array().is_some_and(|list| list.iter().all(fits)))
    };
    let mut all = Vec::new();
    for place in
        [first(Value::is_string), first(Value::is_object), lists.last().copied()].into_iter().flatten()
    {
        let list = at(object, place).as_array().expect("a list");
        let new =
            if list[0].is_object() { json!({ "name": "tried", "value": "x" }) } else { json!("--tried") };
        let add = |index: usize| {
            changed(object, |after| {
                at_mut(after, place).as_array_mut().expect("a list").insert(index, new.clone());
            })
        };
        let remove = |index: usize| {
            changed(object, |after| {
                at_mut(after, place).as_array_mut().expect("a list").remove(index);
            })
        };
        let (last, added) = (list.len() - 1, height(&new));
        all.push(Edit { what: "element appended", after: add(list.len()), lines: (0, added) });
        all.push(Edit { what: "element put first", after: add(0), lines: (0, added) });
        // The only one leaves `[]` behind.
        let empty = usize::from(last == 0);
        let gone = |index: usize| (height(&list[index]) + empty, empty);
        all.push(Edit { what: "first element removed", after: remove(0), lines: gone(0) });
        all.push(Edit { what: "last element removed", after: remove(last), lines: gone(last) });
    }
    all
}

/// Fields of objects that have others go.
fn fields(object: &Value) -> Vec<Edit> {
    let places = all_places(object);
    let inner = places.iter().filter(|place| {
        let (above, _) = place.rsplit_once('/').unwrap_or_default();
        place.matches('/').count() > 1 && at(object, above).as_object().is_some_and(|above| above.len() > 1)
    });
    let inner: Vec<&String> = inner.collect();
    let step = inner.len().div_ceil(TEXTS_MAX).max(1);
    inner
        .iter()
        .step_by(step)
        .map(|place| {
            let (above, key) = place.rsplit_once('/').unwrap_or_default();
            let key = key.replace("~1", "/").replace("~0", "~");
            let after = changed(object, |after| {
                at_mut(after, above).as_object_mut().map(|above| above.remove(&key));
            });
            let old = at(object, place);
            Edit {
                what: "field removed",
                after,
                lines: (height(old) + usize::from(old.is_object() || old.is_array()), 0),
            }
        })
        .collect()
}

/// Changes of the first container, by themselves and by its name.
fn containers(object: &Value) -> Vec<Edit> {
    let pods = ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"];
    let Some(pod) = pods
        .into_iter()
        .find(|pod| object.pointer(pod).is_some_and(|pod| pod["containers"][0]["name"].is_string()))
    else {
        return Vec::new();
    };
    let container = &object.pointer(pod).expect("a pod")["containers"][0];
    let place = format!("{pod}/containers/0");
    let mut all = Vec::new();
    if container["image"].is_string() {
        let after = changed(object, |after| {
            at_mut(after, &place)["image"] = json!("registry.example.com/tried:1.2.3")
        });
        all.push(Edit { what: "image", after, lines: (1, 1) });
    }
    if let Some(index) =
        container["env"].as_array().and_then(|env| env.iter().position(|one| one["value"].is_string()))
    {
        let value = format!("{place}/env/{index}/value");
        let after = changed(object, |after| *at_mut(after, &value) = json!("tried: {yes}"));
        all.push(Edit { what: "variable", after, lines: (height(at(object, &value)), 1) });
    }
    let patch = json!({ "containers": [
        { "name": container["name"], "imagePullPolicy": "Never", "env": [{ "name": "RIPOSTE_TRIED", "value": "yes" }] },
        { "name": "riposte-tried", "image": "registry.example.com/tried" },
    ] });
    let patch =
        pod.rsplit('/').filter(|step| !step.is_empty()).fold(patch, |patch, step| json!({ (step): patch }));
    // Of a custom kind the whole list is replaced.
    let merged = strategic_merge(object, &patch).ok();
    if let Some(after) = merged.filter(|after| at(after, &place)["image"] == container["image"]) {
        all.push(Edit { what: "strategic merge", after, lines: (2, 6) });
    }
    all
}
