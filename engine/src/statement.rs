//! What a request wants: its one statement, and for an INSERT where the statement ends and the data begins.
//!
//! The engine takes an INSERT's data apart from its text, so the border must be found here, by ClickHouse's own rule: the
//! data begins after the format's name, the blanks behind it, and one line end; after VALUES it begins at once.
//! Several statements in one request are refused, as a ClickHouse server does: text behind a `;` is the classic injection.

use crate::exception::{Exception, code};
use crate::lexer::{Kind, Token, Tokens};

/// The longest statement text before an INSERT's data; ClickHouse's own default for `max_query_size` is 256 KiB.
pub(crate) const INSERT_TEXT_LIMIT: usize = 1 << 20;

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Analysis {
    /// The text ends before that can be said, and more may follow.
    Incomplete,
    /// An INSERT whose data is sent along.
    Insert(InsertText),
    /// Everything else: the text without its final `;`.
    Other(OtherText),
}

/// An INSERT that carries data.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InsertText {
    /// The statement is `text[..statement_end]`, without FORMAT or VALUES.
    pub(crate) statement_end: usize,
    /// The format of the data.
    pub(crate) format: String,
    /// The data begins at `text[data_start..]`.
    pub(crate) data_start: usize,
}

/// A statement that is text from start to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OtherText {
    /// The statement is `text[..end]`.
    pub(crate) end: usize,
    /// Whether its result can be fetched part by part.
    pub(crate) streams: bool,
    /// Whether it changes the session it runs in, which then must not serve another request.
    pub(crate) changes_session: bool,
    /// The output format it names.
    pub(crate) format: Option<String>,
    /// `KILL QUERY WHERE query_id = '…'`: the id.
    pub(crate) kills: Option<String>,
}

/// Finds the statement in `text`; `complete` says that no more text follows.
///
/// # Errors
/// Code 62 for an empty request, several statements, or an INSERT whose statement is too long.
pub(crate) fn analyze(text: &[u8], complete: bool) -> Result<Analysis, Exception> {
    let mut tokens = Tokens::from(text, 0);
    let Some(first) = tokens.next() else {
        return if complete {
            Err(Exception::new(code::SYNTAX_ERROR, "Empty query"))
        } else {
            Ok(Analysis::Incomplete)
        };
    };
    if first.end == text.len() && !complete {
        return Ok(Analysis::Incomplete);
    }
    if !first.is(text, "INSERT") {
        return if complete { other(text, first) } else { Ok(Analysis::Incomplete) };
    }
    match insert(text, tokens, complete) {
        InsertForm::WithData(found) => Ok(Analysis::Insert(found)),
        InsertForm::Plain if complete => other(text, first),
        InsertForm::Open if complete => Err(Exception::new(
            code::SYNTAX_ERROR,
            format!(
                "Syntax error: failed at position {} (end of query): INSERT without FORMAT, VALUES or SELECT",
                text.len()
            ),
        )),
        InsertForm::Open if text.len() > INSERT_TEXT_LIMIT => Err(Exception::new(
            code::QUERY_IS_TOO_LARGE,
            format!("An INSERT's statement before its data is longer than {INSERT_TEXT_LIMIT} bytes"),
        )),
        InsertForm::Plain | InsertForm::Open => Ok(Analysis::Incomplete),
    }
}

enum InsertForm {
    /// `FORMAT name` or `VALUES` was found.
    WithData(InsertText),
    /// INSERT … SELECT, INSERT … FROM INFILE: text from start to end.
    Plain,
    /// Neither, so far.
    Open,
}

/// Looks for `FORMAT name` or `VALUES` outside parentheses, behind the table's name.
fn insert(text: &[u8], tokens: Tokens<'_>, complete: bool) -> InsertForm {
    let mut tokens = tokens.peekable();
    for word in ["INTO", "TABLE", "FUNCTION"] {
        tokens.next_if(|token| token.is(text, word));
    }
    tokens.next();
    while tokens.next_if(|token| token.kind == Kind::Symbol(b'.')).is_some() {
        tokens.next();
    }
    while let Some(token) = tokens.next() {
        // A word at the very end may go on in the next piece of the body.
        let settled = token.end < text.len() || complete;
        if token.depth != 0 || !settled {
            continue;
        }
        let plain = ["SELECT", "WITH", "WATCH", "FROM"];
        if plain.iter().any(|word| token.is(text, word)) {
            return InsertForm::Plain;
        }
        if token.is(text, "VALUES") {
            return InsertForm::WithData(InsertText {
                statement_end: token.start,
                format: "Values".to_owned(),
                data_start: token.end,
            });
        }
        if token.is(text, "FORMAT") {
            return format_clause(text, token, tokens.next(), complete).map_or(InsertForm::Open, InsertForm::WithData);
        }
    }
    InsertForm::Open
}

