//! The probe of a health agent that needs no connection: one datagram, answered by one of the same length, so that nobody can be
//! made to send more than he was sent; question and answer differ, so that two who answer can not be set on each other.

/// Length of a probe and of its answer: 8 bytes that say which of them it is, and the number that the asker chose.
pub const PROBE_BYTES: usize = 16;
const QUESTION: [u8; 8] = *b"drover?1";
const ANSWER: [u8; 8] = *b"drover!1";

/// A question.
pub fn question(number: u64) -> [u8; PROBE_BYTES] {
    joined(QUESTION, number)
}

/// The answer to a datagram, if that is a question.
pub fn answer_to(datagram: &[u8]) -> Option<[u8; PROBE_BYTES]> {
    number(datagram, QUESTION).map(|number| joined(ANSWER, number))
}

/// The number of the question that a datagram answers, if it is an answer.
pub fn answered(datagram: &[u8]) -> Option<u64> {
    number(datagram, ANSWER)
}

fn joined(kind: [u8; 8], number: u64) -> [u8; PROBE_BYTES] {
    let mut bytes = [0; PROBE_BYTES];
    bytes[..8].copy_from_slice(&kind);
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number(datagram: &[u8], kind: [u8; 8]) -> Option<u64> {
    let (found, rest) = datagram.split_first_chunk::<8>()?;
    let number = rest.first_chunk::<8>().filter(|_| rest.len() == 8)?;
    (*found == kind).then(|| u64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_answered_with_its_number_and_an_answer_is_not_answered() {
        let asked = question(0x0102_0304_0506_0708);
        assert_eq!(asked, *b"drover?1\x01\x02\x03\x04\x05\x06\x07\x08");
        let answer = answer_to(&asked).expect("a question");
        assert_eq!(answered(&answer), Some(0x0102_0304_0506_0708));
        assert_eq!(answer_to(&answer), None);
        assert_eq!(answered(&asked), None);
    }

    #[test]
    fn what_is_cut_or_longer_is_neither() {
        let asked = question(7);
        for len in 0..PROBE_BYTES {
            assert_eq!(answer_to(&asked[..len]), None);
        }
        assert_eq!(answer_to(&[&asked[..], &[0]].concat()), None);
    }
}
