//! Emoji, by Unicode's own list.

use unicode_segmentation::UnicodeSegmentation;

/// Returns whether the text is exactly one emoji, with or without its variation selectors.
pub(super) fn is_one(text: &str) -> bool {
    emojis::get(text).is_some()
}

/// Returns whether a reader sees an emoji in the text. A sign such as `™` or `↔` is one only with the variation
/// selector that asks for it.
pub(super) fn is_in(text: &str) -> bool {
    text.graphemes(true).any(|seen| {
        let is_shown = |emoji: &emojis::Emoji| emoji.as_str() == seen || seen.chars().count() > 1;
        emojis::get(seen).is_some_and(is_shown) || seen.chars().any(is_modifier)
    })
}

/// Returns whether the character is a skin tone, which is shown as an emoji of its own.
fn is_modifier(character: char) -> bool {
    ('\u{1f3fb}'..='\u{1f3ff}').contains(&character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_emoji_is_one_and_two_of_them_are_not() {
        let all: Vec<&str> = emojis::iter()
            .flat_map(|emoji| {
                let toned = emoji.skin_tones().into_iter().flatten().map(emojis::Emoji::as_str);
                toned.chain([emoji.as_str()]).collect::<Vec<_>>()
            })
            .collect();
        assert!(all.len() > 3_000, "{}", all.len());
        for emoji in &all {
            assert!(is_one(emoji) && is_in(emoji) && is_in(&format!("Go {emoji}")), "{emoji:?}");
            // Without variation selectors it is still one emoji, but a text may contain the sign.
            assert!(is_one(&emoji.replace('\u{fe0f}', "")), "{emoji:?}");
            assert!(!is_one(&format!("{emoji}{emoji}")) && !is_one(&format!("{emoji} ")), "{emoji:?}");
        }
    }

    #[test]
    fn letters_and_punctuation_of_every_script_are_no_emoji() {
        let (mut punctuation, mut letters) = (0, 0);
        for character in (' '..=char::MAX).filter(|character| !is_modifier(*character)) {
            let text = character.to_string();
            let is_listed = emojis::get(&text).is_some_and(|emoji| emoji.as_str() == text);
            if is_listed {
                continue;
            }
            assert!(!is_in(&text), "{text:?}");
            assert!(!is_in(&format!("A{text}")) || emojis::get(&text).is_some(), "{text:?}");
            letters += u32::from(character.is_alphanumeric());
            punctuation += u32::from(character.is_ascii_punctuation() || ('\u{3000}'..'\u{3040}').contains(&character));
        }
        assert!(letters > 100_000 && punctuation > 90, "{letters} {punctuation}");
        for plain in
            ["予約する！", "「予約」", "登録→", "A™", "ძებნა", "¿Reservar?", "₹ 5", "№ 1", "№1 © 2026", "#1", "1*2"]
        {
            assert!(!is_in(plain), "{plain}");
        }
        for shown in ["Go 🚀", "A™\u{fe0f}", "1\u{fe0f}\u{20e3}", "🇩🇪", "x👩‍🚀"] {
            assert!(is_in(shown), "{shown}");
        }
        for none in ["да", "👍👍", " ", "\u{200b}", "", "1", "#", "👍\u{200b}", "yes", "：)"] {
            assert!(!is_one(none), "{none:?}");
        }
    }
}
