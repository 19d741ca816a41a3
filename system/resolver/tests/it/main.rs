//! Its reading against another implementation's writing.

mod answers;
