//! What is wrong with a scenario file, and where.

use std::fmt;

/// One problem, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and the way out.
    pub message: String,
}

impl Problem {
    /// A problem at a place that is known already.
    pub fn new(line: usize, column: usize, message: String) -> Self {
        Self { line, column, message }
    }

    /// A problem at a byte of `text`.
    pub fn at_byte(text: &str, byte: usize, message: String) -> Self {
        let before = &text[..text.floor_char_boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message,
        }
    }
}

/// Every problem found in one scenario file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioErrors {
    file_name: String,
    problems: Vec<Problem>,
}

impl ScenarioErrors {
    /// Sorts `problems` by place.
    pub fn new(file_name: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort();
        problems.dedup();
        Self { file_name: file_name.to_owned(), problems }
    }

    /// A problem that is found only later, with a key that `text` may hold: `gateway.batch_rows_max`. Its place is that
    /// of the key, or else of the nearest table around it.
    pub fn at_key(file_name: &str, text: &str, key: &str, message: String) -> Self {
        let problems = match super::shape::read(text, &super::schema()) {
            Ok(mut shape) => {
                shape.problems.clear();
                shape.problem_at(key, message);
                shape.problems
            }
            Err(problems) => problems,
        };
        Self::new(file_name, problems)
    }

    /// The problems, in the order of the file; never none.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for ScenarioErrors {
    /// One line per problem: `scenarios/x.toml:12:1: unknown key ...`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, column, message }) in self.problems.iter().enumerate() {
            let newline = if index == 0 { "" } else { "\n" };
            write!(f, "{newline}{}:{line}:{column}: {message}", self.file_name)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioErrors {}
