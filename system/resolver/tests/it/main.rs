//! The resolver against real servers, and its reading against another implementation's writing.

mod answers;
mod servers;
