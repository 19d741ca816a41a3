//! What a question asks for: so many steps, each of which takes so long, and an answer that follows from it. Pure.

use std::time::Duration;

/// A question whose whole answer is known before it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Script {
    number: u64,
    steps: u32,
    /// In whole microseconds: the question says it so.
    each: Duration,
}

impl Script {
    /// The question of this number, whose answer has `steps` steps that take `each`, cut to whole microseconds.
    pub(crate) const fn new(number: u64, steps: u32, each: Duration) -> Self {
        Self { number, steps, each: Duration::from_micros(each.as_micros() as u64) }
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) const fn steps(&self) -> u32 {
        self.steps
    }

    pub(crate) const fn each(&self) -> Duration {
        self.each
    }

    /// In words.
    pub(crate) fn question(&self) -> String {
        format!("question {} : {} steps of {} us", self.number, self.steps, self.each.as_micros())
    }

    /// What is asked for; `None` if nobody asks so.
    pub(crate) fn read(question: &str) -> Option<Self> {
        let words: Vec<&str> = question.split(' ').collect();
        let ["question", number, ":", steps, "steps", "of", micros, "us"] = words.as_slice() else {
            return None;
        };
        let each = Duration::from_micros(micros.parse().ok()?);
        Some(Self { number: number.parse().ok()?, steps: steps.parse().ok()?, each })
    }

    /// What the step of that number says, from 1.
    pub(crate) fn step(&self, step: u32) -> String {
        format!("{}: step {step} of {}", self.number, self.steps)
    }

    /// What the answer says.
    pub(crate) fn answer(&self) -> String {
        format!("{}: found in {} steps", self.number, self.steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_says_all_that_its_answer_follows_from() {
        let script = Script::new(7, 3, Duration::from_nanos(1_500_999));
        assert_eq!(Script::read(&script.question()), Some(script));
        assert_eq!(script.each(), Duration::from_micros(1_500));
        for other in ["", "where is it?", "question x : 3 steps of 1 us", "question 7 : 3 steps of 1 us more"]
        {
            assert_eq!(Script::read(other), None, "{other}");
        }
    }
}
