//! Keys that gpg has exported, and the signatures that gpg has made with them of one text at one time.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::{any, prop, prop_assert, proptest};

use super::{Reader, Secret, armor, packet, parts, sign};

/// When gpg signed: 2026-06-01 at noon.
const THEN_S: i64 = 1_780_315_200;
const DAY_S: i64 = 24 * 60 * 60;

/// When the keys were made: 2026-01-01.
const MADE_S: i64 = 1_767_225_600;

fn file(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/keys/openpgp");
    std::fs::read_to_string(folder.join(name)).expect(name)
}

fn key(name: &str) -> String {
    file(&format!("{name}.asc"))
}

/// A private key's armor, without a checksum.
fn armored(packets: &[u8]) -> String {
    let body = STANDARD.encode(packets);
    format!("-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{body}\n-----END PGP PRIVATE KEY BLOCK-----\n")
}

fn packets_of(name: &str) -> Vec<u8> {
    armor::read(&key(name)).expect(name)
}

/// Packets with the longest form of a frame.
fn framed(packets: &[(u8, &[u8])]) -> Vec<u8> {
    let frame = |(kind, body): &(u8, &[u8])| {
        let length = u32::try_from(body.len()).expect("a length").to_be_bytes();
        [&[0xc0 | kind, 255][..], &length, body].concat()
    };
    packets.iter().flat_map(frame).collect()
}

/// The key id that an armored signature names.
fn issuer(signature: &str) -> [u8; 8] {
    let body: String = signature.lines().filter(|line| !line.starts_with(['-', '='])).collect();
    let bytes = STANDARD.decode(body).expect("base64");
    let packets = packet::packets(&bytes).expect("a packet");
    packet::Statement::read(packets[0].1).expect("whole").expect("version 4").issuer.expect("an issuer")
}

#[test]
fn every_signature_is_to_the_byte_what_gpg_makes() {
    let cases = [
        ("ed25519", "text", "ed25519"),
        // Its number R begins with a zero octet.
        ("ed25519", "text-short", "ed25519-short"),
        // The secret begins with a zero octet.
        ("short", "text", "short"),
        ("subkey", "text", "subkey"),
        ("subkey-alone", "text", "subkey"),
        ("newest", "text", "newest"),
        ("rsa", "text", "rsa"),
        ("p256", "text", "p256"),
        ("p384", "text", "p384"),
    ];
    for (name, text, signature) in cases {
        let signed = sign(&key(name), file(text).as_bytes(), THEN_S).expect(name);
        assert_eq!(signed, file(&format!("{signature}.sig")), "{name}");
    }
    let copied = key("ed25519").replace('\n', "\r\n");
    let signed = sign(&copied, file("text").as_bytes(), THEN_S).expect("line ends of Windows");
    assert_eq!(signed, file("ed25519.sig"));
}

#[test]
fn the_native_form_of_ed25519_signs_too() {
    // What OpenPGP.js has found right, by a key of its own.
    let signed = sign(&key("new-ed25519"), file("text").as_bytes(), THEN_S).expect("a signature");
    assert_eq!(signed, file("new-ed25519.sig"));
}

#[test]
fn the_newest_subkey_that_is_good_then_signs() {
    let packets = packets_of("newest");
    let ids: Vec<[u8; 8]> = parts(&packets).expect("keys").iter().map(|part| part.key.id()).collect();
    // One subkey is as old as the key, one of the first of February, one of the first of March for a day.
    let cases = [(14, 1), (45, 2), (59, 3), (60, 2), (151, 2)];
    for (day, which) in cases {
        let signed = sign(&key("newest"), b"text", MADE_S + day * DAY_S + 60).expect("a signature");
        assert_eq!(issuer(&signed), ids[which], "day {day}");
    }
}

#[test]
fn what_cannot_sign_says_why_and_what_to_do() {
    let damaged = key("rsa").replacen("lQ", "lR", 1);
    let cases = [
        (key("public"), "--export-secret-keys"),
        (key("protected"), "gpg --change-passphrase"),
        (key("expired"), "expired at 2026-01-02"),
        (key("revoked"), "its primary key is revoked"),
        (
            key("revoked-subkey"),
            "the subkey 282096CB20406C72 is revoked, the primary key 36F2E3146A254C0B is not for signing",
        ),
        (key("p521"), "ECDSA on this curve"),
        (key("dsa"), "DSA"),
        (key("rsa1024"), "RSA of 1024 bits"),
        (key("two"), "more than one key"),
        (key("version-6"), "version 6"),
        (key("ed25519").lines().take(5).collect::<Vec<_>>().join("\n"), "cut off"),
        (key("ed25519") + &key("rsa"), "something stands behind"),
        (key("ed25519").replacen("\n\n", "\n", 1), "empty line"),
        (key("ed25519").replacen("\n=", "\n=A", 1), "checksum"),
        (key("ed25519").replacen("\nl", "\nl!", 1), "base64"),
        (damaged, "checksum"),
        (armored(&packets_of("rsa")[..900]), "cut off"),
        (armored(b"-"), "no packets"),
        (armored(&[0x97, 4]), "open length"),
        (armored(&[0xc5, 0xe1, 4]), "open length"),
        (armored(&[0xcd, 1, b'x']), "does not begin with a private key"),
        (armored(&[]), "empty"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(), "gpg --armor"),
        (String::new(), "gpg --armor"),
        ("x".repeat(256 * 1024 + 1), "262144 bytes"),
    ];
    for (export, words) in cases {
        let reason = sign(&export, b"text", THEN_S).expect_err(words);
        assert!(reason.contains(words), "{words}: {reason}");
    }
    let early = sign(&key("ed25519"), b"text", MADE_S - 1).expect_err("it is not made yet");
    assert!(early.contains("look at the clock"), "{early}");
    let late = sign(&key("ed25519"), b"text", i64::from(u32::MAX) + 1).expect_err("the year 2106");
    assert!(late.contains("the clock"), "{late}");
}

