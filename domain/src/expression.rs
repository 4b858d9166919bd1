//! The expressions of custom metrics: what one event is worth, computed from its properties.
//!
//! ```text
//! sum     := product (("+" | "-") product)*
//! product := factor (("*" | "/") factor)*
//! factor  := "-" factor | number | name | name "(" sum ("," sum)* ")" | "(" sum ")"
//! number  := digits ["." digits]        name := [A-Za-z_][A-Za-z0-9_]*
//! ```
//! Functions: `round(x)`, `round(x, digits)` (likewise `ceil`, `floor`), `abs(x)`, `min(a, b, …)`, `max(a, b, …)`. Operators of one
//! rank go left to right. Anything else is an error with its place: no character is skipped (behaviour W26).
//!
//! Values are exact but for `/`, which is rounded half away from zero to [`QUOTIENT_DIGITS`] digits. An event that lacks a
//! property, holds something that is no number, or divides by zero has no usable value: it is counted, not billed, and
//! keeps no other event from it.
//!
//! Expressions are at most [`MAX_LENGTH`] bytes and [`MAX_DEPTH`] deep, so that reading and evaluating one cannot exhaust a stack.

use crate::catalog::RoundingFunction;
use crate::quantity::Quantity;
use std::fmt;

/// Longest expression in bytes.
pub const MAX_LENGTH: usize = 1_000;
/// Deepest nesting of brackets, functions and signs.
pub const MAX_DEPTH: usize = 40;
/// Digits after the decimal point of a quotient.
pub const QUOTIENT_DIGITS: u32 = 20;
/// Most digits that `round`, `ceil` and `floor` may be asked for.
const MAX_DIGITS: i128 = 38;

/// An expression, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    root: Node,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    Number(Quantity),
    Property(String),
    Negated(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
    Call(Function, Vec<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Rounding(RoundingFunction),
    Abs,
    Min,
    Max,
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {place}: {reason}")]
pub struct ExpressionError {
    /// Counted in characters from 1.
    pub place: usize,
    /// What is wrong there.
    pub reason: String,
}

/// Why an event has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// A property is missing or no number.
    #[error("a property is missing or no number")]
    NotANumber,
    /// A division by zero.
    #[error("division by zero")]
    DivisionByZero,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first place that does not fit the grammar.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LENGTH {
            return Err(ExpressionError { place: 1, reason: format!("is longer than {MAX_LENGTH} bytes") });
        }
        let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
        let root = parser.sum()?;
        match parser.peek() {
            Token::End => Ok(Self { root }),
            token => Err(parser.error(format!("expected an operator, found {token}"))),
        }
    }

    /// The properties it reads, each once.
    #[must_use]
    pub fn properties(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.collect_properties(&mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The value for an event whose properties are numbers by `number_of`.
    ///
    /// # Errors
    /// When a property is no number, or a divisor is 0.
    pub fn evaluate(&self, number_of: &dyn Fn(&str) -> Option<Quantity>) -> Result<Quantity, NoValue> {
        self.root.evaluate(number_of)
    }
}

impl Node {
    fn collect_properties<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Number(_) => {}
            Self::Property(name) => names.push(name),
            Self::Negated(inner) => inner.collect_properties(names),
            Self::Binary(_, left, right) => {
                left.collect_properties(names);
                right.collect_properties(names);
            }
            Self::Call(_, arguments) => arguments.iter().for_each(|argument| argument.collect_properties(names)),
        }
    }

    fn evaluate(&self, number_of: &dyn Fn(&str) -> Option<Quantity>) -> Result<Quantity, NoValue> {
        match self {
            Self::Number(number) => Ok(number.clone()),
            Self::Property(name) => number_of(name).ok_or(NoValue::NotANumber),
            Self::Negated(inner) => Ok(-&inner.evaluate(number_of)?),
            Self::Binary(operator, left, right) => {
                let (left, right) = (left.evaluate(number_of)?, right.evaluate(number_of)?);
                match operator {
                    Operator::Add => Ok(&left + &right),
                    Operator::Subtract => Ok(&left - &right),
                    Operator::Multiply => Ok(&left * &right),
                    Operator::Divide => left.divided(&right, QUOTIENT_DIGITS).ok_or(NoValue::DivisionByZero),
                }
            }
            Self::Call(function, arguments) => {
                let values: Result<Vec<_>, _> = arguments.iter().map(|node| node.evaluate(number_of)).collect();
                function.apply(values?)
            }
        }
    }
}