fn format_clause(text: &[u8], keyword: Token, name: Option<Token>, complete: bool) -> Option<InsertText> {
    let name = name.filter(|token| token.kind == Kind::Word)?;
    let mut position = name.end;
    while matches!(text.get(position), Some(b' ' | b'\t' | 0x0C)) {
        position += 1;
    }
    if text.get(position) == Some(&b'\r') {
        position += 1;
    }
    let ended_line = text.get(position) == Some(&b'\n');
    // Whether a line end that belongs to the statement comes next is known only once a byte stands there.
    if position == text.len() && !complete {
        return None;
    }
    Some(InsertText {
        statement_end: keyword.start,
        format: String::from_utf8_lossy(&text[name.start..name.end]).into_owned(),
        data_start: position + usize::from(ended_line),
    })
}

fn other(text: &[u8], first: Token) -> Result<Analysis, Exception> {
    let tokens: Vec<Token> = Tokens::from(text, first.start).collect();
    let semicolon = |token: &Token| token.kind == Kind::Symbol(b';');
    let statement: &[Token] = match tokens.iter().position(semicolon) {
        Some(at) if !tokens[at..].iter().all(semicolon) => {
            return Err(Exception::new(
                code::SYNTAX_ERROR,
                format!(
                    "Syntax error (Multi-statements are not allowed): failed at position {} (end of query)",
                    tokens[at].start + 1
                ),
            ));
        }
        Some(at) => &tokens[..at],
        None => &tokens,
    };
    let Some(last) = statement.last() else {
        return Err(Exception::new(code::SYNTAX_ERROR, "Empty query"));
    };
    Ok(Analysis::Other(OtherText {
        end: last.end,
        streams: streams(text, first),
        changes_session: changes_session(text, statement),
        format: output_format(text, statement),
        kills: killed_query(text, statement),
    }))
}

fn streams(text: &[u8], first: Token) -> bool {
    const WITH_RESULT: [&str; 8] = ["SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"];
    first.kind == Kind::Symbol(b'(') || WITH_RESULT.iter().any(|word| first.is(text, word))
}

fn changes_session(text: &[u8], statement: &[Token]) -> bool {
    let word = |at: usize, expected: &str| statement.get(at).is_some_and(|token| token.is(text, expected));
    // CREATE [OR REPLACE] TEMPORARY …
    let temporary = statement.iter().take(4).any(|token| token.is(text, "TEMPORARY"));
    word(0, "SET") || word(0, "USE") || temporary
}

fn output_format(text: &[u8], statement: &[Token]) -> Option<String> {
    let at = statement.iter().rposition(|token| token.depth == 0 && token.is(text, "FORMAT"))?;
    let name = statement.get(at + 1).filter(|token| token.kind == Kind::Word)?;
    Some(String::from_utf8_lossy(&text[name.start..name.end]).into_owned())
}

