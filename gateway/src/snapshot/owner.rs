//! Which object a pod comes from, told by the pod's name alone.
//!
//! Kubernetes builds the name from the owner's and a random ending from an alphabet without vowels.
//! A name says who may have made the pod; whether only one did, the snapshot decides.

/// The letters and digits of random endings and of template hashes.
const ALPHABET: &str = "bcdfghjklmnpqrstvwxz2456789";
/// Names are cut before the ending so that the whole has at most this many characters.
const NAME_CHARS_MAX: usize = 63;
const ENDING_CHARS: usize = 5;
const HASH_CHARS_MAX: usize = 10;
const HASH_CHARS_MIN: usize = 5;

/// Whether an object of that kind and name could have made the pod.
pub(super) fn makes(kind: &str, name: &str, pod: &str) -> bool {
    match kind {
        "Pod" => pod == name,
        "StatefulSet" => after(name, pod).is_some_and(is_ordinal),
        "DaemonSet" | "Job" | "ReplicaSet" => generated(name, pod, |rest| rest.is_empty()),
        "Deployment" => generated(name, pod, |rest| is_between(rest, is_hash)),
        "CronJob" => generated(name, pod, |rest| is_between(rest, is_minutes)),
        _ => false,
    }
}

/// What follows `name-`.
fn after<'a>(name: &str, pod: &'a str) -> Option<&'a str> {
    pod.strip_prefix(name)?.strip_prefix('-')
}

/// A generated name is a base that ends in `-` and is cut, then the ending. `middle` says whether
/// what stands between the name and the ending fits.
fn generated(name: &str, pod: &str, middle: impl Fn(&str) -> bool) -> bool {
    if !pod.is_ascii() || pod.len() < ENDING_CHARS {
        return false;
    }
    let (base, ending) = pod.split_at(pod.len() - ENDING_CHARS);
    if !ending.chars().all(|character| ALPHABET.contains(character)) {
        return false;
    }
    if pod.len() == NAME_CHARS_MAX && !base.ends_with('-') {
        // The base was cut: all of it must belong to the owner's name and what follows it.
        return name.starts_with(base) || after(name, base).is_some();
    }
    base.strip_suffix('-').and_then(|base| base.strip_prefix(name)).is_some_and(middle)
}

/// `-` and a part that fits.
fn is_between(rest: &str, fits: fn(&str) -> bool) -> bool {
    rest.strip_prefix('-').is_some_and(fits)
}

fn is_hash(part: &str) -> bool {
    (HASH_CHARS_MIN..=HASH_CHARS_MAX).contains(&part.len())
        && part.chars().all(|character| ALPHABET.contains(character))
}

fn is_minutes(part: &str) -> bool {
    part.len() >= 8 && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_ordinal(part: &str) -> bool {
    !part.is_empty()
        && part.bytes().all(|byte| byte.is_ascii_digit())
        && (part == "0" || !part.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::makes;

    #[test]
    fn pods_are_told_by_their_names() {
        let long = "a".repeat(60);
        let cut = format!("{}m7flp", "a".repeat(58));
        let table = [
            ("Deployment", "alpine-deployment", "alpine-deployment-77789455d6-m7flp", true),
            ("Deployment", "web", "web-676b6c5bbc-4xc6t", true),
            ("Deployment", "web", "web-api-676b6c5bbc-4xc6t", false),
            ("Deployment", "web-api", "web-api-676b6c5bbc-4xc6t", true),
            ("Deployment", "web", "web-4xc6t", false),
            ("Deployment", "web", "web-676b6c5bbc-aeiou", false),
            ("Deployment", "web", "web", false),
            ("Deployment", "web", "", false),
            ("Deployment", &long, &cut, true),
            ("ReplicaSet", "web-676b6c5bbc", "web-676b6c5bbc-4xc6t", true),
            ("DaemonSet", "agent", "agent-4xc6t", true),
            ("DaemonSet", "agent", "agent-x-4xc6t", false),
            ("StatefulSet", "db", "db-0", true),
            ("StatefulSet", "db", "db-12", true),
            ("StatefulSet", "db", "db-012", false),
            ("StatefulSet", "db", "db-x", false),
            ("Job", "once", "once-4xc6t", true),
            ("CronJob", "nightly", "nightly-29384756-4xc6t", true),
            ("CronJob", "nightly", "nightly-4xc6t", false),
            ("Pod", "alone", "alone", true),
            ("Service", "web", "web-676b6c5bbc-4xc6t", false),
        ];
        for (kind, name, pod, expected) in table {
            assert_eq!(makes(kind, name, pod), expected, "{kind} {name} {pod}");
        }
    }
}