impl Function {
    fn named(name: &str) -> Option<Self> {
        match name {
            "round" => Some(Self::Rounding(RoundingFunction::Round)),
            "ceil" => Some(Self::Rounding(RoundingFunction::Ceil)),
            "floor" => Some(Self::Rounding(RoundingFunction::Floor)),
            "abs" => Some(Self::Abs),
            "min" => Some(Self::Min),
            "max" => Some(Self::Max),
            _ => None,
        }
    }

    fn takes(self, arguments: usize) -> bool {
        match self {
            Self::Rounding(_) => arguments == 1 || arguments == 2,
            Self::Abs => arguments == 1,
            Self::Min | Self::Max => arguments >= 1,
        }
    }

    /// Applies it to as many values as it takes.
    fn apply(self, values: Vec<Quantity>) -> Result<Quantity, NoValue> {
        let value = match self {
            Self::Min => values.into_iter().min(),
            Self::Max => values.into_iter().max(),
            Self::Abs => values.into_iter().next().map(|value| if value.is_negative() { -&value } else { value }),
            Self::Rounding(function) => match values.as_slice() {
                [value] => Some(value.rounded(function, 0)),
                [value, digits] => small_integer(digits).map(|digits| value.rounded(function, digits)),
                _ => None,
            },
        };
        value.ok_or(NoValue::NotANumber)
    }
}

/// A whole number of digits between −38 and 38.
fn small_integer(value: &Quantity) -> Option<i32> {
    let limit = Quantity::new(MAX_DIGITS, 0);
    if !value.is_integer() || *value > limit || *value < -&limit {
        return None;
    }
    value.to_string().parse().ok()
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Number(Quantity),
    Name(String),
    Symbol(char),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "'{name}'"),
            Self::Symbol(symbol) => write!(f, "'{symbol}'"),
            Self::End => f.write_str("the end"),
        }
    }
}

