//! Answers of OBD-II (SAE J1979 on ISO 15765-4): current data and trouble codes.

use drover_model::FaultCode;

use super::frame::CanId;

/// Answers of the eight controllers that legislation knows, with 11 bits.
const ANSWERS: std::ops::RangeInclusive<u32> = 0x7E8..=0x7EF;
/// The identifier whose message describes them all in a DBC.
pub(super) const ANSWER: u16 = 0x7E8;
/// Answers with 29 bits: normal fixed addressing, to the tester (0xF1) from any controller.
const ANSWERS_29: u32 = 0x18DA_F100;

/// Services, as their answers name them: the request's number plus 0x40.
pub(super) const CURRENT_DATA: u8 = 0x41;
const TROUBLE_CODES: u8 = 0x43;
const REFUSED: u8 = 0x7F;

/// The controller whose answer a frame is.
pub(super) const fn controller(id: CanId) -> Option<u8> {
    let value = id.value();
    if id.is_extended() {
        if value & 0x1FFF_FF00 == ANSWERS_29 { Some(value as u8) } else { None }
    } else if *ANSWERS.start() <= value && value <= *ANSWERS.end() {
        Some(value as u8)
    } else {
        None
    }
}

/// One answer, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<'a> {
    /// Service 01: values.
    Data(Values<'a>),
    /// Service 03: all stored codes of that controller.
    Codes(Vec<FaultCode>),
    /// The controller said no.
    Refused,
    /// Another service.
    Other,
    /// No answer at all.
    Bad,
}

/// Reads a message that ISO-TP put together.
pub(super) fn parse(message: &[u8]) -> Answer<'_> {
    match message {
        [CURRENT_DATA, values @ ..] => Answer::Data(Values { rest: values }),
        // On CAN the number of codes comes first; filling may follow the last.
        [TROUBLE_CODES, count, codes @ ..] => {
            let (codes, _) = codes.as_chunks::<2>();
            if codes.len() < usize::from(*count) {
                return Answer::Bad;
            }
            let codes = codes.iter().take(usize::from(*count)).map(|code| u16::from_be_bytes(*code));
            Answer::Codes(codes.filter(|code| *code != 0).map(FaultCode::obd).collect())
        }
        [REFUSED, ..] => Answer::Refused,
        [0x40..=0x7E, ..] => Answer::Other,
        _ => Answer::Bad,
    }
}

/// The values of an answer: each its PID and bytes. One request may ask for six.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Values<'a> {
    rest: &'a [u8],
}

/// One value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A PID and its bytes.
    Pid(u8, &'a [u8]),
    /// A PID whose length is not known, or that is cut off: what follows it can not be read.
    Unread,
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (&pid, rest) = self.rest.split_first()?;
        match len(pid).and_then(|len| rest.split_at_checked(len)) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Some(Value::Pid(pid, bytes))
            }
            None => {
                self.rest = &[];
                Some(Value::Unread)
            }
        }
    }
}

/// Bytes of a PID's value (SAE J1979-DA). Longer ones than a frame holds are of no use here.
const fn len(pid: u8) -> Option<usize> {
    Some(match pid {
        0x04..=0x0B
        | 0x0D..=0x0F
        | 0x11..=0x13
        | 0x1C..=0x1E
        | 0x2C..=0x30
        | 0x33
        | 0x45..=0x4C
        | 0x51
        | 0x52
        | 0x5A..=0x5C
        | 0x5F
        | 0x61
        | 0x62
        | 0x8D
        | 0x8E => 1,
        0x02
        | 0x03
        | 0x0C
        | 0x10
        | 0x14..=0x1B
        | 0x1F
        | 0x21..=0x23
        | 0x31
        | 0x32
        | 0x3C..=0x3F
        | 0x42..=0x44
        | 0x4D
        | 0x4E
        | 0x53..=0x59
        | 0x5D
        | 0x5E
        | 0x63 => 2,
        0x00
        | 0x01
        | 0x20
        | 0x24..=0x2B
        | 0x34..=0x3B
        | 0x40
        | 0x41
        | 0x4F
        | 0x50
        | 0x60
        | 0x80
        | 0xA0
        | 0xA6
        | 0xC0 => 4,
        0x64 => 5,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_answer_with_11_or_29_bits() {
        let check = |id: CanId, expected: Option<u8>| assert_eq!(controller(id), expected, "{id}");
        let standard = |id| CanId::standard(id).expect("11 bits");
        let extended = |id| CanId::extended(id).expect("29 bits");
        check(standard(0x7E8), Some(0xE8));
        check(standard(0x7EF), Some(0xEF));
        check(standard(0x7DF), None);
        check(standard(0x7E7), None);
        check(extended(0x18DA_F110), Some(0x10));
        check(extended(0x18DB_33F1), None);
        check(extended(0x7E8), None);
    }

    #[test]
    fn one_answer_may_hold_several_values() {
        let Answer::Data(values) = parse(&[0x41, 0x0C, 0x1A, 0xF8, 0x0D, 60, 0x05, 130]) else {
            panic!("data")
        };
        let values: Vec<_> = values.collect();
        assert_eq!(
            values,
            [Value::Pid(0x0C, &[0x1A, 0xF8]), Value::Pid(0x0D, &[60]), Value::Pid(0x05, &[130])]
        );
        let Answer::Data(values) = parse(&[0x41, 0x05, 130, 0x9F, 1, 2, 3]) else { panic!("data") };
        assert_eq!(values.collect::<Vec<_>>(), [Value::Pid(0x05, &[130]), Value::Unread]);
        let Answer::Data(values) = parse(&[0x41, 0x0C, 0x1A]) else { panic!("data") };
        assert_eq!(values.collect::<Vec<_>>(), [Value::Unread]);
    }

    #[test]
    fn trouble_codes_are_as_many_as_the_answer_says() {
        let codes = |message: &[u8]| match parse(message) {
            Answer::Codes(codes) => codes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            other => panic!("{message:?}: {other:?}"),
        };
        assert_eq!(codes(&[0x43, 2, 0x03, 0x01, 0xC1, 0x23]), ["P0301", "U0123"]);
        assert_eq!(codes(&[0x43, 1, 0x03, 0x01, 0xAA, 0xAA]), ["P0301"]);
        assert_eq!(codes(&[0x43, 0]), [""; 0]);
        assert_eq!(parse(&[0x43, 2, 0x03, 0x01]), Answer::Bad);
        assert_eq!(parse(&[0x7F, 0x01, 0x12]), Answer::Refused);
        assert_eq!(parse(&[0x49, 2, 1]), Answer::Other);
        assert_eq!(parse(&[]), Answer::Bad);
    }
}
