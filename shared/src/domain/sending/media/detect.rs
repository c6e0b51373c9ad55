//! Detection of a file's type from its bytes. A type that is not certain is none: a wrong one would be sent under a
//! false name.

/// Bytes in which a PDF's header may be preceded by white space, as readers allow.
const PDF_LEAD_MAX: usize = 1024;
/// Length of a record at the end of a ZIP file without its comment, and of an entry of its directory without its name.
const ZIP_END: usize = 22;
const ZIP_ENTRY: usize = 46;
/// Most entries of a ZIP directory that are read; office documents have some dozens.
const ZIP_ENTRIES_MAX: usize = 10_000;
/// Brands of ISO media files that are pictures.
const PICTURES: [&[u8; 4]; 12] =
    [b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"mif2", b"msf1", b"avif", b"avis", b"crx "];
/// Brands of ISO media files that are films, or sound if they have no picture.
const FILMS: [&[u8; 4]; 20] = [
    b"isom", b"iso2", b"iso3", b"iso4", b"iso5", b"iso6", b"iso7", b"iso8", b"iso9", b"mp41", b"mp42", b"mp71",
    b"avc1", b"dash", b"M4V ", b"M4VH", b"M4VP", b"mmp4", b"MSNV", b"f4v ",
];

/// Returns the MIME type of a file.
pub(super) fn mime(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"OggS") {
        return Some("audio/ogg");
    }
    if let Some(brand) = bytes.get(4..12).filter(|head| head.starts_with(b"ftyp")).map(|head| &head[4..8]) {
        return iso_media(bytes, brand);
    }
    if bytes.starts_with(b"PK\x03\x04") {
        return office(bytes);
    }
    let lead = bytes.iter().take(PDF_LEAD_MAX).take_while(|byte| byte.is_ascii_whitespace() || **byte == 0).count();
    if bytes.get(lead..).is_some_and(|rest| rest.starts_with(b"%PDF-")) {
        return Some("application/pdf");
    }
    if is_mp3_frame(bytes) {
        return Some("audio/mpeg");
    }
    match infer::get(bytes).map(|found| found.mime_type()) {
        Some("audio/x-aac") => Some("audio/aac"),
        // The first two bytes of a frame alone are too little.
        Some("audio/mpeg") if !bytes.starts_with(b"ID3") => None,
        Some(mime) => Some(mime),
        None => is_text(bytes).then_some("text/plain"),
    }
}

/// Returns the type of an ISO media file, which names its brand. Many phones use the same brand for sound and films, so
/// the tracks decide.
fn iso_media(bytes: &[u8], brand: &[u8]) -> Option<&'static str> {
    let length = bytes.get(..4).and_then(|head| usize::try_from(u32::from_be_bytes(head.try_into().ok()?)).ok());
    let listed = bytes.get(16..length.unwrap_or(0).min(bytes.len())).unwrap_or_default();
    let is_picture = |brand: &[u8]| PICTURES.iter().any(|picture| picture.as_slice() == brand);
    let (sound, film) = (has_track(bytes, b"soun"), has_track(bytes, b"vide"));
    // A film may list a picture's brand, for its cover.
    if is_picture(brand) || (!sound && !film && listed.chunks(4).any(is_picture)) {
        return None;
    }
    if brand.starts_with(b"3g") {
        return Some("video/3gpp");
    }
    if brand == b"M4A " || brand == b"M4B " || (sound && !film && brand != b"qt  ") {
        return Some("audio/mp4");
    }
    // QuickTime is not accepted by Meta.
    let is_film = brand != b"qt  " && (film || FILMS.iter().any(|known| known.as_slice() == brand));
    is_film.then_some("video/mp4")
}

/// Returns whether an ISO media file has a track of this kind, according to its handler box.
fn has_track(bytes: &[u8], kind: &[u8; 4]) -> bool {
    memchr::memmem::find_iter(bytes, b"hdlr").any(|at| bytes.get(at + 12..at + 16) == Some(kind))
}

/// Returns the type of an office document: a ZIP file whose directory shows the folder of a program, in any order of
/// its entries.
fn office(bytes: &[u8]) -> Option<&'static str> {
    let end = memchr::memmem::rfind(bytes, b"PK\x05\x06")?;
    let record = bytes.get(end..end + ZIP_END)?;
    let number = |at: usize| Some(usize::from(u16::from_le_bytes(record.get(at..at + 2)?.try_into().ok()?)));
    let directory = usize::try_from(u32::from_le_bytes(record.get(16..20)?.try_into().ok()?)).ok()?;
    let (mut at, mut has_types, mut found) = (directory, false, None);
    for _ in 0..number(10)?.min(ZIP_ENTRIES_MAX) {
        let entry = bytes.get(at..at + ZIP_ENTRY).filter(|entry| entry.starts_with(b"PK\x01\x02"))?;
        let part = |at: usize| usize::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
        let name = bytes.get(at + ZIP_ENTRY..at + ZIP_ENTRY + part(28))?;
        has_types |= name == b"[Content_Types].xml";
        found = found.or(match name {
            name if name.starts_with(b"word/") => {
                Some("application/vnd.openxmlformats-officedocument.wordprocessingml.document")
            }
            name if name.starts_with(b"ppt/") => {
                Some("application/vnd.openxmlformats-officedocument.presentationml.presentation")
            }
            name if name.starts_with(b"xl/") => {
                Some("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet")
            }
            _ => None,
        });
        at += ZIP_ENTRY + part(28) + part(30) + part(32);
    }
    found.filter(|_| has_types)
}

