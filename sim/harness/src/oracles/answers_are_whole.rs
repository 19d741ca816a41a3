//! Invariant 29.

use std::time::Duration;

use drover_bus::CallError;
use drover_bus::ask::Reply;
use drover_model::{NodeKind, NodeName};

use super::result;
use crate::questions::Asked;
use crate::report::OracleResult;

/// How much longer a question may take than its steps do: a peer is called dead after five seconds of silence, and two of them are
/// between who asks and who answers; and what is lost on the way is sent again.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// Whoever asks gets the whole answer with all of its steps in order, by an agent that is named; or learns soon that there is none: then
/// what came before is the beginning of the answer. `settled`: the run has ended by itself, so that nothing may still be open.
pub(crate) fn answers_are_whole(asked: &[Asked], settled: bool) -> OracleResult {
    let statement = "A question gets its whole answer in order, or soon an end that says that there is none.";
    let violation = asked.iter().find_map(|asked| {
        let wrong = judge(asked, settled)?;
        Some(format!("question {} {wrong}", asked.script.number()))
    });
    result("answers_are_whole", statement, asked.len() as u64, violation)
}

fn judge(Asked { script, steps, end }: &Asked, settled: bool) -> Option<String> {
    let parted = (1..).zip(steps).find(|(step, said)| script.step(*step) != **said);
    if let Some((step, said)) = parted {
        return Some(format!("was told {said:?} as its step {step}"));
    }
    let Some((took, answer)) = end else {
        return settled.then(|| "has no end".to_owned());
    };
    if *took > script.each() * script.steps() + ENDS_WITHIN {
        return Some(format!("took {:.3} s to its end", took.as_secs_f64()));
    }
    match answer {
        Ok(_) if steps.len() != script.steps() as usize => {
            Some(format!("got its answer with {} of {} steps", steps.len(), script.steps()))
        }
        Ok(Reply { text, .. }) if text.as_deref() != Some(&script.answer()) => {
            Some(format!("got the answer {:?}", text.as_deref().unwrap_or_default()))
        }
        Ok(Reply { agent, .. }) => {
            let name = agent.as_deref().and_then(|agent| agent.parse::<NodeName>().ok());
            let named = name.is_some_and(|name| name.kind == NodeKind::Agent);
            (!named).then(|| format!("was answered by {:?}", agent.as_deref().unwrap_or_default()))
        }
        Err(CallError::Unavailable(_)) => None,
        Err(error) => Some(format!("ended with: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Script;

    const SCRIPT: Script = Script::new(7, 3, Duration::from_secs(1));

    fn reply(text: &str, agent: &str) -> Result<Reply, CallError> {
        Ok(Reply { text: Some(text.to_owned()), agent: Some(agent.to_owned()) })
    }

    fn unavailable() -> Result<Reply, CallError> {
        Err(CallError::Unavailable("timed out".to_owned()))
    }

    /// Question 7, of three steps of a second: these steps were told, and then it ended so, after so many seconds.
    fn check(steps: &[u32], took_s: u64, end: Result<Reply, CallError>, expected: &str) {
        let steps = steps.iter().map(|step| SCRIPT.step(*step)).collect();
        let end = Some((Duration::from_secs(took_s), end));
        judged(&Asked { script: SCRIPT, steps, end }, true, expected);
    }

    fn judged(asked: &Asked, settled: bool, expected: &str) {
        let violation = answers_are_whole(std::slice::from_ref(asked), settled).violation.unwrap_or_default();
        assert!(violation.contains(expected) && violation.is_empty() == expected.is_empty(), "{violation}");
    }

    #[test]
    fn an_answer_that_is_not_whole_or_not_in_order_is_found() {
        let whole = || reply(&SCRIPT.answer(), "agent/1");
        check(&[1, 2, 3], 4, whole(), "");
        check(&[1, 2], 4, whole(), "question 7 got its answer with 2 of 3 steps");
        check(&[1, 3, 2], 4, whole(), "was told \"7: step 3 of 3\" as its step 2");
        check(&[1, 2, 2, 3], 4, whole(), "was told \"7: step 2 of 3\" as its step 3");
        check(
            &[1, 2, 3],
            4,
            reply("8: found in 3 steps", "agent/1"),
            "got the answer \"8: found in 3 steps\"",
        );
        check(&[1, 2, 3], 4, reply(&SCRIPT.answer(), "hub/1"), "was answered by \"hub/1\"");
        check(&[1, 2, 3], 19, whole(), "took 19.000 s to its end");
    }

    #[test]
    fn an_end_without_an_answer_says_so_and_comes_soon() {
        check(&[], 0, unavailable(), "");
        check(&[1, 2], 8, unavailable(), "");
        check(&[2], 8, unavailable(), "as its step 1");
        check(&[1], 60, unavailable(), "took 60.000 s to its end");
        check(&[1], 8, Err(CallError::Deadline("late".to_owned())), "ended with: deadline passed: late");
        let open = Asked { script: SCRIPT, steps: Vec::new(), end: None };
        judged(&open, true, "question 7 has no end");
        judged(&open, false, "");
    }
}
