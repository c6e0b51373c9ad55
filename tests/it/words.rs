//! The house rules for words (CONTRIBUTING.md), read from documentation comments and Markdown: opening words, width,
//! and references to documents.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::architecture::{root, sources};

/// Words that open no sentence unless it is a question.
const OPENERS: [&str; 4] = ["What", "Who", "Whoever", "Whatever"];
/// Longest line of Rust and of Markdown, in characters.
const WIDTH: usize = 120;
/// Longest function, in lines.
const FUNCTION: usize = 160;

/// Returns the Markdown files that people write or read: those in the root and below `docs`.
fn documents() -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join("docs"), root().join(".github")]);
    let is_markdown = |path: &Path| path.extension().is_some_and(|extension| extension == "md");
    for entry in std::fs::read_dir(root()).unwrap() {
        found.extend(Some(entry.unwrap().path()).filter(|path| is_markdown(path)));
    }
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if is_markdown(&path) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn name(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// Returns the paragraphs of the comments of a Rust file.
fn comments(text: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in text.lines() {
        match line.trim_start().strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim()) {
            Some(words) if !words.is_empty() => {
                let last = found.last_mut().unwrap();
                last.push_str(words);
                last.push(' ');
            }
            _ => found.push(String::new()),
        }
    }
    found.retain(|paragraph| !paragraph.is_empty());
    found
}

/// Returns the paragraphs, list items and table cells of a Markdown file, without code blocks.
fn paragraphs(text: &str) -> Vec<String> {
    let (mut found, mut code) = (vec![String::new()], false);
    for line in text.lines() {
        let words = line.trim();
        if words.starts_with("```") {
            code = !code;
        }
        let item =
            words.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start_matches(['.', '*', '-', '#']);
        if code || words.starts_with("```") || words.is_empty() {
            found.push(String::new());
        } else if words.starts_with('|') {
            found.extend(words.split('|').map(|cell| cell.trim().to_owned()));
            found.push(String::new());
        } else {
            if item.len() < words.len() && item.starts_with(' ') {
                found.push(String::new());
            }
            let last = found.last_mut().unwrap();
            last.push_str(if item.starts_with(' ') { item.trim() } else { words });
            last.push(' ');
        }
    }
    found.retain(|paragraph| !paragraph.is_empty());
    found
}

fn sentences(paragraph: &str) -> Vec<String> {
    let (mut found, mut sentence) = (Vec::new(), String::new());
    for word in paragraph.split_whitespace() {
        sentence.push_str(word);
        if word.trim_end_matches(['"', ')', '`', '*', '”']).ends_with(['.', ';', ':', '!', '?']) {
            found.push(std::mem::take(&mut sentence));
        } else {
            sentence.push(' ');
        }
    }
    if !sentence.trim().is_empty() {
        found.push(sentence);
    }
    found
}

