//! As much of Markdown as the book uses: fenced blocks, headings, links, code in a line.

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// What stands behind the fence, at commas: `sh`, `run`.
    pub words: Vec<String>,
    /// Its first line in the page, from 1.
    pub line: usize,
    /// What is in it, each line ended.
    pub text: String,
}

impl Block {
    pub(super) fn is(&self, language: &str, kind: &str) -> bool {
        self.words.first().is_some_and(|word| word == language) && self.kind() == kind
    }

    /// The second word; empty when there is none.
    pub(super) fn kind(&self) -> &str {
        self.words.get(1).map_or("", String::as_str)
    }
}

/// The fenced blocks of a page, and the page without them (its lines stay where they were).
pub(super) fn split(text: &str) -> (Vec<Block>, Vec<&str>) {
    let (mut blocks, mut prose, mut is_open) = (Vec::<Block>::new(), Vec::new(), false);
    for (number, line) in (1..).zip(text.lines()) {
        let fence = line.trim_start().strip_prefix("```");
        prose.push(if is_open || fence.is_some() { "" } else { line });
        match fence {
            Some(_) if is_open => is_open = false,
            Some(words) => {
                is_open = true;
                let words = words.split(',').map(str::to_owned).collect();
                blocks.push(Block { words, line: number, text: String::new() });
            }
            None => {
                if let Some(block) = blocks.last_mut().filter(|_| is_open) {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
            }
        }
    }
    (blocks, prose)
}

/// Targets of the links `[…](target)` of a line; those inside code are none.
pub(super) fn links(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let outside_code: String =
        line.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part } else { "code" }).collect();
    let mut rest = outside_code.as_str();
    while let Some(at) = rest.find("](") {
        rest = &rest[at + 2..];
        let Some(end) = rest.find(')') else { break };
        found.push(rest[..end].to_owned());
    }
    found
}

/// What stands between backticks in a line.
pub(super) fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The anchors of a page's headings, as mdBook and repository browsers make them.
pub(super) fn anchors(prose: &[&str]) -> Vec<String> {
    let headings = prose.iter().filter_map(|line| line.strip_prefix('#'));
    headings.map(|heading| anchor(heading.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter.to_ascii_lowercase() }).collect()
}

#[test]
fn links_inside_code_are_none_and_anchors_are_those_of_browsers() {
    assert_eq!(links("see [a](b.md#c) and `[x](y)` and [d](e)"), ["b.md#c", "e"]);
    assert_eq!(code("a `b c` d `e`").collect::<Vec<_>>(), ["b c", "e"]);
    assert_eq!(anchor("What was not billed, as sent?"), "what-was-not-billed-as-sent");
    let (blocks, prose) = split("# A\n```sh,run\nls\n```\nb");
    assert!(blocks.len() == 1 && blocks[0].is("sh", "run") && blocks[0].text == "ls\n" && blocks[0].line == 2);
    assert_eq!(prose, ["# A", "", "", "", "b"]);
}