#[test]
fn a_secret_that_is_left_out_of_an_export_does_not_sign() {
    let whole = packets_of("subkey-alone");
    let mut alone = packet::packets(&whole).expect("packets");
    let subkey = alone.iter().position(|(kind, _)| *kind == packet::SECRET_SUBKEY).expect("a subkey");
    alone.truncate(subkey);
    let reason = sign(&armored(&framed(&alone)), b"text", THEN_S).expect_err("it has a stub only");
    assert!(reason.contains("is not for signing"), "{reason}");
    let whole = packets_of("newest");
    let mut public: Vec<_> = packet::packets(&whole).expect("packets");
    for (kind, _) in public.iter_mut().filter(|(kind, _)| *kind == packet::SECRET_SUBKEY) {
        *kind = packet::PUBLIC_SUBKEY;
    }
    let signed = sign(&armored(&framed(&public)), b"text", THEN_S).expect("the primary key signs");
    assert_eq!(issuer(&signed), parts(&whole).expect("keys")[0].key.id());
}

#[test]
fn what_others_say_of_a_key_does_not_count() {
    let (whole, others) = (packets_of("expired"), packets_of("ed25519"));
    let mut certified = packet::packets(&whole).expect("packets");
    // A certificate without an end, by another key, of a later time: it would be the newest.
    certified.push(packet::packets(&others).expect("packets")[2]);
    let reason = sign(&armored(&framed(&certified)), b"text", THEN_S).expect_err("it is expired");
    assert!(reason.contains("expired"), "{reason}");
}

#[test]
fn a_secret_that_was_changed_signs_nothing() {
    for name in ["ed25519", "new-ed25519", "rsa", "p256", "p384"] {
        let mut packets = packets_of(name);
        let Secret::Clear(secret) = parts(&packets).expect("keys")[0].key.secret else { panic!("{name}") };
        let at = secret.as_ptr() as usize - packets.as_ptr() as usize;
        let end = at + secret.len();
        packets[at + 8] ^= 1;
        let damaged = sign(&armored(&packets), b"text", THEN_S).expect_err(name);
        assert!(damaged.contains("checksum of a secret"), "{name}: {damaged}");
        let sum: u16 = packets[at..end].iter().fold(0, |sum, octet| sum.wrapping_add(u16::from(*octet)));
        packets[end..end + 2].copy_from_slice(&sum.to_be_bytes());
        let forged = sign(&armored(&packets), b"text", THEN_S).expect_err(name);
        assert!(forged.contains("does not fit"), "{name}: {forged}");
    }
}

const NAMES: [&str; 6] = ["ed25519", "newest", "p256", "new-ed25519", "subkey-alone", "rsa"];

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(sign(&text, b"text", THEN_S).is_err());
        prop_assert!(sign(&armored(&bytes), b"text", THEN_S).is_err());
    }

    #[test]
    fn no_damage_of_a_key_makes_it_panic(
        which in 0..NAMES.len(), damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut in any::<usize>(),
    ) {
        let mut packets = packets_of(NAMES[which]);
        for (at, octet) in damage {
            let at = at % packets.len();
            packets[at] = octet;
        }
        drop(sign(&armored(&packets), b"text", THEN_S));
        drop(sign(&armored(&packets[..cut % packets.len()]), b"text", THEN_S));
    }

    #[test]
    fn no_packet_makes_a_reader_panic(
        kind in any::<u8>(), body in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        drop(packet::Key::read(kind, &body));
        drop(packet::Key::read(kind, &[&[4, 0, 0, 0, 0][..], &body].concat()));
        drop(packet::Statement::read(&body));
        drop(packet::Statement::read(&[&[4][..], &body].concat()));
        prop_assert!(Reader(&body).take(body.len() + 1).is_err());
    }
}
