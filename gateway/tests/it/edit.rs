//! Changing the text of a manifest: only the lines that must change, whatever its style.

use proptest::prelude::*;
use riposte::edit::{EditError, edit, patched, without};
use riposte::model::patch::Change;
use serde::Deserialize as _;
use serde_json::{Value, json};

fn read(text: &str) -> Option<Vec<Value>> {
    let one = |document| serde_json::to_value(serde_yaml::Value::deserialize(document).ok()?).ok();
    serde_yaml::Deserializer::from_str(text).map(one).collect()
}

fn documents(text: &str) -> Vec<Value> {
    read(text).unwrap_or_else(|| panic!("no YAML: {text}"))
}

/// Merges into one document of a text.
fn merged(text: &str, document: usize, patch: &Value) -> Result<String, EditError> {
    let after = patched(&documents(text)[document], &Change::MergePatch(patch.clone()))?;
    edit(text, document, &after)
}

/// What it is about, the text, the document, the patch, the text afterwards.
type Row = (&'static str, &'static str, usize, Value, &'static str);

fn check(table: &[Row]) {
    for (name, text, document, patch, expected) in table {
        match merged(text, *document, patch) {
            Ok(edited) => assert_eq!(edited, *expected, "{name}"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

#[test]
fn only_the_lines_that_must_change_do() {
    check(&[
        ("a comment on the line", "a: 3 # three\n", 0, json!({"a": 0}), "a: 0 # three\n"),
        (
            "comments and blank lines",
            "# top\n\na: 3\n\n# end\n",
            0,
            json!({"a": 0}),
            "# top\n\na: 0\n\n# end\n",
        ),
        (
            "line ends of Windows",
            "a: 3\r\nb:\r\n  c: 1\r\n",
            0,
            json!({"b": {"c": 2}}),
            "a: 3\r\nb:\r\n  c: 2\r\n",
        ),
        ("no line end at the end", "b: 1\na: 3", 0, json!({"a": 0}), "b: 1\na: 0"),
        ("a flow mapping", "a: {b: 3, c: 4} # flow\n", 0, json!({"a": {"b": 0}}), "a: {b: 0, c: 4} # flow\n"),
        ("quotes of neighbours", "a: 'x'\nb: \"y\"\nc: 1\n", 0, json!({"c": 2}), "a: 'x'\nb: \"y\"\nc: 2\n"),
        (
            "a block scalar beside it",
            "s: |\n  a: 3\n  # no comment\na: 3\n",
            0,
            json!({"a": 0}),
            "s: |\n  a: 3\n  # no comment\na: 0\n",
        ),
        (
            "the second document",
            "a: 3\n---\na: 3\n---\na: 3\n",
            1,
            json!({"a": 0}),
            "a: 3\n---\na: 0\n---\na: 3\n",
        ),
        ("a marker before the first", "---\n# x\na: 3\n", 0, json!({"a": 0}), "---\n# x\na: 0\n"),
        (
            "markers with an end",
            "---\na: 3\n...\n---\nb: 1\n",
            1,
            json!({"b": 2}),
            "---\na: 3\n...\n---\nb: 2\n",
        ),
    ]);
}

#[test]
fn keys_and_elements_come_and_go_in_the_style_of_the_file() {
    check(&[
        (
            "a key at the end",
            "a:\n  b: 1\n# after\nc: 1\n",
            0,
            json!({"a": {"d": 2}}),
            "a:\n  b: 1\n  d: 2\n# after\nc: 1\n",
        ),
        ("a key in an empty mapping", "a: {}\nb: 1\n", 0, json!({"a": {"d": 2}}), "a:\n  d: 2\nb: 1\n"),
        ("a key that goes", "a: 1\nb: 2 # gone\nc: 3\n", 0, json!({"b": null}), "a: 1\nc: 3\n"),
        (
            "a list of its own indent",
            "l:\n- a: 1\n  b: 2\n- a: 3\n",
            0,
            json!({"l": [{"a": 1, "b": 5}, {"a": 3}]}),
            "l:\n- a: 1\n  b: 5\n- a: 3\n",
        ),
        ("an element more", "l:\n  - 1\n  - 2\n", 0, json!({"l": [1, 2, 3]}), "l:\n  - 1\n  - 2\n  - 3\n"),
        (
            "an element less",
            "l:\n  - 1 # one\n  - 2\n  - 3 # three\n",
            0,
            json!({"l": [1, 3]}),
            "l:\n  - 1 # one\n  - 3 # three\n",
        ),
        ("a flow list", "l: [1, 2, 3]\n", 0, json!({"l": [1, 9, 3]}), "l: [1, 9, 3]\n"),
        (
            "an anchor beside it",
            "a: &x {b: 1}\nc: *x\nd: 3\n",
            0,
            json!({"d": 0}),
            "a: &x {b: 1}\nc: *x\nd: 0\n",
        ),
        (
            "JSON",
            "{\n  \"a\": 3,\n  \"b\": \"x\"\n}\n",
            0,
            json!({"a": 0}),
            "{\n  \"a\": 0,\n  \"b\": \"x\"\n}\n",
        ),
        ("text beyond ASCII", "ä: 'ö' # ü\na: 3 # €\n", 0, json!({"a": 0}), "ä: 'ö' # ü\na: 0 # €\n"),
        (
            "deep nesting",
            "a:\n    b:\n        c: 3\n",
            0,
            json!({"a": {"b": {"c": 0}}}),
            "a:\n    b:\n        c: 0\n",
        ),
        ("nothing", "a: 3\n", 0, json!({"a": 3}), "a: 3\n"),
    ]);
}

#[test]
fn json_stays_json_with_its_indentation() {
    let text = "{\n    \"a\": \"x\",\n    \"l\": [\n        { \"name\": \"c\" }\n    ],\n    \"m\": {\n        \"k\": 1,\n        \"j\": \"\\\"}\"\n    },\n    \"e\": {}\n}\n";
    let table = [
        (json!({ "a": "nginx" }), text.replace("\"x\"", "\"nginx\"")),
        (json!({ "m": { "j": null } }), text.replace(",\n        \"j\": \"\\\"}\"", "")),
        (json!({ "m": { "k": null } }), text.replace("\"k\": 1,\n        ", "")),
        (
            json!({ "m": { "k": null, "j": null, "n": 1 } }),
            text.replace("\"k\": 1,\n        \"j\": \"\\\"}\"", "\"n\": 1"),
        ),
        (
            json!({ "m": { "n": ["y"] } }),
            text.replace("}\"\n", "}\",\n        \"n\": [\n            \"y\"\n        ]\n"),
        ),
        (
            json!({ "l": [{ "name": "b" }, { "name": "c", "x": 1 }] }),
            text.replace(
                "{ \"name\": \"c\" }",
                "{\n            \"name\": \"b\"\n        },\n        { \"name\": \"c\", \"x\": 1 }",
            ),
        ),
        (json!({ "e": { "n": true } }), text.replace("{}", "{\n        \"n\": true\n    }")),
        (json!({ "l": [] }), text.replace("[\n        { \"name\": \"c\" }\n    ]", "[]")),
    ];
    for (patch, expected) in table {
        for ends in ["\n", "\r\n"] {
            let (text, expected) = (text.replace('\n', ends), expected.replace('\n', ends));
            let edited = merged(&text, 0, &patch).unwrap_or_else(|error| panic!("{patch}: {error}"));
            assert_eq!(edited, expected, "{patch}");
            assert!(serde_json::from_str::<Value>(&edited).is_ok(), "{edited}");
        }
    }
}

#[test]
fn strings_that_some_reader_takes_for_something_else_are_quoted() {
    let words = [
        "yes",
        "No",
        "on",
        "OFF",
        "y",
        "N",
        "true",
        "null",
        "~",
        "",
        " ",
        "1",
        "1.5",
        "1_000",
        "0x10",
        "0o7",
        "1e3",
        "1:30",
        "2026-01-01",
        "=",
        "<<",
        ".inf",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
        "%a",
        "@a",
        "`a",
        "{a}",
        "[a]",
        "'a'",
        "\"a\"",
        "a\nb",
        "a\tb",
        "a\\b",
        "\u{1b}[2J",
        "€",
        "\u{2028}",
        "trailing ",
        "?",
        "|",
        ">",
    ];
    for word in words {
        let edited = merged("a: b # kept\nc: 1\n", 0, &json!({ "a": word }))
            .unwrap_or_else(|error| panic!("{word:?}: {error}"));
        assert_eq!(documents(&edited)[0]["a"], word, "{edited}");
        assert!(edited.starts_with("a: \"") && edited.ends_with("# kept\nc: 1\n"), "{word:?}: {edited}");
    }
    for word in ["b", "nginx", "alpine-deployment", "registry.example.com/a/b"] {
        assert_eq!(merged("a: x\n", 0, &json!({ "a": word })).unwrap(), format!("a: {word}\n"));
    }
}

#[test]
fn what_cannot_be_edited_safely_is_refused() {
    let table = [
        ("an alias", "a: &x {b: 1}\nc: *x\n", json!({"c": {"b": 2}})),
        ("a mapping with a merge key", "x: &x {b: 1}\na:\n  <<: *x\n", json!({"a": {"b": 2}})),
        ("a tag", "a: !custom {b: 1}\n", json!({"a": {"b": 2}})),
    ];
    for (name, text, patch) in table {
        let before = documents(text);
        // Where it is not refused, the result must be what the patch says and all else as it was.
        match merged(text, 0, &patch) {
            Err(EditError::Unsupported(_) | EditError::NotFaithful | EditError::Unreadable(_)) => {}
            Err(error) => panic!("{name}: {error}"),
            Ok(edited) => {
                let after = patched(&before[0], &Change::MergePatch(patch)).unwrap();
                assert_eq!(documents(&edited)[0], after, "{name}");
            }
        }
    }
    for (name, text) in [("a key twice", "a: 1\na: 2\n"), ("no YAML", "a: [1\n"), ("a tab", "a:\n\t- b\n")] {
        let refused = edit(text, 0, &json!({ "a": 3 }));
        assert!(matches!(refused, Err(EditError::Unreadable(_))), "{name}: {refused:?}");
    }
    let deep = format!("a: {}1{}\n", "[".repeat(100_000), "]".repeat(100_000));
    assert!(
        matches!(edit(&deep, 0, &json!({ "a": 3 })), Err(EditError::Unreadable(reason)) if reason.contains("64"))
    );
    assert!(matches!(edit("a: 1\n", 1, &json!({})), Err(EditError::Unreadable(_))), "no such document");
}

/// A line of a mapping with what people write around it.
fn decorated(key: &str, value: &str, comment: &str, blank: bool) -> String {
    let comment = if comment.is_empty() { String::new() } else { format!(" # {comment}") };
    format!("{}{key}: {value}{comment}\n", if blank { "\n" } else { "" })
}

prop_compose! {
    fn a_line()(
        value in prop_oneof![
            Just("1".to_owned()), Just("'single'".to_owned()), Just("\"double\"".to_owned()), Just("plain text".to_owned()),
            Just("{a: 1, b: [2, 3]}".to_owned()), Just("[a, 'b']".to_owned()), Just("|\n    block\n     # text".to_owned()),
            Just("\n    deeper: 1\n    # comment\n    other: 'x'".to_owned()), Just("\n  - one\n  - two: 2\n    b: 3".to_owned()),
        ],
        comment in "[a-zäö :#'\"-]{0,12}",
        blank in any::<bool>(),
    ) -> (String, String, bool) {
        let comment = if value.contains('\n') { String::new() } else { comment.trim().to_owned() };
        (value, comment, blank)
    }
}

proptest! {
    #[test]
    fn outside_of_the_touched_line_every_byte_stays(
        lines in proptest::collection::vec(a_line(), 1..7),
        at in 0_usize..7,
        windows in any::<bool>(),
        documents_before in 0_usize..3,
        replicas in 0_u32..100,
    ) {
        let at = at.min(lines.len());
        let mut text = String::new();
        for _ in 0..documents_before {
            text.push_str("# another document\nspec:\n  replicas: 7\n---\n");
        }
        text.push_str("spec:\n");
        for (number, (value, comment, blank)) in lines.iter().enumerate() {
            if number == at {
                text.push_str("  replicas: 777 # here\n");
            }
            text.push_str(&decorated(&format!("  k{number}"), value, comment, *blank));
        }
        if at == lines.len() {
            text.push_str("  replicas: 777 # here\n");
        }
        let text = if windows { text.replace('\n', "\r\n") } else { text };
        let edited = merged(&text, documents_before, &json!({ "spec": { "replicas": replicas } }));
        let expected = text.replace("replicas: 777", &format!("replicas: {replicas}"));
        prop_assert_eq!(edited.map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?, expected);
    }

    #[test]
    fn an_edit_says_what_the_patch_says_or_is_refused(
        text in "((a|b|- c|'d'|\\[e, f\\]|\\{g: h\\}|i|# j)(:)?( (1|x|\"y\"|\\||>|&z|\\*z|!t))?\n( {0,4})){1,8}",
        value in "[ -~]{0,12}",
    ) {
        let Some(before) = read(&text) else { return Ok(()) };
        let Some(Value::Object(object)) = before.first() else { return Ok(()) };
        let key = object.keys().next().cloned().unwrap_or_else(|| "a".to_owned());
        let after = patched(&before[0], &Change::MergePatch(json!({ key: value }))).unwrap();
        if let Ok(edited) = edit(&text, 0, &after) {
            let mut expected = before.clone();
            expected[0] = after;
            prop_assert_eq!(documents(&edited), expected);
        }
    }
}

/// A document with comments and blank lines, as people write them.
fn part(index: usize) -> impl Strategy<Value = String> {
    let lines =
        ["", "# a comment", "  # indented", "x: 1", "y: |\n  --- no marker\n  text", "z: [1, \"---\"]"];
    let lines = proptest::sample::subsequence(lines.to_vec(), 0..=lines.len()).prop_shuffle();
    lines.prop_map(move |lines| {
        format!("id: {index}\n{}", lines.iter().map(|line| format!("{line}\n")).collect::<String>())
    })
}

proptest! {
    #[test]
    fn the_other_documents_keep_every_byte(
        parts in (2_usize..6).prop_flat_map(|count| (0..count).map(part).collect::<Vec<_>>()),
        at in any::<prop::sample::Index>(), head in "(# head\n){0,2}", begins in any::<bool>(), crlf in any::<bool>(),
        marker in "---( # why)?",
    ) {
        let (index, marker) = (at.index(parts.len()), format!("{marker}\n"));
        let ends = |text: String| if crlf { text.replace('\n', "\r\n") } else { text };
        let stream = |parts: &[String], begins: bool| {
            let begin = if begins { format!("{head}{marker}") } else { String::new() };
            ends(begin + &parts.join(&marker))
        };
        let mut left = parts.clone();
        left.remove(index);
        // A marker that says more than that a document begins stays.
        let bare = begins || index > 0 || marker == "---\n";
        let expected = if bare { stream(&left, begins) } else { ends(marker.clone() + &left.join(&marker)) };
        prop_assert_eq!(without(&stream(&parts, begins), index), Ok(Some(expected)));
    }
}

/// How a list of named objects is written.
#[derive(Debug, Clone, Copy)]
enum Style {
    Block,
    Indented,
    Flow,
    Json,
}

impl Style {
    /// A list whose elements have these images and comments.
    fn list(self, elements: &[(u32, &str)]) -> String {
        let element = |(index, (image, comment)): (usize, &(u32, &str))| match self {
            Self::Block => format!("- name: c{index}{comment}\n  image: v{image}\n"),
            Self::Indented => format!("  - name: c{index}\n    image: v{image}{comment}\n    # its own\n"),
            Self::Flow => format!("  - {{name: c{index}, image: v{image}}}{comment}\n"),
            Self::Json => format!("    {{ \"name\": \"c{index}\", \"image\": \"v{image}\" }}"),
        };
        let elements: Vec<String> = elements.iter().enumerate().map(element).collect();
        match self {
            Self::Json => format!("{{\n  \"list\": [\n{}\n  ],\n  \"z\": 1\n}}\n", elements.join(",\n")),
            _ => format!("list:\n{}z: 1 # last\n", elements.concat()),
        }
    }
}

proptest! {
    #[test]
    fn outside_of_the_touched_elements_every_byte_stays(
        style in prop::sample::select(vec![Style::Block, Style::Indented, Style::Flow, Style::Json]),
        elements in prop::collection::vec((0_u32..9, prop::sample::select(vec!["", " # why", "  # 'x': y"])), 2..8),
        at in any::<prop::sample::Index>(), image in 10_u32..99, windows in any::<bool>(), goes in any::<bool>(),
    ) {
        let ends = |text: String| if windows { text.replace('\n', "\r\n") } else { text };
        let text = ends(style.list(&elements));
        let mut after = documents(&text)[0].clone();
        let index = at.index(elements.len() - 1);
        // One changes, and the one behind it may go: the list is shorter then.
        after["list"][index]["image"] = json!(format!("v{image}"));
        let old = style.list(&elements);
        let (line, new) = (format!("v{}", elements[index].0), format!("v{image}"));
        let begin = old.find(&format!("c{index}")).and_then(|from| old[from..].find(&line).map(|to| from + to));
        let begin = begin.expect("its image");
        let expected = ends(format!("{}{new}{}", &old[..begin], &old[begin + line.len()..]));
        prop_assert_eq!(edit(&text, 0, &after), Ok(expected.clone()));
        if goes {
            after["list"].as_array_mut().unwrap().remove(index + 1);
            let edited = edit(&text, 0, &after).map_err(|error| TestCaseError::fail(format!("{error} in {text}")))?;
            prop_assert_eq!(&documents(&edited)[0], &after);
            let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
            let stays = |line: &String| !line.contains(&format!("c{}", index + 1));
            // What is left of each other element is a line that was there.
            let known = lines(&expected);
            let bare = |line: &str| line.trim_end_matches([',', ']', ' ']).to_owned();
            let known: Vec<String> = known.iter().filter(|line| stays(line)).map(|line| bare(line)).collect();
            for line in lines(&edited) {
                prop_assert!(known.contains(&bare(&line)), "{line} in {edited}");
            }
        }
    }
}
