//! A detached OpenPGP signature (RFC 9580, version 4) of a commit's text, by a private key that gpg has
//! exported.
//!
//! One packet is all that this is, so it is written here, and the arithmetic is that of the SSH keys. The
//! file is the operator's own: what a key says of itself is believed, and whether its self-signatures are
//! right is not looked at, nor who else may revoke it, nor whether a subkey has signed its primary key. Who
//! verifies a commit does that. A signature leaves only if it fits the public key that it names.

mod armor;
mod packet;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use ring::digest::{SHA256, SHA384, SHA512, digest};
use signature::{Signer as _, Verifier as _};
use ssh_key::encoding::Decode as _;
use ssh_key::private::{
    EcdsaKeypair, Ed25519Keypair, Ed25519PrivateKey, KeypairData, RsaKeypair, RsaPrivateKey,
};
use ssh_key::public::{EcdsaPublicKey, Ed25519PublicKey, RsaPublicKey};
use ssh_key::{Mpint, PrivateKey, Signature};

use self::packet::{
    ECDSA, ED25519, EDDSA_LEGACY, Key, Numbers, RSA, RSA_SIGN_ONLY, Reader, Secret, Statement,
};
use super::Reason;
use crate::clock;

/// The curves' names (RFC 9580, section 9.2).
const OID_ED25519: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01];
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];

/// The length of an RSA modulus, in octets: 2048 to 8192 bits.
const RSA_OCTETS: std::ops::RangeInclusive<usize> = 256..=1024;

/// The flag of a key that signs.
const MAY_SIGN: u8 = 0x02;

/// The armored signature of a text at a time in seconds since 1970.
pub(super) fn sign(export: &str, text: &[u8], now_s: i64) -> Result<String, Reason> {
    let packets = armor::read(export)?;
    let parts = parts(&packets)?;
    let key = choose(&parts, now_s)?;
    let created = u32::try_from(now_s).map_err(|_| "the clock shows a year that a signature cannot have")?;
    signature_packet(key, text, created).map(|packet| armor::write(&packet))
}

/// A key of the export, and what it says of itself.
struct Part<'a> {
    key: Key<'a>,
    /// The newest signature that makes it a part of the whole.
    bound: Option<Statement>,
    is_revoked: bool,
}

/// The primary key, and then the subkeys.
fn parts(packets: &[u8]) -> Result<Vec<Part<'_>>, Reason> {
    let mut packets = packet::packets(packets)?.into_iter();
    let whole = |key| Part { key, bound: None, is_revoked: false };
    let primary = match packets.next() {
        Some((packet::SECRET_KEY, body)) => Key::read(packet::SECRET_KEY, body)?,
        Some(_) => return Err("it does not begin with a private key".to_owned()),
        None => return Err("it is empty".to_owned()),
    };
    let primary_id = primary.id();
    let mut parts = vec![whole(primary)];
    for (kind, body) in packets {
        let of_primary = parts.len() == 1;
        match (kind, parts.last_mut()) {
            (packet::SECRET_KEY, _) => {
                return Err("it holds more than one key: export the one that shall sign".to_owned());
            }
            (packet::SECRET_SUBKEY | packet::PUBLIC_SUBKEY, _) => parts.push(whole(Key::read(kind, body)?)),
            (packet::SIGNATURE, Some(part)) => {
                if let Some(said) = Statement::read(body)? {
                    part.take(said, of_primary, primary_id);
                }
            }
            _ => {}
        }
    }
    Ok(parts)
}