/// Returns whether the file begins with a frame of MPEG audio, layer III, without an ID3 tag.
fn is_mp3_frame(bytes: &[u8]) -> bool {
    let Some([0xff, version, rates, ..]) = bytes.get(..4) else { return false };
    let is_layer_three = version & 0b1110_0110 == 0b1110_0010 && version & 0b0001_1000 != 0b0000_1000;
    let (bit_rate, sample_rate) = (rates >> 4, rates >> 2 & 0b11);
    is_layer_three && (1..15).contains(&bit_rate) && sample_rate != 0b11
}

fn is_text(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    !text.trim().is_empty() && !text.chars().any(|c| c.is_control() && !c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zip(names: &[&str]) -> Vec<u8> {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for name in names {
            let length = u16::try_from(name.len()).unwrap().to_le_bytes();
            file.extend(b"PK\x03\x04");
            file.extend([0; 22]);
            file.extend(length);
            file.extend([0; 2]);
            file.extend(name.as_bytes());
            directory.extend(b"PK\x01\x02");
            directory.extend([0; 24]);
            directory.extend(length);
            directory.extend([0; 16]);
            directory.extend(name.as_bytes());
        }
        let (at, count) = (u32::try_from(file.len()).unwrap(), u16::try_from(names.len()).unwrap());
        let size = u32::try_from(directory.len()).unwrap();
        file.extend(directory);
        file.extend(b"PK\x05\x06\0\0\0\0");
        file.extend(count.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(size.to_le_bytes());
        file.extend(at.to_le_bytes());
        file.extend([0; 2]);
        file
    }

    fn iso(brand: &[u8; 4], listed: &[&[u8; 4]], inside: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + 4 * listed.len()).unwrap();
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend(b"ftyp");
        bytes.extend(brand);
        bytes.extend([0; 4]);
        listed.iter().for_each(|brand| bytes.extend(*brand));
        bytes.extend(inside);
        bytes
    }

    #[test]
    fn office_documents_are_known_in_any_order_of_their_entries_and_other_archives_are_none() {
        let kinds = [
            ("word/document.xml", "wordprocessingml"),
            ("ppt/presentation.xml", "presentationml"),
            ("xl/workbook.xml", "spreadsheetml"),
        ];
        for (part, kind) in kinds {
            let entries = ["[Content_Types].xml", "_rels/.rels", "docProps/app.xml", "customXml/item1.xml", part];
            for turn in 0..entries.len() {
                let mut order = entries;
                order.rotate_left(turn);
                assert!(mime(&zip(&order)).is_some_and(|mime| mime.contains(kind)), "{order:?}");
                order.reverse();
                assert!(mime(&zip(&order)).is_some_and(|mime| mime.contains(kind)), "{order:?}");
            }
            assert_eq!(mime(&zip(&[part])), None, "without its list of types");
        }
        for other in [&["a.txt"][..], &["META-INF/MANIFEST.MF", "a.class"]] {
            assert_eq!(mime(&zip(other)), None, "{other:?}");
        }
        assert_eq!(mime(b"PK\x03\x04 word/document.xml"), None);
    }

    #[test]
    fn pictures_in_iso_files_are_no_films() {
        for brand in PICTURES {
            assert_eq!(mime(&iso(brand, &[], b"")), None, "{brand:?}");
            assert_eq!(mime(&iso(b"isom", &[brand], b"")), None, "{brand:?} listed");
        }
        let track = |kind: &[u8; 4]| [b"hdlr\0\0\0\0\0\0\0\0".as_slice(), kind].concat();
        for brand in FILMS {
            assert_eq!(mime(&iso(brand, &[], b"")), Some("video/mp4"), "{brand:?}");
            assert_eq!(mime(&iso(brand, &[], &track(b"soun"))), Some("audio/mp4"), "{brand:?}");
            assert_eq!(mime(&iso(brand, &[b"mif1"], &track(b"vide"))), Some("video/mp4"), "{brand:?}");
        }
        assert_eq!(mime(&iso(b"zzzz", &[], b"")), None);
        assert_eq!(mime(&iso(b"zzzz", &[], &track(b"vide"))), Some("video/mp4"));
        assert_eq!(mime(&iso(b"qt  ", &[], &track(b"vide"))), None);
    }

    #[test]
    fn sound_without_a_tag_and_documents_behind_white_space_are_known() {
        for version in [0xfb, 0xfa, 0xf3, 0xf2, 0xe3, 0xe2] {
            assert_eq!(mime(&[0xff, version, 0x90, 0x00, 0, 0]), Some("audio/mpeg"), "{version:x}");
            assert_ne!(mime(&[0xff, version, 0xfc, 0x00, 0, 0]), Some("audio/mpeg"), "no such rate");
        }
        for other in [[0xff, 0xf1, 0x50, 0x80], [0xff, 0xf9, 0x50, 0x80]] {
            assert_eq!(mime(&other), Some("audio/aac"), "{other:x?}");
        }
        for lead in ["", "\n", "\r\n", "  \n\n", "\0"] {
            assert_eq!(mime(format!("{lead}%PDF-1.4\n").as_bytes()), Some("application/pdf"), "{lead:?}");
        }
        assert_eq!(mime(b"a text about %PDF-1.4"), Some("text/plain"));
    }
}
