//! The packets of an exported key (RFC 9580): their frames, keys of version 4, and what a key says of
//! itself in signatures of version 4.
//!
//! Nothing is copied, and nothing here has a `Debug` that could show a secret. What is cut off or has an
//! open length is refused; packets and versions that are not known are told as such, because the rest of
//! an export can be used without them.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use super::super::Reason;

/// The kinds of packets that matter (section 5).
pub(super) const SIGNATURE: u8 = 2;
pub(super) const SECRET_KEY: u8 = 5;
pub(super) const SECRET_SUBKEY: u8 = 7;
pub(super) const PUBLIC_SUBKEY: u8 = 14;

/// Algorithms of keys (section 9.1).
pub(super) const RSA: u8 = 1;
pub(super) const RSA_SIGN_ONLY: u8 = 3;
pub(super) const ECDSA: u8 = 19;
pub(super) const EDDSA_LEGACY: u8 = 22;
pub(super) const ED25519: u8 = 27;

/// How GnuPG marks a secret that is not there: a string-to-key number of its own.
const S2K_GNU: u8 = 101;

/// Reads from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, octets: usize) -> Result<&'a [u8], Reason> {
        let taken;
        (taken, self.0) = self.0.split_at_checked(octets).ok_or("a packet of it is cut off")?;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reason> {
        let (taken, rest) = self.0.split_first_chunk().ok_or("a packet of it is cut off")?;
        self.0 = rest;
        Ok(*taken)
    }

    fn octet(&mut self) -> Result<u8, Reason> {
        self.array().map(u8::from_be_bytes)
    }

    fn short(&mut self) -> Result<usize, Reason> {
        self.array().map(|octets| usize::from(u16::from_be_bytes(octets)))
    }

    fn word(&mut self) -> Result<u32, Reason> {
        self.array().map(u32::from_be_bytes)
    }

    /// A number that says its own length in bits (section 3.2).
    pub(super) fn mpi(&mut self) -> Result<&'a [u8], Reason> {
        let bits = self.short()?;
        self.take(bits.div_ceil(8))
    }

    fn long_length(&mut self) -> Result<usize, Reason> {
        usize::try_from(self.word()?).map_err(|_| "a packet of it is too long".to_owned())
    }

    /// What follows the first octet of a length, where both forms of section 4.2.1 and that of section
    /// 5.2.3.7 agree.
    fn two_octets(&mut self, first: u8) -> Result<usize, Reason> {
        Ok((usize::from(first) - 192) * 256 + usize::from(self.octet()?) + 192)
    }

    /// The next packet: its kind and its body (section 4.2).
    fn packet(&mut self) -> Result<(u8, &'a [u8]), Reason> {
        let open = || "a packet of it has an open length, which gpg does not write".to_owned();
        let tag = self.octet()?;
        let (kind, octets) = match (tag & 0x80, tag & 0x40) {
            (0, _) => return Err("what is armored in it are no packets".to_owned()),
            (_, 0) => {
                let octets = match tag & 3 {
                    0 => usize::from(self.octet()?),
                    1 => self.short()?,
                    2 => self.long_length()?,
                    _ => return Err(open()),
                };
                (tag >> 2 & 0x0f, octets)
            }
            _ => {
                let octets = match self.octet()? {
                    first @ ..192 => usize::from(first),
                    first @ 192..224 => self.two_octets(first)?,
                    255 => self.long_length()?,
                    _ => return Err(open()),
                };
                (tag & 0x3f, octets)
            }
        };
        Ok((kind, self.take(octets)?))
    }
}

/// The kinds and bodies of all packets.
pub(super) fn packets(bytes: &[u8]) -> Result<Vec<(u8, &[u8])>, Reason> {
    let (mut reader, mut found) = (Reader(bytes), Vec::new());
    while !reader.0.is_empty() {
        found.push(reader.packet()?);
    }
    Ok(found)
}

/// A primary key or a subkey.
pub(super) struct Key<'a> {
    pub(super) version: u8,
    /// When it was made, in seconds since 1970.
    pub(super) created_s: u32,
    pub(super) algorithm: u8,
    /// The octets that the fingerprint is of.
    pub(super) public: &'a [u8],
    pub(super) numbers: Numbers<'a>,
    pub(super) secret: Secret<'a>,
}

/// The public numbers of an algorithm that is known.
pub(super) enum Numbers<'a> {
    Rsa { n: &'a [u8], e: &'a [u8] },
    Curve { oid: &'a [u8], point: &'a [u8] },
    Ed25519 { point: &'a [u8] },
    Other,
}

/// What an export has of a secret.
pub(super) enum Secret<'a> {
    /// Its numbers, whose checksum was right.
    Clear(&'a [u8]),
    /// Encrypted with a passphrase.
    Protected,
    /// Left out, or on a card.
    Absent,
}

impl<'a> Key<'a> {
    /// Reads section 5.5. Of a key that is not of version 4 nothing but that is known.
    pub(super) fn read(kind: u8, body: &'a [u8]) -> Result<Self, Reason> {
        let mut reader = Reader(body);
        let (version, created_s) = (reader.octet()?, reader.word()?);
        let (numbers, secret) = (Numbers::Other, Secret::Absent);
        if version != 4 {
            return Ok(Self { version, created_s, algorithm: 0, public: body, numbers, secret });
        }
        let algorithm = reader.octet()?;
        let mut key = Self { version, created_s, algorithm, public: body, numbers, secret };
        key.numbers = match Numbers::read(algorithm, &mut reader)? {
            Some(numbers) => numbers,
            // It is for encryption, and where its secret begins is not known.
            None => return Ok(key),
        };
        key.public = &body[..body.len() - reader.0.len()];
        if kind != PUBLIC_SUBKEY {
            key.secret = Secret::read(&mut reader)?;
        }
        Ok(key)
    }