impl Part<'_> {
    /// Takes in what a signature behind the key says: the certificate of a user id for the primary key,
    /// which others may certify, too, without a say in what it is for. Whoever says that it is revoked is
    /// believed.
    fn take(&mut self, said: Statement, of_primary: bool, primary_id: [u8; 8]) {
        let is_own = said.issuer == Some(primary_id);
        match (said.kind, of_primary) {
            (0x20, true) | (0x28, false) => self.is_revoked = true,
            (0x10..=0x13, true) | (0x18, false)
                if is_own && self.bound.as_ref().is_none_or(|bound| bound.created_s <= said.created_s) =>
            {
                self.bound = Some(said);
            }
            _ => {}
        }
    }

    /// Why it cannot be used at all, if so.
    fn invalid(&self, now_s: i64) -> Option<Reason> {
        let created_s = i64::from(self.key.created_s);
        if self.key.version != 4 {
            let version = self.key.version;
            return Some(format!("is of version {version}, and only version 4, as gpg makes it, is known"));
        }
        if self.is_revoked {
            return Some("is revoked".to_owned());
        }
        let Some(bound) = &self.bound else { return Some("is not signed by the primary key".to_owned()) };
        let ends_s = created_s + i64::from(bound.lifetime_s);
        if bound.lifetime_s > 0 && ends_s <= now_s {
            return Some(format!("expired at {}", clock::rfc3339(ends_s * 1_000_000)));
        }
        (created_s > now_s).then(|| "is of a time that has not come: look at the clock".to_owned())
    }

    /// Why it is not the one that signs, if so.
    fn unfit(&self, is_primary: bool, now_s: i64) -> Option<Reason> {
        let flags = self.bound.as_ref().and_then(|bound| bound.flags);
        // A key that says nothing may do what its algorithm can; a subkey that signs has always said so.
        let may_sign = flags.map_or(is_primary, |flags| flags & MAY_SIGN != 0);
        match (self.invalid(now_s), &self.key.secret) {
            (Some(reason), _) => Some(reason),
            _ if !may_sign => Some("is not for signing".to_owned()),
            (_, Secret::Absent) => Some("has no secret in this export".to_owned()),
            _ => None,
        }
    }
}

/// The newest subkey that can sign, as gpg takes it, or else the primary key.
fn choose<'a>(parts: &'a [Part<'a>], now_s: i64) -> Result<&'a Key<'a>, Reason> {
    let (primary, subkeys) = parts.split_first().ok_or("it is empty")?;
    if let Some(reason) = primary.invalid(now_s) {
        return Err(format!("its primary key {reason}"));
    }
    let mut subkeys: Vec<&Part<'_>> = subkeys.iter().collect();
    subkeys.sort_by_key(|part| Reverse(part.key.created_s));
    let mut reasons = Vec::new();
    for part in subkeys.into_iter().chain([primary]) {
        let is_primary = std::ptr::eq(part, primary);
        match part.unfit(is_primary, now_s) {
            None => return Ok(&part.key),
            Some(reason) => {
                let name = if is_primary { "primary key" } else { "subkey" };
                reasons.push(format!("the {name} {:016X} {reason}", u64::from_be_bytes(part.key.id())));
            }
        }
    }
    Err(format!("no key in it can sign: {}", reasons.join(", ")))
}

/// Section 5.2.3, with the subpackets that gpg writes.
fn signature_packet(key: &Key<'_>, text: &[u8], created: u32) -> Result<Vec<u8>, Reason> {
    let signer = signer(key)?;
    let (hash_id, hash) = match &signer.key_data() {
        KeypairData::Ecdsa(EcdsaKeypair::NistP256 { .. }) => (8, &SHA256),
        KeypairData::Ecdsa(EcdsaKeypair::NistP384 { .. }) => (9, &SHA384),
        _ => (10, &SHA512),
    };
    let mut packet = vec![4, 0x00, key.algorithm, hash_id, 0, 29];
    // The issuer's fingerprint, and when it was made.
    packet.extend([22, 33, 4]);
    packet.extend(key.fingerprint());
    packet.extend([5, 2]);
    packet.extend(created.to_be_bytes());
    let mut hashed = [text, &packet, &[4, 0xff, 0, 0, 0, 35]].concat();
    let sum = digest(hash, &hashed);
    if matches!(key.algorithm, EDDSA_LEGACY | ED25519) {
        // These sign the sum; the other two make it on their own.
        hashed = sum.as_ref().to_vec();
    }
    let verified = |signed| signer.public_key().key_data().verify(&hashed, &signed).map(|()| signed);
    let signed = signer.try_sign(&hashed).and_then(verified);
    let signed = signed
        .map_err(|_| "its secret does not fit its public key: the file is damaged or forged".to_owned())?;
    packet.extend([0, 10, 9, 16]);
    packet.extend(key.id());
    packet.extend(&sum.as_ref()[..2]);
    packet.extend(numbers(key, &signed)?);
    // The old form of a packet's frame, as gpg has it.
    let mut framed = match u8::try_from(packet.len()) {
        Ok(length) => vec![0x88, length],
        Err(_) => [&[0x89][..], &short(packet.len())?].concat(),
    };
    framed.append(&mut packet);
    Ok(framed)
}

