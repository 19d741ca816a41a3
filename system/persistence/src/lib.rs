//! Persistence agent: batches fixes, commits them, and only then acknowledges.
