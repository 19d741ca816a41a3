#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::geostream_frames(data));
