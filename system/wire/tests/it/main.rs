//! What crosses a socket stays the same, reads back as it was, agrees with protobuf and survives any bytes.

mod bounds;
mod conversion;
mod corpus;
mod framing;
mod golden;
mod iibin;
mod peer;
mod round_trip;
mod samples;