#[test]
fn documents_no_sentence_opens_with_a_question_word_that_is_none() {
    let rust = sources(&root()).into_iter().map(|path| (name(&path), comments(&read(&path))));
    let markdown = documents().into_iter().map(|path| (name(&path), paragraphs(&read(&path))));
    let (mut checked, mut wrong) = (0, Vec::new());
    for (file, paragraphs) in rust.chain(markdown) {
        for sentence in paragraphs.iter().flat_map(|paragraph| sentences(paragraph)) {
            checked += 1;
            let bare = sentence.trim_start_matches(['*', '`', '"', '(', '[', '“']);
            let opener = bare.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default();
            let asks = sentence.trim_end().trim_end_matches(['"', ')', '*', '”']).ends_with('?');
            if OPENERS.contains(&opener) && !asks {
                wrong.push(format!("{file}: {sentence}"));
            }
        }
    }
    println!("words: {checked} sentences, {} that open with {OPENERS:?}", wrong.len());
    assert!(checked > 5_000, "{checked}");
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn documents_no_line_is_wider_than_120_columns() {
    let (mut longest, mut wrong) = ((0, String::new()), Vec::new());
    let mut look = |file: &str, number: usize, line: &str| {
        let width = line.chars().count();
        if width > WIDTH {
            wrong.push(format!("{file}:{number}: {width}"));
        } else if width > longest.0 {
            longest = (width, format!("{file}:{number}"));
        }
    };
    for path in sources(&root()).into_iter().filter(|path| !name(path).starts_with("tests/")) {
        let text = read(&path);
        for (number, line) in text.lines().enumerate() {
            // Nobody can break a text or a macro's arguments without changing them; rustfmt sees to the rest.
            let bare = line.trim_start();
            if bare.starts_with("//") || bare.starts_with("#[") || !line.contains(['"', '\'']) {
                look(&name(&path), number + 1, line);
            }
        }
    }
    for path in documents() {
        let (text, mut code) = (read(&path), false);
        for (number, line) in text.lines().enumerate() {
            code ^= line.trim_start().starts_with("```");
            if !code && !line.starts_with('|') && !line.contains("://") && !line.contains("](") {
                look(&name(&path), number + 1, line);
            }
        }
    }
    println!("width: the longest line has {} columns, {}", longest.0, longest.1);
    assert_eq!(wrong, Vec::<String>::new());
}

/// Returns the anchors of a Markdown file: explicit ones, and those that headings get.
fn anchors(text: &str) -> BTreeSet<String> {
    let explicit = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    let slug = |heading: &str| -> String {
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let headings = text.lines().filter(|line| line.starts_with('#'));
    explicit.chain(headings.map(|line| slug(line.trim_start_matches('#').trim()))).collect()
}

/// Returns each path that ends in `.md`, with its anchor, in a text.
fn cited(text: &str) -> Vec<(String, Option<String>)> {
    let part = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let found = text.match_indices(".md").filter(|(at, _)| !text[at + 3..].starts_with(part));
    found
        .filter_map(|(at, _)| {
            let begin = text[..at]
                .rfind(|letter| !part(letter))
                .map_or(0, |place| place + text[place..].chars().next().map_or(1, char::len_utf8));
            let path = &text[begin..at + 3];
            let address = text[..begin].ends_with("://") || text[..begin].ends_with('*') || path == ".md";
            let anchor = text[at + 3..].strip_prefix('#').map(|rest| {
                rest.chars().take_while(|letter| letter.is_alphanumeric() || "-_".contains(*letter)).collect()
            });
            (!address && !path.contains("...")).then(|| (path.to_owned(), anchor))
        })
        .collect()
}

#[test]
fn documents_every_document_and_anchor_that_is_cited_exists() {
    let known: BTreeMap<String, BTreeSet<String>> =
        documents().into_iter().map(|path| (name(&path), anchors(&read(&path)))).collect();
    let (mut resolved, mut dead) = (0, Vec::new());
    let rust = sources(&root()).into_iter().filter(|path| name(path) != "tests/it/words.rs");
    let rust = rust.map(|path| (name(&path), comments(&read(&path)).join("\n")));
    let markdown = documents().into_iter().map(|path| (name(&path), read(&path)));
    for (file, text) in rust.chain(markdown) {
        for (path, anchor) in cited(&text) {
            // Relative to the document, as its readers follow it, or to the root, as comments and prose name it.
            let mut beside: Vec<&str> = file.split('/').collect();
            beside.pop();
            for part in path.split('/') {
                match part {
                    "." => {}
                    ".." => drop(beside.pop()),
                    part => beside.push(part),
                }
            }
            let named = || known.iter().find(|(file, _)| file.rsplit('/').next() == Some(path.as_str()));
            let document = known.get(&beside.join("/")).or_else(|| known.get(&path)).or_else(|| Some(named()?.1));
            match (document, anchor) {
                (Some(anchors), Some(anchor)) if !anchors.contains(&anchor) => {
                    dead.push(format!("{file}: {path}#{anchor}"));
                }
                (Some(_), _) => resolved += 1,
                (None, _) => dead.push(format!("{file}: {path}")),
            }
        }
    }
    println!("references: {resolved} resolved, {} dead", dead.len());
    assert!(resolved > 300, "{resolved}");
    assert_eq!(dead, Vec::<String>::new());
}

#[test]
fn architecture_the_longest_file_and_function() {
    let (mut file, mut function) = ((0, String::new()), (0, String::new()));
    for path in sources(&root()).into_iter().filter(|path| !name(path).starts_with("tests/")) {
        let text = read(&path);
        file = file.max((text.lines().count(), name(&path)));
        let mut open: Option<(usize, usize, String)> = None;
        for (number, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let begins = ["fn ", "async fn "].iter().any(|word| {
                let bare = line.trim_start();
                bare.starts_with(word) || bare.starts_with("pub") && bare.contains(&format!(" {word}"))
            });
            if begins && open.is_none() {
                open = Some((indent, number, line.trim().to_owned()));
            } else if let Some((from, first, head)) = open.take_if(|(from, ..)| line.trim() == "}" && indent == *from) {
                let _: usize = from;
                function = function.max((number - first + 1, format!("{}: {head}", name(&path))));
            }
        }
    }
    println!("longest file: {} lines, {}; longest function: {} lines, {}", file.0, file.1, function.0, function.1);
    assert!(function.0 <= FUNCTION, "{function:?}");
}
