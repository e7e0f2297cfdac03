//! What a decoder accepts at most. Bodies themselves are bounded by whoever reads them off the network.

/// Nesting of structures, lists and maps in one request or answer.
pub const MAX_DEPTH: usize = 64;

/// Parameters of one Query request.
pub const MAX_QUERY_PARAMETERS: usize = 10_000;

/// Dot-separated parts of one Query parameter's name; more than [`MAX_DEPTH`] structures deep cannot be reached with
/// fewer parts, and each part is a node of a tree.
pub const MAX_QUERY_NAME_PARTS: usize = 2 * MAX_DEPTH;

/// Violated constraints that one refusal lists.
pub const MAX_VIOLATIONS: usize = 20;

/// Characters of an offending value that a refusal quotes.
pub const MAX_QUOTED: usize = 1024;
