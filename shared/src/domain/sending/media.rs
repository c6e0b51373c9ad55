//! Files to send: the types that Meta accepts (`docs/meta/messages.md#section-9`). A type is detected from the bytes,
//! not from a file name.

mod detect;

/// Type of a file that Meta accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MediaType {
    mime: &'static str,
    kind: MediaKind,
}

/// Kind of message that a file can be sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Audio.
    Audio,
    /// Document.
    Document,
    /// Image.
    Image,
    /// Sticker.
    Sticker,
    /// Video.
    Video,
}

/// Rule that a file breaks, so that it cannot be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsendable(pub String);

const MEGABYTE: usize = 1024 * 1024;
/// Largest static sticker, in bytes.
const STATIC_STICKER_MAX: usize = 100 * 1024;
/// Largest animated sticker, in bytes.
const ANIMATED_STICKER_MAX: usize = 500 * 1024;
/// Width and height of a sticker, in pixels.
const STICKER_SIDE: u32 = 512;
/// H.264 profile number of "High", which Android phones may not play.
const PROFILE_HIGH: u8 = 100;

const TYPES: [MediaType; 17] = {
    use MediaKind::{Audio, Document, Image, Sticker, Video};
    const fn of(mime: &'static str, kind: MediaKind) -> MediaType {
        MediaType { mime, kind }
    }
    [
        of("audio/aac", Audio),
        of("audio/amr", Audio),
        of("audio/mpeg", Audio),
        of("audio/mp4", Audio),
        of("audio/ogg", Audio),
        of("text/plain", Document),
        of("application/pdf", Document),
        of("application/vnd.ms-powerpoint", Document),
        of("application/msword", Document),
        of("application/vnd.ms-excel", Document),
        of("application/vnd.openxmlformats-officedocument.wordprocessingml.document", Document),
        of("application/vnd.openxmlformats-officedocument.presentationml.presentation", Document),
        of("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", Document),
        of("image/jpeg", Image),
        of("image/png", Image),
        of("image/webp", Sticker),
        of("video/mp4", Video),
    ]
};
/// Separate from `TYPES`, because detection returns it directly.
const THREE_GPP: MediaType = MediaType { mime: "video/3gpp", kind: MediaKind::Video };

impl MediaKind {
    /// Returns Meta's word for the kind of message.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Document => "document",
            Self::Image => "image",
            Self::Sticker => "sticker",
            Self::Video => "video",
        }
    }

    fn most_bytes(self) -> usize {
        match self {
            Self::Audio | Self::Video => 16 * MEGABYTE,
            Self::Document => 100 * MEGABYTE,
            Self::Image => 5 * MEGABYTE,
            Self::Sticker => ANIMATED_STICKER_MAX,
        }
    }
}

impl MediaType {
    /// Returns the type with this MIME type.
    #[must_use]
    pub fn from_mime(mime: &str) -> Option<Self> {
        TYPES.into_iter().chain([THREE_GPP]).find(|one| one.mime == mime)
    }

    /// Returns the type that a caller declares, under any name in use for it.
    #[must_use]
    pub fn from_declared(mime: &str) -> Option<Self> {
        let mime = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let registered = match mime.as_str() {
            "image/jpg" | "image/pjpeg" => "image/jpeg",
            "image/x-png" => "image/png",
            "audio/mp3" | "audio/mpeg3" | "audio/x-mpeg" | "audio/x-mp3" => "audio/mpeg",
            "audio/m4a" | "audio/x-m4a" | "audio/x-mp4" => "audio/mp4",
            "audio/x-aac" | "audio/aacp" => "audio/aac",
            "audio/opus" | "application/ogg" => "audio/ogg",
            "audio/x-amr" => "audio/amr",
            "application/x-pdf" => "application/pdf",
            "video/3gp" => "video/3gpp",
            other => other,
        };
        Self::from_mime(registered)
    }