/// The tokens with their places, an end token last.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, ExpressionError> {
    let characters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&character) = characters.get(at) {
        let run = |accepts: fn(char) -> bool| characters[at..].iter().take_while(|c| accepts(**c)).count();
        let length = match character {
            _ if character.is_ascii_whitespace() => {
                at += 1;
                continue;
            }
            '+' | '-' | '*' | '/' | '(' | ')' | ',' => 1,
            '0'..='9' => run(|c| c.is_ascii_digit() || c == '.'),
            'A'..='Z' | 'a'..='z' | '_' => run(|c| c.is_ascii_alphanumeric() || c == '_'),
            _ => {
                return Err(ExpressionError { place: at + 1, reason: format!("'{character}' has no meaning here") });
            }
        };
        let word: String = characters[at..at + length].iter().collect();
        let token = match character {
            '0'..='9' => Token::Number(
                Quantity::parse(&word)
                    .map_err(|reason| ExpressionError { place: at + 1, reason: format!("'{word}' {reason}") })?,
            ),
            'A'..='Z' | 'a'..='z' | '_' => Token::Name(word),
            symbol => Token::Symbol(symbol),
        };
        tokens.push((at + 1, token));
        at += length;
    }
    tokens.push((at + 1, Token::End));
    Ok(tokens)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> &Token {
        // The end token is never passed.
        &self.tokens[self.at].1
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        if token != Token::End {
            self.at += 1;
        }
        token
    }

    fn takes(&mut self, symbol: char) -> bool {
        let found = *self.peek() == Token::Symbol(symbol);
        self.at += usize::from(found);
        found
    }

    fn error(&self, reason: String) -> ExpressionError {
        ExpressionError { place: self.tokens[self.at].0, reason }
    }

    fn sum(&mut self) -> Result<Node, ExpressionError> {
        let mut left = self.product()?;
        loop {
            let operator = if self.takes('+') {
                Operator::Add
            } else if self.takes('-') {
                Operator::Subtract
            } else {
                return Ok(left);
            };
            left = Node::Binary(operator, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Node, ExpressionError> {
        let mut left = self.factor()?;
        loop {
            let operator = if self.takes('*') {
                Operator::Multiply
            } else if self.takes('/') {
                Operator::Divide
            } else {
                return Ok(left);
            };
            left = Node::Binary(operator, Box::new(left), Box::new(self.factor()?));
        }
    }

    fn factor(&mut self) -> Result<Node, ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("is nested deeper than {MAX_DEPTH}")));
        }
        let node = self.factor_inside();
        self.depth -= 1;
        node
    }

    fn factor_inside(&mut self) -> Result<Node, ExpressionError> {
        let found = self.error(format!("expected a number, a property or a bracket, found {}", self.peek()));
        match self.next() {
            Token::Number(number) => Ok(Node::Number(number)),
            Token::Symbol('-') => Ok(Node::Negated(Box::new(self.factor()?))),
            Token::Symbol('(') => {
                let inner = self.sum()?;
                self.close()?;
                Ok(inner)
            }
            Token::Name(name) if self.takes('(') => self.call(&name, found.place),
            Token::Name(name) => Ok(Node::Property(name)),
            _ => Err(found),
        }
    }

    fn call(&mut self, name: &str, place: usize) -> Result<Node, ExpressionError> {
        let Some(function) = Function::named(name) else {
            return Err(ExpressionError { place, reason: format!("there is no function '{name}'") });
        };
        let mut arguments = vec![self.sum()?];
        while self.takes(',') {
            arguments.push(self.sum()?);
        }
        self.close()?;
        if !function.takes(arguments.len()) {
            let reason = format!("'{name}' does not take {} arguments", arguments.len());
            return Err(ExpressionError { place, reason });
        }
        Ok(Node::Call(function, arguments))
    }

    fn close(&mut self) -> Result<(), ExpressionError> {
        if self.takes(')') { Ok(()) } else { Err(self.error(format!("expected ')', found {}", self.peek()))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_rational::BigRational;
    use num_traits::{Signed, Zero};
    use proptest::prelude::*;

    fn value(text: &str) -> Result<String, NoValue> {
        let number_of = |name: &str| match name {
            "a" => Some(Quantity::from(6_i64)),
            "b" => Some(Quantity::from(4_i64)),
            "zero" => Some(Quantity::ZERO),
            _ => None,
        };
        Expression::parse(text).unwrap().evaluate(&number_of).map(|value| value.to_string())
    }

    #[test]
    fn the_published_examples_hold() {
        for (text, wanted) in [
            ("a+b*2", "14"),
            ("(a+b)*2", "20"),
            ("a/b", "1.5"),
            ("a-b-1", "1"),
            ("a/b/2", "0.75"),
            ("-a", "-6"),
            ("- -a", "6"),
            ("2*-b", "-8"),
            ("round(a/b)", "2"),
            ("round(a / 7, 2)", "0.86"),
            ("floor(-1.5) + ceil(1.2)", "0"),
            ("max(a, b, 9.25) - min(a, b)", "5.25"),
            ("abs(b - a)", "2"),
            ("1/3", "0.33333333333333333333"),
        ] {
            assert_eq!(value(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn an_event_without_a_number_or_a_division_by_zero_has_no_value() {
        assert_eq!(value("a + nothing"), Err(NoValue::NotANumber));
        assert_eq!(value("a / zero"), Err(NoValue::DivisionByZero));
        assert_eq!(value("round(a, 0.5)"), Err(NoValue::NotANumber));
    }

    #[test]
    fn everything_else_is_refused_with_its_place() {
        for (text, wanted) in [
            ("", "at character 1: expected a number, a property or a bracket, found the end"),
            ("a b", "at character 3: expected an operator, found 'b'"),
            ("a $ + b", "at character 3: '$' has no meaning here"),
            (".5", "at character 1: '.' has no meaning here"),
            ("1.2.3", "at character 1: '1.2.3' is not a decimal number such as \"12\" or \"0.005\""),
            ("(a", "at character 3: expected ')', found the end"),
            ("a)", "at character 2: expected an operator, found ')'"),
            ("sqrt(a)", "at character 1: there is no function 'sqrt'"),
            ("abs(a, b)", "at character 1: 'abs' does not take 2 arguments"),
            ("round()", "at character 7: expected a number, a property or a bracket, found ')'"),
            ("a +", "at character 4: expected a number, a property or a bracket, found the end"),
        ] {
            assert_eq!(Expression::parse(text).unwrap_err().to_string(), wanted, "{text}");
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        assert!(Expression::parse(&format!("{}a{}", "(".repeat(30), ")".repeat(30))).is_ok());
        assert!(Expression::parse(&"(".repeat(900)).is_err());
        assert!(Expression::parse(&"-".repeat(900)).is_err());
        assert!(Expression::parse(&"1+".repeat(600)).is_err());
    }

    #[test]
    fn it_names_the_properties_it_reads() {
        assert_eq!(Expression::parse("b * max(a, 1) + b").unwrap().properties(), ["a", "b"]);
    }

    /// A random expression as text and as its value, computed with rational numbers; no value after a division by zero.
    fn any_expression() -> impl Strategy<Value = (String, Option<BigRational>)> {
        let leaf = (0_i64..50).prop_map(|n| (n.to_string(), Some(BigRational::from_integer(n.into()))));
        leaf.prop_recursive(5, 40, 2, |inner| {
            (inner.clone(), inner, 0..6_usize).prop_map(|((left, x), (right, y), operator)| {
                let apply = |f: fn(BigRational, BigRational) -> BigRational| Some(f(x.clone()?, y?));
                match operator {
                    0 => (format!("({left} + {right})"), apply(|a, b| a + b)),
                    1 => (format!("({left} - {right})"), apply(|a, b| a - b)),
                    2 => (format!("{left} * ({right})"), apply(|a, b| a * b)),
                    // Halves stay exact.
                    3 => (format!("({left}) / 2"), x.map(|a| a / BigRational::from_integer(2.into()))),
                    4 => (format!("max({left}, {right})"), apply(std::cmp::Ord::max)),
                    _ => (format!("-({left})"), x.map(|a| -a)),
                }
            })
        })
    }

    proptest! {
        #[test]
        fn a_value_equals_that_of_rational_numbers((text, wanted) in any_expression()) {
            prop_assume!(text.len() <= MAX_LENGTH);
            let got = Expression::parse(&text).unwrap().evaluate(&|_| None).unwrap();
            let (mantissa, scale) = got.to_big().into_bigint_and_exponent();
            let ten = BigRational::from_integer(10.into());
            let exact = BigRational::from(mantissa) / ten.pow(i32::try_from(scale).unwrap());
            let difference = (exact - wanted.unwrap()).abs();
            // Only halvings beyond 20 digits would differ, and there are at most five in a row.
            prop_assert!(difference.is_zero(), "{text}");
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[-+*/(),.a-z0-9 ]{0,80}|\\PC{0,30}") {
            if let Ok(expression) = Expression::parse(&text) {
                let _ = expression.evaluate(&|_| Some(Quantity::new(3, 1)));
            }
        }
    }
}
