//! The digital twin. 
fn main() {}