    /// Returns the MIME type.
    #[must_use]
    pub fn mime(self) -> &'static str {
        self.mime
    }

    /// Returns the MIME type for an upload to Meta, which refuses plain `audio/ogg`.
    #[must_use]
    pub fn wire(self) -> &'static str {
        if self.mime == "audio/ogg" { "audio/ogg; codecs=opus" } else { self.mime }
    }

    /// Returns the default kind of message for this type.
    #[must_use]
    pub fn kind(self) -> MediaKind {
        self.kind
    }

    /// Returns whether a message of this kind accepts the type. A document may have any type but a sticker's.
    #[must_use]
    pub fn fits(self, kind: &str) -> bool {
        self.kind.as_str() == kind || (kind == "document" && self.kind != MediaKind::Sticker)
    }

    /// Detects the type of a file from its bytes, and checks the rules that Meta would enforce.
    ///
    /// # Errors
    /// A text for the caller: Meta does not accept the type, the file is too large, or its encoding is not supported.
    pub fn of(bytes: &[u8]) -> Result<Self, Unsendable> {
        let Some(found) = detect::mime(bytes).and_then(Self::from_mime) else {
            let types: Vec<&str> = TYPES.iter().chain([&THREE_GPP]).map(|one| one.mime).collect();
            return Err(Unsendable(format!("must be one of {}", types.join(", "))));
        };
        let most = found.kind.most_bytes();
        if bytes.len() > most {
            return Err(Unsendable(format!("must be at most {most} bytes for {}", found.mime)));
        }
        match found.mime {
            "audio/ogg" => opus(bytes)?,
            "image/png" => png(bytes)?,
            "image/webp" => sticker(bytes)?,
            "video/mp4" | "video/3gpp" => video(bytes)?,
            _ => {}
        }
        Ok(found)
    }
}

/// Checks that an OGG file is Opus with one channel, the only form that Meta accepts.
fn opus(bytes: &[u8]) -> Result<(), Unsendable> {
    const HEAD: &[u8] = b"OpusHead";
    let head = bytes.windows(HEAD.len()).take(256).position(|window| window == HEAD);
    let channels = head.and_then(|at| bytes.get(at + HEAD.len() + 1));
    match channels {
        Some(1) => Ok(()),
        Some(_) => Err(Unsendable("must be Opus with one channel (mono)".to_owned())),
        None => Err(Unsendable("must be Opus: Meta takes no other OGG audio".to_owned())),
    }
}

/// Checks that a PNG has 8 bits per channel and is RGB or RGBA, as Meta requires.
fn png(bytes: &[u8]) -> Result<(), Unsendable> {
    match (bytes.get(24), bytes.get(25)) {
        (Some(8), Some(2 | 6)) => Ok(()),
        _ => Err(Unsendable("must be a PNG of 8 bits, RGB or RGBA".to_owned())),
    }
}

fn sticker(bytes: &[u8]) -> Result<(), Unsendable> {
    let short = |at: usize| bytes.get(at..at + 2).map(|two| u32::from(u16::from_le_bytes([two[0], two[1]])));
    let long = |at: usize| bytes.get(at..at + 3).map(|three| u32::from_le_bytes([three[0], three[1], three[2], 0]));
    let (animated, side) = match bytes.get(12..16) {
        Some(b"VP8X") => {
            let flags = bytes.get(20).copied().unwrap_or(0);
            (flags & 2 != 0, long(24).zip(long(27)).map(|(width, height)| (width + 1, height + 1)))
        }
        Some(b"VP8 ") => (false, short(26).zip(short(28)).map(|(width, height)| (width & 0x3fff, height & 0x3fff))),
        Some(b"VP8L") => {
            let bits = bytes.get(21..25).map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]));
            (false, bits.map(|bits| ((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1)))
        }
        _ => (false, None),
    };
    if side != Some((STICKER_SIDE, STICKER_SIDE)) {
        return Err(Unsendable(format!("must be {STICKER_SIDE} by {STICKER_SIDE} pixels, as stickers are")));
    }
    if !animated && bytes.len() > STATIC_STICKER_MAX {
        return Err(Unsendable(format!("must be at most {STATIC_STICKER_MAX} bytes for a sticker that does not move")));
    }
    Ok(())
}