fn killed_query(text: &[u8], statement: &[Token]) -> Option<String> {
    if !(statement.first()?.is(text, "KILL") && statement.get(1)?.is(text, "QUERY")) {
        return None;
    }
    let at = statement.iter().position(|token| token.is(text, "query_id"))?;
    let equals = statement.get(at + 1)?.kind == Kind::Symbol(b'=');
    let id = statement.get(at + 2).filter(|token| equals && token.kind == Kind::Text)?;
    let quoted = &text[id.start..id.end];
    let inner = quoted.strip_prefix(b"'")?.strip_suffix(b"'")?;
    Some(String::from_utf8_lossy(inner).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, String) {
        match analyze(text.as_bytes(), true).unwrap() {
            Analysis::Insert(found) => {
                (text[..found.statement_end].trim_end().to_owned(), found.format, text[found.data_start..].to_owned())
            }
            different => panic!("not an insert with data: {different:?}"),
        }
    }

    fn other_of(text: &str) -> OtherText {
        match analyze(text.as_bytes(), true).unwrap() {
            Analysis::Other(found) => found,
            different => panic!("not a plain statement: {different:?}"),
        }
    }

    #[test]
    fn data_begins_after_the_format_name_and_one_line_end() {
        let expected = ("INSERT INTO t (a)".to_owned(), "TSV".to_owned());
        for (text, data) in [
            ("INSERT INTO t (a) FORMAT TSV\n1\n", "1\n"),
            ("INSERT INTO t (a) FORMAT TSV \r\n\n1", "\n1"),
            ("INSERT INTO t (a) format TSV 1", "1"),
            ("INSERT INTO t (a) FORMAT TSV", ""),
        ] {
            let found = parts(text);
            assert_eq!((found.0, found.1), expected, "{text}");
            assert_eq!(found.2, data, "{text}");
        }
    }

    #[test]
    fn values_settings_comments_and_odd_names_are_understood() {
        assert_eq!(
            parts("insert into `db`.format values (1, 'FORMAT x')"),
            ("insert into `db`.format".to_owned(), "Values".to_owned(), " (1, 'FORMAT x')".to_owned())
        );
        assert_eq!(
            parts("/* FORMAT no */ INSERT INTO TABLE FUNCTION file('x', 'TSV') SETTINGS a = 'VALUES' FORMAT Native\n\0\x01").0,
            "/* FORMAT no */ INSERT INTO TABLE FUNCTION file('x', 'TSV') SETTINGS a = 'VALUES'"
        );
    }

    #[test]
    fn an_insert_without_data_and_without_select_is_refused() {
        for text in ["INSERT INTO t (format, values)", "INSERT", "INSERT INTO t FORMAT"] {
            assert_eq!(analyze(text.as_bytes(), true).unwrap_err().code, 62, "{text}");
            assert_eq!(analyze(text.as_bytes(), false).unwrap(), Analysis::Incomplete, "{text}");
        }
    }

    #[test]
    fn an_insert_that_selects_is_plain_text() {
        assert!(!other_of("INSERT INTO t SELECT 1 FORMAT Null").streams);
        assert!(!other_of("INSERT INTO t WITH 1 AS x SELECT x").streams);
        assert!(!other_of("INSERT INTO t FROM INFILE 'x' FORMAT CSV").streams);
    }

    #[test]
    fn every_cut_of_an_insert_is_incomplete_or_gives_the_same_border() {
        let text = b"INSERT INTO t (a, b) FORMAT RowBinary\n\x01\x02\x03";
        let whole = analyze(text, true).unwrap();
        for length in 0..text.len() {
            let cut = analyze(&text[..length], false).unwrap();
            assert!(cut == Analysis::Incomplete || cut == whole, "{length}: {cut:?}");
        }
    }

    #[test]
    fn an_endless_insert_statement_is_refused() {
        let text = format!("INSERT INTO t ({}", "a, ".repeat(INSERT_TEXT_LIMIT / 3 + 1));
        assert_eq!(analyze(text.as_bytes(), false).unwrap_err().code, 229);
    }

    #[test]
    fn a_trailing_semicolon_is_cut_off_and_a_second_statement_refused() {
        let text = "SELECT ';' -- ;\n; ; ";
        assert_eq!(&text[..other_of(text).end], "SELECT ';'");
        let error = analyze(b"SELECT 1; DROP TABLE t", true).unwrap_err();
        assert_eq!(error.code, 62);
        assert!(error.text.contains("Multi-statements are not allowed"));
        assert_eq!(analyze(b" ; ", true).unwrap_err().code, 62);
        assert_eq!(analyze(b"-- nothing", true).unwrap_err().code, 62);
    }

    #[test]
    fn the_output_format_is_the_last_one_outside_parentheses() {
        assert_eq!(other_of("SELECT format FROM t FORMAT JSON").format.as_deref(), Some("JSON"));
        assert_eq!(other_of("SELECT 1 AS format").format, None);
        assert_eq!(other_of("SELECT (SELECT 1 FORMAT x)").format, None);
        assert_eq!(other_of("SELECT 1 FORMAT TSV SETTINGS a=1").format.as_deref(), Some("TSV"));
    }

    #[test]
    fn statements_that_change_their_session_are_marked() {
        assert!(other_of("set max_threads=1").changes_session);
        assert!(other_of("USE db").changes_session);
        assert!(other_of("CREATE TEMPORARY TABLE t (a Int8)").changes_session);
        assert!(!other_of("CREATE TABLE t (a Int8) ENGINE=Memory").changes_session);
    }

    #[test]
    fn the_id_of_a_kill_is_read() {
        assert_eq!(other_of("KILL QUERY WHERE query_id = 'a-1' SYNC").kills.as_deref(), Some("a-1"));
        assert_eq!(other_of("KILL QUERY WHERE query_id='x'").kills.as_deref(), Some("x"));
        assert_eq!(other_of("KILL QUERY WHERE user='x'").kills, None);
        assert_eq!(other_of("SELECT query_id = 'x'").kills, None);
    }
}