    /// Section 5.5.4.2; nobody's, where the octets are too many for a key of version 4.
    pub(super) fn fingerprint(&self) -> [u8; 20] {
        let length = u16::try_from(self.public.len()).unwrap_or_default().to_be_bytes();
        let hashed = [&[0x99][..], &length, self.public].concat();
        let mut fingerprint = [0; 20];
        fingerprint.copy_from_slice(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed).as_ref());
        fingerprint
    }

    /// The end of the fingerprint.
    pub(super) fn id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        id.copy_from_slice(&self.fingerprint()[12..]);
        id
    }

    /// The algorithm in words.
    pub(super) fn algorithm_name(&self) -> String {
        match self.algorithm {
            RSA | 2 | RSA_SIGN_ONLY => "RSA".to_owned(),
            17 => "DSA".to_owned(),
            ECDSA => "ECDSA on this curve".to_owned(),
            EDDSA_LEGACY => "EdDSA on this curve".to_owned(),
            ED25519 => "Ed25519".to_owned(),
            28 => "Ed448".to_owned(),
            number => format!("algorithm {number}"),
        }
    }
}

impl<'a> Numbers<'a> {
    /// Section 5.5.5, as far as algorithms sign.
    fn read(algorithm: u8, reader: &mut Reader<'a>) -> Result<Option<Self>, Reason> {
        Ok(Some(match algorithm {
            RSA | 2 | RSA_SIGN_ONLY => Self::Rsa { n: reader.mpi()?, e: reader.mpi()? },
            17 => {
                for _ in ["p", "q", "g", "y"] {
                    reader.mpi()?;
                }
                Self::Other
            }
            ECDSA | EDDSA_LEGACY => {
                let octets = usize::from(reader.octet()?);
                Self::Curve { oid: reader.take(octets)?, point: reader.mpi()? }
            }
            ED25519 => Self::Ed25519 { point: reader.take(32)? },
            28 => {
                reader.take(57)?;
                Self::Other
            }
            _ => return Ok(None),
        }))
    }
}

impl<'a> Secret<'a> {
    /// Section 5.5.3, and GnuPG's own way to say that there is none.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Reason> {
        match reader.octet()? {
            0 => {}
            253..=255 if matches!(reader.0, [_, S2K_GNU, _, b'G', b'N', b'U', ..]) => {
                return Ok(Self::Absent);
            }
            _ => return Ok(Self::Protected),
        }
        let secret = reader.take(reader.0.len().saturating_sub(2))?;
        let sum = secret.iter().fold(0, |sum: u16, octet| sum.wrapping_add(u16::from(*octet)));
        if reader.short()? != usize::from(sum) {
            return Err("the checksum of a secret in it is wrong: the file is damaged".to_owned());
        }
        Ok(Self::Clear(secret))
    }
}

/// What a signature says of a key.
pub(super) struct Statement {
    /// Section 5.2.1.
    pub(super) kind: u8,
    /// When it was made, in seconds since 1970.
    pub(super) created_s: u32,
    /// Whose it says to be.
    pub(super) issuer: Option<[u8; 8]>,
    /// What the key is for (section 5.2.3.29).
    pub(super) flags: Option<u8>,
    /// How long the key is good from when it was made, in seconds; without end if 0.
    pub(super) lifetime_s: u32,
}

impl Statement {
    /// Reads section 5.2.3, without looking at whether the signature is right; nothing of a version other
    /// than 4.
    pub(super) fn read(body: &[u8]) -> Result<Option<Self>, Reason> {
        let mut reader = Reader(body);
        if reader.octet()? != 4 {
            return Ok(None);
        }
        let kind = reader.octet()?;
        reader.take(2)?;
        let mut found = Self { kind, created_s: 0, issuer: None, flags: None, lifetime_s: 0 };
        for is_hashed in [true, false] {
            let octets = reader.short()?;
            let mut area = Reader(reader.take(octets)?);
            while !area.0.is_empty() {
                let octets = match area.octet()? {
                    first @ ..192 => usize::from(first),
                    255 => area.long_length()?,
                    first => area.two_octets(first)?,
                };
                let mut subpacket = Reader(area.take(octets)?);
                found.take(is_hashed, subpacket.octet()? & 0x7f, subpacket)?;
            }
        }
        Ok(Some(found))
    }

    /// Takes one subpacket in. Whose a signature is may stand where it is not signed; nothing else.
    fn take(&mut self, is_hashed: bool, kind: u8, mut value: Reader<'_>) -> Result<(), Reason> {
        match kind {
            2 if is_hashed => self.created_s = value.word()?,
            9 if is_hashed => self.lifetime_s = value.word()?,
            16 => self.issuer = Some(value.array()?),
            27 if is_hashed => self.flags = Some(value.0.first().copied().unwrap_or_default()),
            33 if value.octet()? == 4 => {
                value.take(12)?;
                self.issuer = Some(value.array()?);
            }
            _ => {}
        }
        Ok(())
    }
}