/// Checks that a video is H.264 and not of the High profile, according to its `avcC` box.
fn video(bytes: &[u8]) -> Result<(), Unsendable> {
    let at = memchr::memmem::find(bytes, b"avcC");
    let profile = at.and_then(|at| bytes.get(at + 5)).copied();
    let other =
        [&b"hvc1"[..], b"hev1", b"av01", b"vp09"].into_iter().any(|it| memchr::memmem::find(bytes, it).is_some());
    match profile {
        Some(PROFILE_HIGH) => Err(Unsendable("must not use H.264's High profile: use Baseline or Main".to_owned())),
        Some(_) => Ok(()),
        None if other => Err(Unsendable("must be H.264 video with AAC audio".to_owned())),
        // Older 3GPP videos use H.263 or MPEG-4 part 2; Meta decides about them.
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn webp(width: u32, height: u32, animated: bool, size: usize) -> Vec<u8> {
        let mut bytes = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0".to_vec();
        bytes.extend([if animated { 2 } else { 0 }, 0, 0, 0]);
        bytes.extend(&(width - 1).to_le_bytes()[..3]);
        bytes.extend(&(height - 1).to_le_bytes()[..3]);
        bytes.resize(size, 0);
        bytes
    }

    fn png(depth: u8, colour: u8) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01".to_vec();
        bytes.extend([depth, colour, 0, 0, 0]);
        bytes
    }

    fn ogg(head: &[u8]) -> Vec<u8> {
        let mut bytes = b"OggS\0\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x13".to_vec();
        bytes.extend(head);
        bytes
    }

    fn film(brand: &[u8; 4], inside: &[u8]) -> Vec<u8> {
        let mut bytes = b"\0\0\0\x18ftyp".to_vec();
        bytes.extend(brand);
        bytes.extend(b"\0\0\0\0isommp42");
        bytes.extend(inside);
        bytes
    }

    #[test]
    fn a_file_is_what_its_bytes_say() {
        let cases: [(Vec<u8>, &str); 13] = [
            (film(b"isom", b"hdlr\0\0\0\0\0\0\0\0soun"), "audio/mp4"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), "image/jpeg"),
            (png(8, 2), "image/png"),
            (webp(512, 512, false, 4_000), "image/webp"),
            (webp(512, 512, true, 400_000), "image/webp"),
            (b"%PDF-1.7\n".to_vec(), "application/pdf"),
            (b"a plain text\nof two lines".to_vec(), "text/plain"),
            (b"ID3\x04\0\0".to_vec(), "audio/mpeg"),
            (b"#!AMR\n\x3c\0\0\0\0\0\0".to_vec(), "audio/amr"),
            (ogg(b"OpusHead\x01\x01"), "audio/ogg"),
            (film(b"M4A ", b""), "audio/mp4"),
            (film(b"isom", b"avcC\x01\x4d"), "video/mp4"),
            (film(b"3gp4", b""), "video/3gpp"),
        ];
        for (bytes, mime) in cases {
            assert_eq!(MediaType::of(&bytes).map(MediaType::mime), Ok(mime));
            assert_eq!(MediaType::from_mime(mime).map(MediaType::mime), Some(mime));
        }
    }

    #[test]
    fn what_meta_would_refuse_is_refused_with_the_rule() {
        let cases: [(Vec<u8>, &str); 11] = [
            (film(b"qt  ", b"avcC\x01\x4d"), "must be one of"),
            (b"MZ\x90\0\x03\0\0\0".to_vec(), "must be one of"),
            (Vec::new(), "must be one of"),
            (b"GIF89a".to_vec(), "must be one of"),
            (png(16, 2), "8 bits"),
            (webp(100, 512, false, 4_000), "512 by 512"),
            (webp(512, 512, false, 200_000), "does not move"),
            (webp(512, 512, true, 600_000), "at most 512000 bytes"),
            (ogg(b"OpusHead\x01\x02"), "one channel"),
            (ogg(b"\x01vorbis"), "must be Opus"),
            (film(b"isom", b"avcC\x01\x64"), "High profile"),
        ];
        for (bytes, rule) in cases {
            let refused = MediaType::of(&bytes).unwrap_err().0;
            assert!(refused.contains(rule), "{refused} instead of {rule}");
        }
        let mut large = b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec();
        large.resize(5 * MEGABYTE + 1, 0);
        assert!(MediaType::of(&large).unwrap_err().0.contains("at most 5242880 bytes"));
    }
}
