//! The text around packets (RFC 9580, section 6): a private key's is read, a signature's is written.
//!
//! What is read is held to the form that gpg writes; its checksum is looked at where there is one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::Reason;

/// The largest export that is read, in bytes: a key with a few photos and many signatures by others.
const EXPORT_BYTES_MAX: usize = 256 * 1024;

/// How many characters of base64 gpg writes on a line.
const LINE_CHARS: usize = 64;

const BEGIN_KEY: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";
const END_KEY: &str = "-----END PGP PRIVATE KEY BLOCK-----";

/// The packets of an exported private key.
pub(super) fn read(text: &str) -> Result<Vec<u8>, Reason> {
    if text.len() > EXPORT_BYTES_MAX {
        return Err(format!(
            "it is longer than {EXPORT_BYTES_MAX} bytes: `--export-options export-minimal` leaves out what \
             others have signed"
        ));
    }
    let mut lines = text.lines().map(str::trim_end);
    match lines.next() {
        Some(BEGIN_KEY) => {}
        Some("-----BEGIN PGP PUBLIC KEY BLOCK-----") => {
            return Err(
                "it holds the public key: export the private one with --export-secret-keys".to_owned()
            );
        }
        _ => {
            return Err(format!(
                "it does not begin with {BEGIN_KEY}, as `gpg --armor --export-secret-keys` writes it"
            ));
        }
    }
    if !lines.by_ref().take_while(|line| !line.is_empty()).all(|line| line.contains(": ")) {
        return Err("an empty line is missing behind the first lines of its armor".to_owned());
    }
    let (mut body, mut checksum) = (String::new(), None);
    loop {
        let line = lines.next().ok_or_else(|| format!("{END_KEY} is missing: the file is cut off"))?;
        match line.strip_prefix('=') {
            _ if line == END_KEY => break,
            _ if checksum.is_some() => return Err("something stands behind its checksum".to_owned()),
            Some(sum) => checksum = Some(sum),
            None => body.push_str(line),
        }
    }
    if lines.next().is_some() {
        return Err(format!("something stands behind {END_KEY}: export this one key alone"));
    }
    let packets = STANDARD.decode(body).map_err(|error| format!("its base64 is damaged: {error}"))?;
    match checksum {
        Some(sum) if sum != STANDARD.encode(crc24(&packets)) => {
            Err("its checksum is of something else: the file is damaged".to_owned())
        }
        _ => Ok(packets),
    }
}

/// A signature as gpg writes it, checksum and all.
pub(super) fn write(packet: &[u8]) -> String {
    let mut text = "-----BEGIN PGP SIGNATURE-----\n\n".to_owned();
    for (place, character) in STANDARD.encode(packet).chars().enumerate() {
        if place > 0 && place % LINE_CHARS == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text + "\n=" + &STANDARD.encode(crc24(packet)) + "\n-----END PGP SIGNATURE-----\n"
}

/// Section 6.1.1.
fn crc24(bytes: &[u8]) -> [u8; 3] {
    let mut crc: u32 = 0x00b7_04ce;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    let [_, first, second, third] = crc.to_be_bytes();
    [first, second, third]
}