/// The key as the one that signs by its arithmetic.
fn signer(key: &Key<'_>) -> Result<PrivateKey, Reason> {
    let Secret::Clear(secret) = key.secret else {
        return Err("its key has a passphrase, which nobody could type: `gpg --change-passphrase` takes it \
                    off a copy"
            .to_owned());
    };
    let mut secret = Reader(secret);
    let damaged = |error: ssh_key::Error| format!("its key is none that can be used: {error}");
    let keypair = match (key.algorithm, &key.numbers) {
        (RSA | RSA_SIGN_ONLY, Numbers::Rsa { n, e }) => rsa(n, e, &mut secret)?.map_err(damaged)?.into(),
        (EDDSA_LEGACY, Numbers::Curve { oid: OID_ED25519, point: [0x40, point @ ..] }) => {
            ed25519(point, &padded(secret.mpi()?)?).map_err(damaged)?.into()
        }
        (ED25519, Numbers::Ed25519 { point }) => {
            ed25519(point, &padded(secret.take(32)?)?).map_err(damaged)?.into()
        }
        (ECDSA, Numbers::Curve { oid: oid @ (OID_P256 | OID_P384), point }) => {
            let secret = secret.mpi()?;
            KeypairData::Ecdsa(match (*oid, EcdsaPublicKey::from_sec1_bytes(point).map_err(damaged)?) {
                (OID_P256, EcdsaPublicKey::NistP256(public)) => {
                    EcdsaKeypair::NistP256 { public, private: padded::<32>(secret)?.into() }
                }
                (OID_P384, EcdsaPublicKey::NistP384(public)) => {
                    EcdsaKeypair::NistP384 { public, private: padded::<48>(secret)?.into() }
                }
                _ => return Err(unknown(key)),
            })
        }
        _ => return Err(unknown(key)),
    };
    PrivateKey::new(keypair, "").map_err(damaged)
}

fn unknown(key: &Key<'_>) -> Reason {
    format!(
        "its key is {}, which is not known here: Ed25519, RSA, and ECDSA on P-256 and P-384 are",
        key.algorithm_name()
    )
}

fn ed25519(point: &[u8], seed: &[u8; 32]) -> ssh_key::Result<Ed25519Keypair> {
    let public = Ed25519PublicKey::try_from(point)?;
    Ok(Ed25519Keypair { public, private: Ed25519PrivateKey::from_bytes(seed) })
}

/// What OpenPGP calls q and p are p and q to SSH, so that the coefficient is the same number.
fn rsa(n: &[u8], e: &[u8], secret: &mut Reader<'_>) -> Result<ssh_key::Result<RsaKeypair>, Reason> {
    if !RSA_OCTETS.contains(&n.len()) {
        return Err(format!("its key is RSA of {} bits, and 2048 to 8192 are taken", n.len() * 8));
    }
    let number = Mpint::from_positive_bytes;
    let [d, q, p, coefficient] = [secret.mpi()?, secret.mpi()?, secret.mpi()?, secret.mpi()?].map(number);
    let private = RsaPrivateKey::new(d, coefficient, p, q);
    let public = RsaPublicKey::new(number(e), number(n));
    Ok(public.and_then(|public| RsaKeypair::new(public, private?)))
}

/// A number with the zeros before it that an MPI leaves out.
fn padded<const N: usize>(number: &[u8]) -> Result<[u8; N], Reason> {
    let mut whole = [0; N];
    let missing = N.checked_sub(number.len()).ok_or("a secret in it is too long for its curve")?;
    whole[missing..].copy_from_slice(number);
    Ok(whole)
}

/// The numbers of a signature as its packet has them (section 5.2.3.1 and later).
fn numbers(key: &Key<'_>, signed: &Signature) -> Result<Vec<u8>, Reason> {
    let bytes = signed.as_bytes();
    match key.algorithm {
        ED25519 => Ok(bytes.to_vec()),
        EDDSA_LEGACY => {
            let (r, s) = bytes.split_at(bytes.len() / 2);
            Ok([mpi(r)?, mpi(s)?].concat())
        }
        ECDSA => {
            let (mut both, mut found) = (bytes, Vec::new());
            for _ in ["r", "s"] {
                let number = Mpint::decode(&mut both).map_err(|error| format!("it cannot sign: {error}"))?;
                found.extend(mpi(number.as_bytes())?);
            }
            Ok(found)
        }
        _ => mpi(bytes),
    }
}

/// Section 3.2.
fn mpi(number: &[u8]) -> Result<Vec<u8>, Reason> {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    let number = &number[zeros..];
    let unused = number.first().map_or(0, |first| first.leading_zeros() as usize);
    Ok([&short(number.len() * 8 - unused)?[..], number].concat())
}

fn short(number: usize) -> Result<[u8; 2], Reason> {
    u16::try_from(number).map(u16::to_be_bytes).map_err(|_| "a signature became too long".to_owned())
}
